//! Definition statements that DataFusion's parser does not know, or knows otherwise: `ALTER TABLE`, views, comments, and
//! the `SHOW` and `DESCRIBE` that tell of tables what Iceberg keeps of them. The syntax is that of Spark with Iceberg's
//! extensions.

mod alter;
mod show;
mod types;
mod views;
mod words;

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

pub use views::{CreateView, ViewColumn};
use words::Words;

use crate::error::{Error, ErrorKind, Result};
use crate::evolve::{Alteration, ColumnPath};

/// A definition statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Ddl {
    /// `ALTER TABLE`, or a comment on a column.
    AlterTable {
        /// Which table.
        table: TableReference,
        /// Whether it is no error that there is no such table.
        if_exists: bool,
        /// What becomes of it.
        alteration: Alteration,
    },
    /// `ALTER TABLE ... RENAME TO`.
    RenameTable {
        /// Its name.
        table: TableReference,
        /// Whether it is no error that there is no such table.
        if_exists: bool,
        /// Its new name; without a namespace, in the one where it is.
        to: TableReference,
    },
    /// `COMMENT ON TABLE` or `COMMENT ON VIEW`.
    Comment {
        /// The table or view.
        table: TableReference,
        /// Whether it is a view.
        is_view: bool,
        /// The comment; `None` takes it away.
        text: Option<String>,
    },
    /// `CREATE VIEW`.
    CreateView(Box<CreateView>),
    /// `DROP VIEW`.
    DropView {
        /// Which view.
        view: TableReference,
        /// Whether it is no error that there is no such view.
        if_exists: bool,
    },
    /// A statement whose answer is rows.
    Show(Show),
}

/// What a `SHOW` or `DESCRIBE` asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Show {
    /// `SHOW NAMESPACES`.
    Namespaces,
    /// `SHOW TABLES [IN namespace]`.
    Tables(Option<String>),
    /// `SHOW VIEWS [IN namespace]`.
    Views(Option<String>),
    /// `SHOW CREATE TABLE`.
    CreateTable(TableReference),
    /// `SHOW CREATE VIEW`.
    CreateView(TableReference),
    /// `SHOW TBLPROPERTIES`.
    Properties(TableReference),
    /// `DESCRIBE [TABLE] [EXTENDED]`.
    Describe {
        /// The table or view.
        table: TableReference,
        /// Whether partitioning, sort order and properties are told as well.
        extended: bool,
    },
}

impl Ddl {
    /// Parses a definition statement; `None` if the text is a statement of another kind.
    pub fn parse(sql: &str) -> Result<Option<Ddl>> {
        let dialect = GenericDialect {};
        // What cannot be cut into words is told by whoever parses it next.
        let Ok(tokens) = Tokenizer::new(&dialect, sql).tokenize_with_location() else { return Ok(None) };
        let mut tokens: Vec<TokenWithSpan> =
            tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF)).collect();
        while tokens.last().is_some_and(|t| t.token == Token::SemiColon) {
            tokens.pop();
        }
        let mut words = Words::new(tokens);
        let parsed = if words.take(&["alter", "table"]) {
            alter::parse(&mut words)?
        } else if words.take(&["comment", "on"]) {
            Some(comment(&mut words)?)
        } else if words.take(&["show"]) {
            show::parse(&mut words)?.map(Ddl::Show)
        } else if words.take_any(&["describe", "desc"]) {
            show::describe(&mut words)?.map(Ddl::Show)
        } else if words.take(&["drop", "view"]) {
            let if_exists = words.take(&["if", "exists"]);
            Some(Ddl::DropView { view: words.table("DROP VIEW")?, if_exists })
        } else {
            views::parse(sql, &mut words)?
        };
        match parsed {
            Some(ddl) => words.end().map(|()| Some(ddl)),
            None => Ok(None),
        }
    }
}

/// `COMMENT ON TABLE t IS 'text'`, and so of a view or of a column.
fn comment(words: &mut Words) -> Result<Ddl> {
    let is_column = words.take(&["column"]);
    let is_view = !is_column && words.take(&["view"]);
    if !is_column && !is_view {
        words.expect("table", "COMMENT ON")?;
    }
    let mut names = words.names("COMMENT ON")?;
    words.expect("is", "COMMENT ON")?;
    let text = match words.take(&["null"]) {
        true => None,
        false => Some(words.text("COMMENT ON ... IS")?),
    };
    if !is_column {
        return Ok(Ddl::Comment { table: words::table(names)?, is_view, text });
    }
    // `t.c`, `ns.t.c`, `bergmill.ns.t.c`; further names are those of fields in structs.
    let of_table = match names.len() {
        0 | 1 => {
            let what = "COMMENT ON COLUMN takes a table and a column of it, as in raw.orders.total";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        2 => 1,
        _ if names.len() > 3 && names[0] == crate::CATALOG_NAME => 3,
        _ => 2,
    };
    let column = ColumnPath(names.split_off(of_table));
    let change = crate::evolve::SchemaChange::Comment { column, doc: text };
    let alteration = Alteration::Columns(vec![change]);
    Ok(Ddl::AlterTable { table: words::table(names)?, if_exists: false, alteration })
}

#[cfg(test)]
mod tests;
