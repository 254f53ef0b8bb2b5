//! Options of the session: `SET name = value`, `SET TIME ZONE value`, `RESET name`, `USE namespace`.

use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::names::CATALOG;
use crate::token_reader::TokenReader;

/// The option for the namespace of names without one.
pub const NAMESPACE_OPTION: &str = "schema";
/// The option for the time zone.
pub const TIME_ZONE_OPTION: &str = "time_zone";

/// A statement that changes an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOption {
    /// Name of the option, in lower case.
    pub name: String,
    /// Its new value; `None` resets it.
    pub value: Option<String>,
}

/// Parses a whole statement; `None` if it is of another kind.
pub(crate) fn parse(reader: &mut TokenReader) -> Result<Option<SetOption>> {
    if reader.take(&["use"]) {
        let _ = reader.take_any(&["schema", "namespace", "database"]);
        let here = reader.position();
        let namespace = match reader.names("USE")?.as_slice() {
            [name] => name.clone(),
            [catalog, name] if catalog == CATALOG => name.clone(),
            _ => return Err(Error::invalid("USE: expected the name of a namespace").at(here)),
        };
        return Ok(Some(SetOption { name: NAMESPACE_OPTION.to_string(), value: Some(namespace) }));
    }
    if reader.take(&["reset"]) {
        return Ok(Some(SetOption { name: name(reader, "RESET")?, value: None }));
    }
    if !reader.take(&["set"]) {
        return Ok(None);
    }
    let _ = reader.take_any(&["session"]);
    if reader.take(&["time", "zone"]) {
        return Ok(Some(SetOption { name: TIME_ZONE_OPTION.to_string(), value: value(reader, "SET TIME ZONE")? }));
    }
    let name = name(reader, "SET")?;
    // `SET SCHEMA 'raw'` is standard SQL.
    let has_sign = reader.symbol(&Token::Eq) || reader.take(&["to"]);
    if !has_sign && name != NAMESPACE_OPTION {
        return Err(reader.unexpected("SET", "`=`"));
    }
    Ok(Some(SetOption { name, value: value(reader, "SET")? }))
}

fn name(reader: &mut TokenReader, clause: &str) -> Result<String> {
    if reader.take(&["time", "zone"]) {
        return Ok(TIME_ZONE_OPTION.to_string());
    }
    Ok(reader.names(clause)?.join(".").to_lowercase())
}

/// A string, a number or words with dots; `None` for `DEFAULT`.
fn value(reader: &mut TokenReader, clause: &str) -> Result<Option<String>> {
    if let Some(text) = reader.quoted() {
        return Ok(Some(text));
    }
    if reader.take(&["default"]) {
        return Ok(None);
    }
    if let Token::Number(number, _) = &reader.peek().token {
        let number = number.clone();
        reader.next();
        return Ok(Some(number));
    }
    if !matches!(reader.peek().token, Token::Word(_)) {
        return Err(reader.unexpected(clause, "a value"));
    }
    Ok(Some(reader.names(clause)?.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Statement, parse};

    #[test]
    fn options_are_set_and_reset() {
        for (sql, name, value) in [
            ("SET bergmill.execution = 'local'", "bergmill.execution", Some("local")),
            ("set Bergmill.Execution to cluster;", "bergmill.execution", Some("cluster")),
            ("SET bergmill.local_query_bytes = 4096", "bergmill.local_query_bytes", Some("4096")),
            ("SET TIME ZONE 'Asia/Seoul'", "time_zone", Some("Asia/Seoul")),
            ("SET time zone UTC", "time_zone", Some("utc")),
            ("SET SESSION time_zone = '+09:00'", "time_zone", Some("+09:00")),
            ("SET SCHEMA 'Raw'", "schema", Some("Raw")),
            ("SET schema = raw", "schema", Some("raw")),
            ("SET schema = DEFAULT", "schema", None),
            ("RESET schema", "schema", None),
            ("RESET TIME ZONE", "time_zone", None),
            ("USE raw", "schema", Some("raw")),
            ("USE bergmill.\"Raw\"", "schema", Some("Raw")),
            ("USE SCHEMA raw", "schema", Some("raw")),
        ] {
            let expected = SetOption { name: name.to_string(), value: value.map(str::to_string) };
            assert_eq!(parse(sql).unwrap(), Statement::Set(expected), "{sql}");
        }
        for (sql, expected) in [
            ("SET a", "SET: expected `=`, but the statement ends (line 1, column 6)"),
            ("SET a = ", "SET: expected a value, but the statement ends (line 1, column 8)"),
            ("SET = 1", "SET: expected a name, but there is `=` (line 1, column 5)"),
            ("USE a.b", "USE: expected the name of a namespace (line 1, column 5)"),
            ("SET a = 1, b = 2", "SQL: unexpected `,` after the statement (line 1, column 10)"),
        ] {
            assert_eq!(parse(sql).unwrap_err().to_string(), expected, "{sql}");
        }
    }
}
