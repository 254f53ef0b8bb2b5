//! The front door's error: a small kind that decides the gRPC code, and a message for the user.

use std::fmt;

use datafusion::error::DataFusionError;

/// Result of the front door and of its [`Backend`](crate::Backend).
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The statement or its values are wrong: fix it and send it again.
    InvalidInput,
    /// A table, namespace or column does not exist.
    NotFound,
    /// Something of that name already exists.
    AlreadyExists,
    /// A concurrent commit changed the same files: run the statement again.
    Conflict,
    /// The cluster is not available: try again later.
    Unavailable,
    /// The commit state is unknown: check it before sending the statement again, or send it with a commit tag.
    OutcomeUnknown,
    /// The call has no valid credentials: log in.
    Unauthenticated,
    /// The user lacks a privilege: ask an administrator for it.
    Forbidden,
    /// The statement was cancelled.
    Cancelled,
    /// The protocol supports it, this server does not.
    Unsupported,
    /// A file of a table is missing or damaged: restore it, or roll the table back.
    Corrupt,
    /// A bug of ours.
    Internal,
}

/// An error with its kind and the complete message, including causes.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// Creates an error of `kind` with `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Finds the [`Error`] that `error` wraps, if any.
    pub fn find(error: &DataFusionError) -> Option<&Error> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(own) = current.downcast_ref::<Error>() {
                return Some(own);
            }
            cause = current.source();
        }
        None
    }

    /// The kind of the error.
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
