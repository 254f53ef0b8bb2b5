//! The handling of bad lines: one stops the load, or is kept in the reject file.
//!
//! The reject file is CSV with the columns `file`, `line`, `reason` and `text`. The text is the unchanged bytes of the
//! line (so invalid UTF-8 in it makes the reject file invalid UTF-8 too), without the line break at its end.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Bad, Error, Result};
use crate::progress::Progress;

/// The destination of bad lines.
pub(crate) struct Rejects {
    file: Option<(PathBuf, BufWriter<File>)>,
    progress: Progress,
}

impl Rejects {
    /// Creates or overwrites the reject file, if there is a path: it has the rejects of one load.
    pub(crate) fn create(path: Option<PathBuf>, progress: Progress) -> Result<Self> {
        let file = match path {
            None => None,
            Some(path) => {
                let created = File::create(&path).and_then(|file| {
                    let mut out = BufWriter::new(file);
                    out.write_all(b"file,line,reason,text\n")?;
                    Ok(out)
                });
                match created {
                    Ok(out) => Some((path, out)),
                    Err(cause) => return Err(Error::Rejects { file: path, cause }),
                }
            }
        };
        Ok(Self { file, progress })
    }

    /// Keeps the line, or returns what is wrong with it as an error.
    pub(crate) fn refuse(&mut self, file: &Path, line: u64, bad: Bad, text: &[u8]) -> Result<()> {
        let Some((path, out)) = &mut self.file else {
            return Err(Error::Line { file: file.to_owned(), line, column: bad.column, reason: bad.reason });
        };
        let reason = match bad.column {
            Some(column) => format!("column {column}: {}", bad.reason),
            None => bad.reason,
        };
        write_row(out, file, line, &reason, text)
            .map_err(|cause| Error::Rejects { file: path.clone(), cause })
            .inspect(|()| self.progress.add_rejected())
    }

    /// Writes buffered lines to disk.
    pub(crate) fn finish(&mut self) -> Result<()> {
        match &mut self.file {
            Some((path, out)) => out.flush().map_err(|cause| Error::Rejects { file: path.clone(), cause }),
            None => Ok(()),
        }
    }
}

fn write_row(out: &mut impl Write, file: &Path, line: u64, reason: &str, text: &[u8]) -> io::Result<()> {
    write_quoted(out, file.to_string_lossy().as_bytes())?;
    write!(out, ",{line},")?;
    write_quoted(out, reason.as_bytes())?;
    out.write_all(b",")?;
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    write_quoted(out, text.strip_suffix(b"\r").unwrap_or(text))?;
    out.write_all(b"\n")
}

fn write_quoted(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    out.write_all(b"\"")?;
    for (i, part) in text.split(|b| *b == b'"').enumerate() {
        if i > 0 {
            out.write_all(b"\"\"")?;
        }
        out.write_all(part)?;
    }
    out.write_all(b"\"")
}
