//! Detects the delimiter of a CSV file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// In the order of preference.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Bytes of a file that are checked.
const SAMPLE_BYTES: u64 = 256 << 10;
/// Records of it that are checked.
const SAMPLE_RECORDS: usize = 200;

/// The delimiter of a file: the one with which most records have as many fields as the header.
///
/// # Errors
/// If the header has no comma, and not all records agree on another delimiter in it.
pub(crate) fn of(file: &Path) -> Result<u8> {
    let mut sample = Vec::new();
    let read = File::open(file).and_then(|f| f.take(SAMPLE_BYTES).read_to_end(&mut sample));
    let bytes = read.map_err(|cause| Error::Read { file: file.to_owned(), cause })?;
    sniffed(&sample, bytes as u64 == SAMPLE_BYTES).map_err(|reason| Error::Unusable { file: file.to_owned(), reason })
}

/// A delimiter in readable form.
pub(crate) fn name(delimiter: u8) -> String {
    if delimiter == b'\t' { "tab".to_string() } else { char::from(delimiter).to_string() }
}

fn sniffed(sample: &[u8], is_cut: bool) -> Result<u8, String> {
    let sample = sample.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(sample);
    let mut best: Option<Candidate> = None;
    for delimiter in DELIMITERS {
        let Some(candidate) = Candidate::of(delimiter, &counts(sample, delimiter, is_cut)) else { continue };
        if best.as_ref().is_none_or(|best| candidate.agreement() > best.agreement()) {
            best = Some(candidate);
        }
    }
    match best {
        None => Ok(b','),
        Some(best) if best.delimiter == b',' || best.agreeing == best.records => Ok(best.delimiter),
        Some(best) => Err(format!(
            "may have fields separated by {:?}, but {} of its first {} lines do not have as many as \
             the header; specify the delimiter",
            name(best.delimiter),
            best.records - best.agreeing,
            best.records,
        )),
    }
}

/// A delimiter that occurs in the header.
struct Candidate {
    delimiter: u8,
    records: usize,
    /// Records with as many fields as the header.
    agreeing: usize,
}

impl Candidate {
    fn of(delimiter: u8, counts: &[usize]) -> Option<Self> {
        let (header, records) = counts.split_first().filter(|(header, _)| **header > 1)?;
        let agreeing = records.iter().filter(|count| *count == header).count();
        Some(Self { delimiter, records: records.len(), agreeing })
    }

    /// The share of records that agree, in thousandths.
    fn agreement(&self) -> usize {
        (self.agreeing * 1_000).checked_div(self.records).unwrap_or(1_000)
    }
}

/// The number of fields of each of the first records. Delimiters and line breaks in quotes are ignored, and so is a
/// record that was cut at the end of the sample.
fn counts(sample: &[u8], delimiter: u8, is_cut: bool) -> Vec<usize> {
    let mut counts = Vec::new();
    let (mut fields, mut begins, mut in_quotes, mut is_blank) = (1, true, false, true);
    for byte in sample {
        match *byte {
            // A doubled quote closes and opens.
            b'"' if begins || in_quotes => in_quotes = !in_quotes,
            b'"' if !begins => {}
            _ if in_quotes => {}
            b'\n' => {
                if !is_blank {
                    counts.push(fields);
                }
                if counts.len() == SAMPLE_RECORDS {
                    return counts;
                }
                (fields, begins, is_blank) = (1, true, true);
                continue;
            }
            b if b == delimiter => {
                fields += 1;
                (begins, is_blank) = (true, false);
                continue;
            }
            _ => {}
        }
        begins = in_quotes && begins && *byte == b'"';
        is_blank &= *byte == b'\r';
    }
    if !is_blank && !is_cut {
        counts.push(fields);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u8, &str>) {
        match (sniffed(text.as_bytes(), false), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(char::from(found), char::from(expected), "{text}"),
            (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{text}: {reason}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn the_delimiter_is_found_from_the_records() {
        check("id,n\n1,2\n", Ok(b','));
        check("id;n\n1;2\n3;4", Ok(b';'));
        check("\u{feff}id\tn\r\n1\t2\r\n\r\n", Ok(b'\t'));
        check("id|n|x\n1|2|\n", Ok(b'|'));
        check("id;price\n1;2,50\n2;3,70\n", Ok(b';'));
        check("id;name, first;x\n1;Kim;3\n2;Lee;4\n", Ok(b';'));
        check("\"a;b\",\"c\"\n\"x, y\",\"1;2\n3;4\"\n", Ok(b','));
        check("\"a,b\";c\n\"say \"\"x,y\"\"\";2\n", Ok(b';'));
        check("id;n", Ok(b';'));
        check("이름;값\n가;나\n", Ok(b';'));
    }

    #[test]
    fn the_delimiter_is_a_comma_unless_another_is_certain() {
        check("", Ok(b','));
        check("id\n1\n2;3\n", Ok(b','));
        // Wrong lines are reported when they are read.
        check("a,b\n1,2\n3\n4,5,6\n", Ok(b','));
        check("a,b;c\n1,2;3\n", Ok(b','));
        check(
            "note; text\nall well\nno; really\n",
            Err("may have fields separated by \";\", but 1 of its first 2 lines"),
        );
        check("a\tb\n1\n", Err("separated by \"tab\""));
    }

    #[test]
    fn a_record_that_was_cut_does_not_count() {
        assert_eq!(sniffed(b"a;b\n1;2\n3", true), Ok(b';'));
        assert_eq!(counts(b"a;b\n1;2\n3", b';', false), [2, 2, 1]);
    }
}
