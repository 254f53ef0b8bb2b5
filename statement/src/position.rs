//! Positions in the text of a statement.

use std::fmt;

use sqlparser::tokenizer::Location;

/// A position in a text; the first character is at line 1, column 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
}

impl Position {
    /// The position of a token; `None` for tokens without one, such as the end of the text.
    pub(crate) fn of(location: Location) -> Option<Self> {
        (location.line > 0).then_some(Self { line: location.line, column: location.column })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A text with the starts of its lines, which maps the tokenizer's locations to bytes.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The byte offset of a location; the end of the text for a location outside it.
    pub(crate) fn offset(&self, location: Location) -> usize {
        let index = |from_1: u64| usize::try_from(from_1.saturating_sub(1)).unwrap_or(usize::MAX);
        let start = self.starts.get(index(location.line)).copied().unwrap_or(self.text.len());
        let rest = &self.text[start..];
        start + rest.char_indices().nth(index(location.column)).map_or(rest.len(), |(at, _)| at)
    }

    /// The text between two locations.
    pub(crate) fn between(&self, start: Location, end: Location) -> &'a str {
        let start = self.offset(start);
        &self.text[start..self.offset(end).max(start)]
    }
}
