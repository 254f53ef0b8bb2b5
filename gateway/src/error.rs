//! The front door's error: a small kind that decides the gRPC code, and a message for the person who asked.

use std::fmt;

use datafusion::error::DataFusionError;

/// Result of the front door and of its [`Backend`](crate::Backend).
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The statement or its values are wrong: mend and send again.
    InvalidInput,
    /// A table, namespace or column is not there.
    NotFound,
    /// Something of that name is there already.
    AlreadyExists,
    /// Another writer changed the same files: run the statement again.
    Conflict,
    /// The cluster cannot take it now: try later.
    Unavailable,
    /// It cannot be found out whether the change happened: look before it is sent again, or send it with a commit tag.
    OutcomeUnknown,
    /// The statement was cancelled.
    Cancelled,
    /// The protocol has it, this server does not.
    Unsupported,
    /// A file of a table is missing or damaged: restore it, or roll the table back.
    Corrupt,
    /// Our fault.
    Internal,
}

/// An error with its kind and the whole message, causes included.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The error of ours that `error` wraps.
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
