//! The errors of reading files, by what the user can do.

use std::io;
use std::path::PathBuf;

/// Result of the ingest crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why files cannot be read as rows. Each message includes its cause, which is therefore a field and not a
/// [`source`](std::error::Error::source), which would be printed twice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file was named.
    #[error("no file to load")]
    NoFiles,
    /// The file does not exist: fix its name.
    #[error("{} not found", file.display())]
    Missing {
        /// The file as it was given.
        file: PathBuf,
    },
    /// The file cannot be used: a directory, an unknown extension, no header, damaged.
    #[error("{} {reason}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, as a continuation of its name: `is a directory`.
        reason: String,
    },
    /// The columns of the file do not match those of the table or of an earlier file.
    #[error("{}: {reason}", file.display())]
    Columns {
        /// The file.
        file: PathBuf,
        /// What does not match.
        reason: String,
    },
    /// A line is wrong: fix it, or specify a reject file to load the others.
    #[error("{} line {line}{}: {reason}", file.display(), in_column(column))]
    Line {
        /// The file.
        file: PathBuf,
        /// Number of the line in the file, from 1; the first line of a record of several lines.
        line: u64,
        /// The column of the wrong value, if the error concerns one value; `address.city` inside structs.
        column: Option<String>,
        /// What is wrong.
        reason: String,
    },
    /// The operating system refused to read the file.
    #[error("cannot read {}: {cause}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Rejected lines cannot be written, so the load must not continue.
    #[error("cannot write the reject file {}: {cause}", file.display())]
    Rejects {
        /// The reject file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A bug in this crate.
    #[error("reading stopped unexpectedly: {reason}")]
    Internal {
        /// The cause, as far as known.
        reason: String,
    },
}

fn in_column(column: &Option<String>) -> String {
    column.as_ref().map(|c| format!(", column {c}")).unwrap_or_default()
}

/// What is wrong with one line; the reader adds the file and line number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bad {
    pub(crate) column: Option<String>,
    pub(crate) reason: String,
}

impl Bad {
    pub(crate) fn line(reason: impl Into<String>) -> Self {
        Self { column: None, reason: reason.into() }
    }

    /// Prepends `outer` to the column path. The path is built only when there is an error.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        self.column = Some(match self.column {
            Some(inner) => format!("{outer}.{inner}"),
            None => outer.to_owned(),
        });
        self
    }
}
