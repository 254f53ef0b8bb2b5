//! A table's full name, `namespace.table`, in the spelling that needs no quotes in SQL.

use std::fmt;
use std::str::FromStr;

/// `namespace.table`, both of lower-case letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    namespace: String,
    table: String,
}

impl TableName {
    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name within the namespace.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The table's history as a SQL name: `namespace."table$snapshots"`.
    pub fn snapshots(&self) -> String {
        format!("{}.\"{}$snapshots\"", self.namespace, self.table)
    }
}

impl FromStr for TableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            Some((namespace, table)) if is_identifier(namespace) && is_identifier(table) => {
                Ok(Self { namespace: namespace.to_owned(), table: table.to_owned() })
            }
            _ => Err(format!("{text:?} is not a table's name: write namespace.table in lower case")),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.table)
    }
}

/// Whether the word is a SQL name without quotes and unchanged by case folding.
pub(crate) fn is_identifier(word: &str) -> bool {
    let starts_well = word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    starts_well && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!("raw.events".parse::<TableName>().unwrap().snapshots(), "raw.\"events$snapshots\"");
        for bad in ["events", "raw.Events", "a.b.c", "raw.", ".x", "raw.1x", "raw.e; drop"] {
            assert!(bad.parse::<TableName>().is_err(), "{bad}");
        }
    }
}
