//! `CREATE VIEW`.
//!
//! ```sql
//! CREATE [OR REPLACE] VIEW [IF NOT EXISTS] v [(column [COMMENT 'text'], ...)]
//!   [COMMENT 'text'] [TBLPROPERTIES ('key' = 'value', ...)]
//!   AS query
//! ```

use std::collections::HashMap;

use sqlparser::tokenizer::Token;

use crate::create_table::property;
use crate::error::{Error, Result};
use crate::names::TableName;
use crate::position::Lines;
use crate::token_reader::TokenReader;

/// `CREATE VIEW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateView {
    /// The name of the view.
    pub name: TableName,
    /// Whether an existing view of that name is replaced.
    pub or_replace: bool,
    /// Whether an existing view of that name is no error.
    pub if_not_exists: bool,
    /// Its columns, if the statement names them.
    pub columns: Vec<ViewColumn>,
    /// Its comment.
    pub comment: Option<String>,
    /// Its properties, without the comment.
    pub properties: HashMap<String, String>,
    /// The text after `AS`.
    pub query: String,
}

/// A column of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewColumn {
    /// Its name.
    pub name: String,
    /// Its comment.
    pub doc: Option<String>,
}

impl CreateView {
    /// The query, with its columns renamed to those of the view.
    pub fn sql(&self) -> String {
        if self.columns.is_empty() {
            return self.query.clone();
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let names: Vec<_> = self.columns.iter().map(|c| quoted(&c.name)).collect();
        format!("SELECT * FROM ({}) AS {} ({})", self.query, quoted(&self.name.table), names.join(", "))
    }
}

/// Parses a whole statement, whose text is `sql`; `None` if it does not create a view.
pub(crate) fn parse(sql: &str, reader: &mut TokenReader) -> Result<Option<CreateView>> {
    const CLAUSE: &str = "CREATE VIEW";
    let or_replace = reader.take(&["create", "or", "replace", "view"]);
    if !or_replace && !reader.take(&["create", "view"]) {
        return Ok(None);
    }
    let mut if_not_exists = reader.take(&["if", "not", "exists"]);
    let name = reader.table(CLAUSE)?;
    if_not_exists |= reader.take(&["if", "not", "exists"]);
    if or_replace && if_not_exists {
        return Err(Error::invalid("CREATE VIEW takes OR REPLACE or IF NOT EXISTS, not both"));
    }
    let columns = match reader.peek().token {
        Token::LParen => reader.list(CLAUSE, column)?,
        _ => Vec::new(),
    };
    let (mut comment, mut properties) = (None, HashMap::new());
    loop {
        if reader.take(&["comment"]) {
            comment = Some(reader.text("COMMENT")?);
        } else if reader.take(&["tblproperties"]) {
            properties.extend(reader.list("TBLPROPERTIES", property)?);
        } else {
            break;
        }
    }
    reader.expect("as", CLAUSE)?;
    let nothing = reader.unexpected(CLAUSE, "a query");
    let query = reader.rest_of_statement();
    let (Some(first), Some(last)) = (query.first(), query.last()) else { return Err(nothing) };
    let query = Lines::of(sql).between(first.span.start, last.span.end).to_string();
    Ok(Some(CreateView { name, or_replace, if_not_exists, columns, comment, properties, query }))
}

fn column(reader: &mut TokenReader) -> Result<ViewColumn> {
    let name = reader.name("CREATE VIEW")?;
    let doc = reader.take(&["comment"]).then(|| reader.text("COMMENT")).transpose()?;
    Ok(ViewColumn { name, doc })
}
