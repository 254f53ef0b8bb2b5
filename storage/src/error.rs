//! The crate's error: a small kind that says what the caller can do, and a message that says what to do it about.

use std::fmt;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A location or a setting is wrong.
    Invalid,
    /// The catalog that was asked for credentials knows no such table.
    NotFound,
    /// Another table has the name of the one that credentials were requested for: run the statement again.
    Conflict,
    /// There is no store for such locations, or the catalog does not vend credentials.
    Unsupported,
    /// A store, or the catalog that vends credentials for it, did not answer or refused.
    Unavailable,
    /// A file is missing, or shorter than it must be.
    Corrupt,
    /// A bug in Bergmill.
    Internal,
}

/// An error of storage. Its message is for the user, and has no credential in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The same error with the context of what was being done: `bucket raw: ...`.
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// What the caller can do.
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
