//! `CREATE VIEW`.
//!
//! ```sql
//! CREATE [OR REPLACE] VIEW [IF NOT EXISTS] v [(column [COMMENT 'text'], ...)]
//!   [COMMENT 'text'] [TBLPROPERTIES ('key' = 'value', ...)]
//!   AS query
//! ```

use std::collections::HashMap;

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::tokenizer::{Location, Token};

use super::Ddl;
use super::words::Words;
use crate::error::{Error, ErrorKind, Result};

/// `CREATE VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// Its name.
    pub name: TableReference,
    /// Whether a view of that name is replaced.
    pub or_replace: bool,
    /// Whether it is no error that there is a view of that name.
    pub if_not_exists: bool,
    /// Its columns, when the statement names them.
    pub columns: Vec<ViewColumn>,
    /// Its comment.
    pub comment: Option<String>,
    /// Properties.
    pub properties: HashMap<String, String>,
    /// The text behind `AS`.
    pub query: String,
}

/// A column of a view.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewColumn {
    /// Its name.
    pub name: String,
    /// Its comment.
    pub doc: Option<String>,
}

impl CreateView {
    /// The query with the names of the view's columns.
    pub fn sql(&self) -> String {
        if self.columns.is_empty() {
            return self.query.clone();
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let names: Vec<_> = self.columns.iter().map(|c| quoted(&c.name)).collect();
        format!("SELECT * FROM ({}) AS {} ({})", self.query, quoted(self.name.table()), names.join(", "))
    }
}

/// A whole statement; `None` if it does not create a view.
pub(super) fn parse(sql: &str, words: &mut Words) -> Result<Option<Ddl>> {
    const CLAUSE: &str = "CREATE VIEW";
    let or_replace = words.take(&["create", "or", "replace", "view"]);
    if !or_replace && !words.take(&["create", "view"]) {
        return Ok(None);
    }
    let mut if_not_exists = words.take(&["if", "not", "exists"]);
    let name = words.table(CLAUSE)?;
    if_not_exists |= words.take(&["if", "not", "exists"]);
    if or_replace && if_not_exists {
        return Err(Error::new(ErrorKind::Invalid, "CREATE VIEW takes OR REPLACE or IF NOT EXISTS, not both"));
    }
    let mut columns = Vec::new();
    if words.symbol(&Token::LParen) {
        loop {
            let name = words.name(CLAUSE)?;
            let doc = words.take(&["comment"]).then(|| words.text("COMMENT")).transpose()?;
            columns.push(ViewColumn { name, doc });
            if !words.comma() {
                break;
            }
        }
        words.close(CLAUSE)?;
    }
    let (mut comment, mut properties) = (None, HashMap::new());
    loop {
        if words.take(&["comment"]) {
            comment = Some(words.text("COMMENT")?);
        } else if words.take(&["tblproperties"]) {
            words.open("TBLPROPERTIES")?;
            loop {
                let key = words.text("TBLPROPERTIES")?;
                if !words.symbol(&Token::Eq) {
                    return Err(words.unexpected("TBLPROPERTIES", "`=`"));
                }
                properties.insert(key, words.text("TBLPROPERTIES")?);
                if !words.comma() {
                    break;
                }
            }
            words.close("TBLPROPERTIES")?;
        } else {
            break;
        }
    }
    words.expect("as", CLAUSE)?;
    let query = words.all();
    let (Some(first), Some(last)) = (query.first(), query.last()) else {
        return Err(words.unexpected(CLAUSE, "a query"));
    };
    let query = sql[offset(sql, first.span.start)..offset(sql, last.span.end)].to_string();
    let view = CreateView { name, or_replace, if_not_exists, columns, comment, properties, query };
    Ok(Some(Ddl::CreateView(Box::new(view))))
}

/// The byte at which a location of the tokenizer is: lines and columns count from 1, columns in characters.
fn offset(sql: &str, location: Location) -> usize {
    let line_start = match location.line {
        0 | 1 => 0,
        line => {
            let mut starts = sql.match_indices('\n').map(|(at, _)| at + 1);
            starts.nth(usize::try_from(line - 2).unwrap_or(usize::MAX)).unwrap_or(sql.len())
        }
    };
    let column = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest = &sql[line_start..];
    line_start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}
