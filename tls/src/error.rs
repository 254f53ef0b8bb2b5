//! The error of certificates and of their files.

use std::fmt;
use std::path::Path;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A file cannot be read or written: check its path and permissions.
    File,
    /// The content of a file, or a name for a certificate, is wrong: fix it.
    Invalid,
    /// A file that would be written exists already.
    AlreadyExists,
}

/// An error with its kind and the complete message, including causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Invalid, message: message.into() }
    }

    pub(crate) fn exists(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::AlreadyExists, message: message.into() }
    }

    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self { kind: ErrorKind::File, message: format!("{}: {error}", path.display()) }
    }

    /// The kind, which says what the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
