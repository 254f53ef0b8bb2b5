//! The errors of reading files, by what the caller can do.

use std::io;
use std::path::PathBuf;

/// Result of the ingest crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why files cannot be read as rows. Each message is complete in itself, so the cause is a field and not a
/// [`source`](std::error::Error::source), which would be printed a second time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file was named.
    #[error("no file to load")]
    NoFiles,
    /// The file is not there: mend its name.
    #[error("{} not found", file.display())]
    Missing {
        /// The file as it was named.
        file: PathBuf,
    },
    /// The file is not one that can be read as it is: a directory, an unknown extension, no header, damaged.
    #[error("{} {reason}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, to follow its name: `is a directory`.
        reason: String,
    },
    /// The columns of the file are not those of the table, or not the same as in the file before.
    #[error("{}: {reason}", file.display())]
    Columns {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A line is wrong: mend it, or name a reject file to load the others.
    #[error("{} line {line}{}: {reason}", file.display(), in_column(column))]
    Line {
        /// The file.
        file: PathBuf,
        /// Number of the line in the file, from 1. For a record of several lines, that of its first.
        line: u64,
        /// The column with the wrong value, when it is one value that is wrong; `address.city` inside structs.
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
    /// Rejected lines cannot be kept, so the load must not go on without them.
    #[error("cannot write the reject file {}: {cause}", file.display())]
    Rejects {
        /// The reject file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Our fault.
    #[error("reading stopped unexpectedly: {reason}")]
    Internal {
        /// What is known.
        reason: String,
    },
}

fn in_column(column: &Option<String>) -> String {
    column.as_ref().map(|c| format!(", column {c}")).unwrap_or_default()
}

/// What is wrong with one line; its reader knows which file and line it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bad {
    pub(crate) column: Option<String>,
    pub(crate) reason: String,
}

impl Bad {
    pub(crate) fn line(reason: impl Into<String>) -> Self {
        Self { column: None, reason: reason.into() }
    }

    /// The same inside `outer`: the path grows on the way out, so that it costs nothing while all is well.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        self.column = Some(match self.column {
            Some(inner) => format!("{outer}.{inner}"),
            None => outer.to_owned(),
        });
        self
    }
}
