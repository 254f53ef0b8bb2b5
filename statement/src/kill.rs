//! `KILL QUERY 'id'`, which cancels a statement.

use crate::error::Result;
use crate::token_reader::TokenReader;

/// Parses a whole statement, and returns the id; `None` if it is of another kind.
pub(crate) fn parse(reader: &mut TokenReader) -> Result<Option<String>> {
    if !reader.take(&["kill"]) {
        return Ok(None);
    }
    reader.expect("query", "KILL")?;
    reader.text("KILL QUERY").map(Some)
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    #[test]
    fn a_query_is_named_by_its_id() {
        for sql in ["KILL QUERY '0199'", "kill query '0199';"] {
            assert_eq!(parse(sql).unwrap(), Statement::Kill("0199".to_string()), "{sql}");
        }
        for (sql, expected) in [
            ("KILL 5", "KILL: expected QUERY, but there is `5` (line 1, column 6)"),
            ("KILL QUERY 5", "KILL QUERY: expected a quoted string, but there is `5` (line 1, column 12)"),
            ("KILL QUERY", "KILL QUERY: expected a quoted string, but the statement ends (line 1, column 11)"),
            ("KILL QUERY 'a' 'b'", "SQL: unexpected `'b'` after the statement (line 1, column 16)"),
        ] {
            assert_eq!(parse(sql).unwrap_err().to_string(), expected, "{sql}");
        }
    }
}
