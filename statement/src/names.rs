//! Names in SQL: the name of the catalog, case folding and quoting.

use std::fmt;

use sqlparser::ast::{Ident, ObjectName, Spanned};
use sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER, RESERVED_FOR_TABLE_ALIAS,
};

use crate::error::{Error, Result};
use crate::position::Position;

/// The name of the catalog, which may qualify a namespace: `bergmill.namespace.table`. Other engines pass it when they
/// open the same SQL catalog.
pub const CATALOG: &str = "bergmill";

/// The name as SQL resolves it: in lower case unless it was quoted. Like DataFusion, folds only ASCII letters, so
/// `Ärger` and `ärger` are different names.
pub fn folded(name: &Ident) -> String {
    match name.quote_style {
        None => name.value.to_ascii_lowercase(),
        Some(_) => name.value.clone(),
    }
}

/// The name of a table or view, optionally qualified with a namespace, and that with the catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The catalog, if the statement names it.
    pub catalog: Option<String>,
    /// The namespace; the context decides which one it is if the statement names none.
    pub namespace: Option<String>,
    /// The name within the namespace.
    pub table: String,
}

impl TableName {
    /// A name of one to three parts, already folded.
    pub(crate) fn of_parts(parts: Vec<String>) -> Result<Self> {
        let mut last_first = parts.iter().rev().cloned();
        match (parts.len(), last_first.next()) {
            (1..=3, Some(table)) => Ok(Self { namespace: last_first.next(), catalog: last_first.next(), table }),
            _ => Err(Error::invalid(format!("{} is not a table name: expected namespace.table", parts.join(".")))),
        }
    }

    /// A name from a syntax tree.
    pub(crate) fn of(name: &ObjectName) -> Result<Self> {
        let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(folded)).collect();
        let parts = parts.ok_or_else(|| Error::invalid(format!("{name} is not a table name")));
        parts.and_then(Self::of_parts).map_err(|e| e.at(Position::of(name.span().start)))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for before in [&self.catalog, &self.namespace].into_iter().flatten() {
            write!(f, "{}.", identifier(before))?;
        }
        f.write_str(&identifier(&self.table))
    }
}

/// A name as written in SQL: in quotes unless it is a plain lower-case word.
pub fn identifier(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_plain = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty();
    if is_plain && !is_reserved(name) { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Whether a parser may read the word as a keyword.
fn is_reserved(word: &str) -> bool {
    let Ok(at) = ALL_KEYWORDS.binary_search(&word.to_uppercase().as_str()) else { return false };
    let keyword = &ALL_KEYWORDS_INDEX[at];
    [RESERVED_FOR_IDENTIFIER, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS].iter().any(|of| of.contains(keyword))
}

/// A text as a SQL string literal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
