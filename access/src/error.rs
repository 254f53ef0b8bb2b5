//! The error of this crate: a kind that says what the caller can do, and the complete message.

use std::fmt;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The user, the password or the token is not known: log in again. It does not say which.
    Unauthenticated,
    /// Too many logins failed, or are running: try again later.
    Throttled,
    /// A name or a password cannot be used: choose another.
    Invalid,
    /// There is no such user, role, token or grant.
    NotFound,
    /// There is such a user, role or token already.
    AlreadyExists,
    /// The store does not work.
    Store,
}

/// An error with its kind and the complete message, including causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error for the user.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
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
