//! The error of a statement that cannot be parsed: its kind, a message and a position.

use std::fmt;

use sqlparser::parser::ParserError;

use crate::position::Position;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The statement is wrong: fix it.
    Invalid,
    /// The statement is valid, but names a procedure that does not exist.
    NotFound,
    /// The statement is valid, but not supported.
    Unsupported,
}

/// A statement that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    position: Option<Position>,
}

impl Error {
    /// An error without a position.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), position: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An error of sqlparser in `clause`. The position is taken from its message, or is `here` if that has none.
    pub(crate) fn of_parser(e: ParserError, clause: &str, here: Option<Position>) -> Self {
        let text = match e {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
            ParserError::RecursionLimitExceeded => "the statement is nested too deeply".to_string(),
        };
        let (text, position) = match position_at_end(&text) {
            Some((before, position)) => (before.to_string(), Some(position)),
            None => (text, here),
        };
        Self { kind: ErrorKind::Invalid, message: format!("{clause}: {text}"), position }
    }

    /// Sets the position unless the error has one.
    pub(crate) fn at(mut self, position: Option<Position>) -> Self {
        self.position = self.position.or(position);
        self
    }

    /// The kind, which says what the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message, without the position.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The position in the statement, if the error has one.
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}

/// Splits sqlparser's ` at Line: 3, Column: 14` from a message.
fn position_at_end(text: &str) -> Option<(&str, Position)> {
    let (before, after) = text.rsplit_once(" at Line: ")?;
    let (line, column) = after.split_once(", Column: ")?;
    Some((before, Position { line: line.parse().ok()?, column: column.parse().ok()? }))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.position {
            Some(position) => write!(f, " ({position})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
