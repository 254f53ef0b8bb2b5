//! The `SHOW` and `DESCRIBE` statements about tables; DataFusion handles the others.

use sqlparser::tokenizer::Token;

use crate::error::Result;
use crate::names::{CATALOG, TableName};
use crate::token_reader::TokenReader;

/// A statement that returns metadata of tables and views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// `SHOW NAMESPACES`.
    Namespaces,
    /// `SHOW TABLES [IN namespace]`.
    Tables(Option<String>),
    /// `SHOW VIEWS [IN namespace]`.
    Views(Option<String>),
    /// `SHOW CREATE TABLE`.
    CreateTable(TableName),
    /// `SHOW CREATE VIEW`.
    CreateView(TableName),
    /// `SHOW TBLPROPERTIES`.
    Properties(TableName),
    /// `DESCRIBE [TABLE] [EXTENDED]`.
    Describe {
        /// The table or view.
        table: TableName,
        /// Whether partitioning, sort order and properties are shown as well.
        extended: bool,
    },
}

/// Parses a whole statement; `None` if DataFusion handles it.
pub(crate) fn parse(reader: &mut TokenReader) -> Result<Option<Show>> {
    if reader.take_any(&["describe", "desc"]) {
        return describe(reader);
    }
    if !reader.take(&["show"]) {
        return Ok(None);
    }
    Ok(Some(if reader.take_any(&["namespaces", "schemas", "databases"]) {
        Show::Namespaces
    } else if reader.take(&["tables"]) {
        Show::Tables(namespace(reader, "SHOW TABLES IN")?)
    } else if reader.take(&["views"]) {
        Show::Views(namespace(reader, "SHOW VIEWS IN")?)
    } else if reader.take(&["create", "table"]) {
        Show::CreateTable(reader.table("SHOW CREATE TABLE")?)
    } else if reader.take(&["create", "view"]) {
        Show::CreateView(reader.table("SHOW CREATE VIEW")?)
    } else if reader.take(&["tblproperties"]) {
        Show::Properties(reader.table("SHOW TBLPROPERTIES")?)
    } else {
        return Ok(None);
    }))
}

/// `IN ns`; `None` for the whole catalog.
fn namespace(reader: &mut TokenReader, clause: &str) -> Result<Option<String>> {
    if !reader.take_any(&["in", "from"]) {
        return Ok(None);
    }
    let mut names = reader.names(clause)?;
    if names.len() > 1 && names[0] == CATALOG {
        names.remove(0);
    }
    Ok(Some(names.join(".")))
}

/// Parses what follows `DESCRIBE`; `None` if it is not the name of a table.
fn describe(reader: &mut TokenReader) -> Result<Option<Show>> {
    reader.take(&["table"]);
    let extended = reader.take_any(&["extended", "formatted"]);
    // `DESCRIBE SELECT ...` shows the columns of a query.
    let is_name = match &reader.peek().token {
        Token::Word(w) if w.quote_style.is_some() => true,
        Token::Word(w) => !["select", "with", "values"].contains(&w.value.to_ascii_lowercase().as_str()),
        _ => false,
    };
    if !is_name {
        return Ok(None);
    }
    Ok(Some(Show::Describe { table: reader.table("DESCRIBE")?, extended }))
}
