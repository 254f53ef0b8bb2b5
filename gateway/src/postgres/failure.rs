//! Errors as clients of Postgres get them.

use std::io;

use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use crate::error::{Error, ErrorKind};

/// Why a message has no other answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection is broken.
    Io(io::Error),
    /// The client gets an error.
    Sql {
        /// Whether the connection ends.
        is_fatal: bool,
        state: &'static str,
        message: String,
    },
}

impl Failure {
    /// An error that ends the connection.
    pub(super) fn fatal(state: &'static str, message: impl Into<String>) -> Self {
        Self::Sql { is_fatal: true, state, message: message.into() }
    }

    /// An error of a client that does not keep to the protocol.
    pub(super) fn protocol(message: impl Into<String>) -> Self {
        Self::Sql { is_fatal: false, state: "08P01", message: message.into() }
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        if error.kind() == ErrorKind::Internal {
            tracing::error!(error = message, "a statement failed with an internal error");
        }
        Self::Sql { is_fatal: false, state: state(error.kind()), message }
    }
}

/// The message for an error.
pub(super) fn error(is_fatal: bool, state: &str, message: &str) -> ErrorResponse {
    ErrorResponse::new(fields(if is_fatal { "FATAL" } else { "ERROR" }, state, message))
}

/// The message for a warning.
pub(super) fn warning(state: &str, message: &str) -> NoticeResponse {
    NoticeResponse::new(fields("WARNING", state, message))
}

fn fields(severity: &str, state: &str, message: &str) -> Vec<(u8, String)> {
    [(b'S', severity), (b'V', severity), (b'C', state), (b'M', message)].map(|(of, text)| (of, text.to_owned())).into()
}

/// The SQLSTATE of a kind of error.
pub(super) fn state(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "42000",
        ErrorKind::NotFound => "42P01",
        ErrorKind::AlreadyExists => "42P07",
        // serialization_failure: clients run the statement again.
        ErrorKind::Conflict => "40001",
        ErrorKind::Unavailable => "57P03",
        // statement_completion_unknown
        ErrorKind::OutcomeUnknown => "40003",
        ErrorKind::Unauthenticated => "28P01",
        ErrorKind::Forbidden => "42501",
        ErrorKind::Cancelled => "57014",
        ErrorKind::Unsupported => "0A000",
        ErrorKind::Corrupt => "XX001",
        ErrorKind::Internal => "XX000",
    }
}
