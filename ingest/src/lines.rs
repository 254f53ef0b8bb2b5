//! Reads physical lines of a text file, numbered from 1, with a limit on their length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use crate::MAX_LINE_BYTES;
use crate::error::{Error, Result};

/// Reads the lines of a file.
pub(crate) struct Lines {
    file: PathBuf,
    input: BufReader<File>,
    /// Lines that were read and handed back.
    again: Cursor<Vec<u8>>,
    /// Lines read so far and not handed back.
    count: u64,
}

impl Lines {
    /// Opens the file. A UTF-8 byte order mark, which spreadsheets write, is not part of the first line.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let mut input = File::open(file)
            .map(|f| BufReader::with_capacity(256 << 10, f))
            .map_err(|cause| Error::Read { file: file.to_owned(), cause })?;
        let start = input.fill_buf().map_err(|cause| Error::Read { file: file.to_owned(), cause })?;
        if start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF") {
            let reason = "is UTF-16 text; save it as UTF-8".into();
            return Err(Error::Unusable { file: file.to_owned(), reason });
        }
        if start.starts_with(b"\xEF\xBB\xBF") {
            input.consume(3);
        }
        Ok(Self { file: file.to_owned(), input, again: Cursor::default(), count: 0 })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Number of the last line read.
    pub(crate) fn number(&self) -> u64 {
        self.count
    }

    /// Appends the next line with its line break to `line`; false at the end of the file.
    pub(crate) fn read(&mut self, line: &mut Vec<u8>) -> Result<bool> {
        let most = MAX_LINE_BYTES as u64;
        let read_from = |input: &mut dyn BufRead, line: &mut Vec<u8>| input.take(most).read_until(b'\n', line);
        let read = match read_from(&mut self.again, line) {
            Ok(0) => read_from(&mut self.input, line),
            other => other,
        };
        let bytes = read.map_err(|cause| self.failed(cause))?;
        if bytes == 0 {
            return Ok(false);
        }
        self.count += 1;
        if bytes == MAX_LINE_BYTES && !line.ends_with(b"\n") {
            // Not for the reject file: the start of the next line is unknown, or this is not a text file.
            return Err(Error::Line {
                file: self.file.clone(),
                line: self.count,
                column: None,
                reason: format!("longer than {} MiB", MAX_LINE_BYTES >> 20),
            });
        }
        Ok(true)
    }

    /// Hands back the last whole lines, to be read again.
    pub(crate) fn hand_back(&mut self, lines: &[u8]) {
        let breaks = lines.iter().filter(|b| **b == b'\n').count();
        let unfinished = usize::from(!lines.is_empty() && !lines.ends_with(b"\n"));
        self.count -= (breaks + unfinished) as u64;
        let (at, known) = (self.again.position(), self.again.get_ref());
        let at = usize::try_from(at).unwrap_or(known.len()).min(known.len());
        if known[..at].ends_with(lines) {
            self.again.set_position((at - lines.len()) as u64);
            return;
        }
        let rest = [lines, &known[at..]].concat();
        self.again = Cursor::new(rest);
    }

    fn failed(&self, cause: io::Error) -> Error {
        Error::Read { file: self.file.clone(), cause }
    }
}
