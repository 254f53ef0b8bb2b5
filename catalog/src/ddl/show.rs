//! `SHOW` and `DESCRIBE`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::Show;
use super::words::Words;
use crate::error::Result;

/// What follows `SHOW`; `None` if DataFusion answers it.
pub(super) fn parse(words: &mut Words) -> Result<Option<Show>> {
    Ok(Some(if words.take_any(&["namespaces", "schemas", "databases"]) {
        Show::Namespaces
    } else if words.take(&["tables"]) {
        Show::Tables(namespace(words)?)
    } else if words.take(&["views"]) {
        Show::Views(namespace(words)?)
    } else if words.take(&["create", "table"]) {
        Show::CreateTable(words.table("SHOW CREATE TABLE")?)
    } else if words.take(&["create", "view"]) {
        Show::CreateView(words.table("SHOW CREATE VIEW")?)
    } else if words.take(&["tblproperties"]) {
        Show::Properties(words.table("SHOW TBLPROPERTIES")?)
    } else {
        return Ok(None);
    }))
}

/// `IN ns`, or of the whole catalog.
fn namespace(words: &mut Words) -> Result<Option<String>> {
    if !words.take_any(&["in", "from"]) {
        return Ok(None);
    }
    let mut names = words.names("SHOW TABLES IN")?;
    if names.len() > 1 && names[0] == crate::CATALOG_NAME {
        names.remove(0);
    }
    Ok(Some(names.join(".")))
}

/// What follows `DESCRIBE`; `None` if it is not the name of a table.
pub(super) fn describe(words: &mut Words) -> Result<Option<Show>> {
    words.take(&["table"]);
    let extended = words.take_any(&["extended", "formatted"]);
    // DESCRIBE SELECT ... tells a query's columns.
    let is_name = match words.peek().token {
        Token::Word(w) if w.quote_style.is_some() => true,
        Token::Word(w) => !["select", "with", "values"].contains(&w.value.to_lowercase().as_str()),
        _ => false,
    };
    if !is_name {
        return Ok(None);
    }
    Ok(Some(Show::Describe { table: words.table("DESCRIBE")?, extended }))
}
