//! A file of the corpus as records, each with its line. Records that the parser does not support are skipped and
//! counted.

use std::path::Path;

use anyhow::{Context, Result};
use sqllogictest::{Condition, DefaultColumnType, QueryExpect, Record as Parsed, StatementExpect, parse_with_name};

/// The engine's name in `skipif` and `onlyif`.
const ENGINE: &str = "datafusion";

/// One statement of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The file, relative to `test_files`.
    pub file: String,
    /// The first line of the record.
    pub line: u32,
    /// The SQL to run.
    pub sql: String,
    /// Whether the file expects rows or success, and not an error.
    pub succeeds: bool,
}

/// The records of a file and its includes, and the number of records that could not be read.
///
/// # Errors
/// When a file cannot be read.
pub fn read(root: &Path, file: &str) -> Result<(Vec<Record>, usize)> {
    let path = root.join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (parsed, mut unread) = parse(file, text);
    let mut records = Vec::new();
    for record in parsed {
        match record {
            Parsed::Include { filename, .. } => {
                for included in included(root, file, &filename)? {
                    let (inner, inner_unread) = read(root, &included)?;
                    records.extend(inner);
                    unread += inner_unread;
                }
            }
            Parsed::Statement { loc, conditions, sql, expected, .. } if is_ours(&conditions) => {
                let succeeds = !matches!(expected, StatementExpect::Error(_));
                records.push(Record { file: file.to_string(), line: loc.line(), sql, succeeds });
            }
            Parsed::Query { loc, conditions, sql, expected, .. } if is_ours(&conditions) => {
                let succeeds = !matches!(expected, QueryExpect::Error(_));
                records.push(Record { file: file.to_string(), line: loc.line(), sql, succeeds });
            }
            Parsed::Halt { .. } => break,
            Parsed::System { .. } | Parsed::Let { .. } => unread += 1,
            _ => {}
        }
    }
    Ok((records, unread))
}

fn is_ours(conditions: &[Condition]) -> bool {
    conditions.iter().all(|condition| match condition {
        Condition::OnlyIf { label } => label.eq_ignore_ascii_case(ENGINE),
        Condition::SkipIf { label } => !label.eq_ignore_ascii_case(ENGINE),
    })
}

/// Parses a file; a record that the parser rejects is blanked out, so that all others keep their line numbers.
fn parse(file: &str, mut text: String) -> (Vec<Parsed<DefaultColumnType>>, usize) {
    let mut unread = 0;
    loop {
        let error = match parse_with_name(&text, file) {
            Ok(records) => return (records, unread),
            Err(error) => error,
        };
        unread += 1;
        let refused = error.location().line().saturating_sub(1) as usize;
        let mut lines: Vec<&str> = text.lines().collect();
        // An error without a line would be found again forever.
        if lines.get(refused).is_none_or(|line| line.is_empty()) {
            return (Vec::new(), unread);
        }
        for line in lines.iter_mut().skip(refused).take_while(|line| !line.is_empty()) {
            *line = "";
        }
        text = lines.join("\n");
    }
}

/// The files that an `include` of `file` names, relative to `root`. A name may contain one star.
fn included(root: &Path, file: &str, pattern: &str) -> Result<Vec<String>> {
    let folder = Path::new(file).parent().unwrap_or(Path::new("")).join(pattern.trim_start_matches("./"));
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = folder.parent().unwrap_or(Path::new("")).to_path_buf();
    let Some((before, after)) = name.split_once('*') else {
        return Ok(vec![folder.join(name).to_string_lossy().into_owned()]);
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join(&folder))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(before) && name.ends_with(after) {
            files.push(folder.join(name).to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_cannot_be_read_is_counted_and_the_others_keep_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let text = [
            "statement ok\ncreate table t (a int)\n",
            "query I retry x\nselect 0\n----\n0\n",
            "onlyif postgres\nquery I\nselect 1\n----\n1\n",
            "skipif postgres\nquery error no\nselect 2\n",
            "include b*.part\n",
            "halt\n",
            "statement ok\nselect 9\n",
        ]
        .join("\n");
        std::fs::write(folder.path().join("a.slt"), text).unwrap();
        std::fs::write(folder.path().join("b1.part"), "query I\nselect 3\n----\n3\n").unwrap();
        let (records, unread) = read(folder.path(), "a.slt").unwrap();
        let found: Vec<_> = records.iter().map(|r| (r.file.as_str(), r.line, r.sql.as_str(), r.succeeds)).collect();
        assert_eq!(
            found,
            [
                ("a.slt", 1, "create table t (a int)", true),
                ("a.slt", 16, "select 2", false),
                ("b1.part", 1, "select 3", true),
            ]
        );
        assert_eq!(unread, 1);
    }
}
