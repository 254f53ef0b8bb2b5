//! DDL that DataFusion's parser does not support, or parses differently: `ALTER TABLE`, views, comments. The syntax is
//! that of Spark with Iceberg's extensions.

use crate::alter_table::{Alteration, ColumnPath, SchemaChange, alteration};
use crate::error::{Error, Result};
use crate::names::{CATALOG, TableName};
use crate::token_reader::TokenReader;
use crate::views::{self, CreateView};

/// A DDL statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Ddl {
    /// `ALTER TABLE`, or a comment on a column.
    AlterTable {
        /// The table to alter.
        table: TableName,
        /// Whether a missing table is no error.
        if_exists: bool,
        /// The change.
        alteration: Alteration,
    },
    /// `ALTER TABLE ... RENAME TO`.
    RenameTable {
        /// The table to rename.
        table: TableName,
        /// Whether a missing table is no error.
        if_exists: bool,
        /// Its new name; without a namespace, the table stays in its own.
        to: TableName,
    },
    /// `COMMENT ON TABLE` or `COMMENT ON VIEW`.
    Comment {
        /// The table or view.
        table: TableName,
        /// Whether it is a view.
        is_view: bool,
        /// The comment; `None` removes it.
        text: Option<String>,
    },
    /// `CREATE VIEW`.
    CreateView(Box<CreateView>),
    /// `DROP VIEW`.
    DropView {
        /// The view to drop.
        view: TableName,
        /// Whether a missing view is no error.
        if_exists: bool,
    },
}

/// Parses a whole statement, whose text is `sql`; `None` if it is of another kind.
pub(crate) fn parse(sql: &str, reader: &mut TokenReader) -> Result<Option<Ddl>> {
    if reader.take(&["alter", "table"]) {
        return alter_table(reader);
    }
    if reader.take(&["comment", "on"]) {
        return comment(reader).map(Some);
    }
    if reader.take(&["drop", "view"]) {
        let if_exists = reader.take(&["if", "exists"]);
        return Ok(Some(Ddl::DropView { view: reader.table("DROP VIEW")?, if_exists }));
    }
    Ok(views::parse(sql, reader)?.map(|view| Ddl::CreateView(Box::new(view))))
}

/// Parses what follows `ALTER TABLE`; `None` if it does not change columns, partitioning, sort order, properties or the
/// name.
fn alter_table(reader: &mut TokenReader) -> Result<Option<Ddl>> {
    let if_exists = reader.take(&["if", "exists"]);
    let table = reader.table("ALTER TABLE")?;
    if reader.take(&["rename", "to"]) {
        return Ok(Some(Ddl::RenameTable { table, if_exists, to: reader.table("RENAME TO")? }));
    }
    Ok(alteration(reader)?.map(|alteration| Ddl::AlterTable { table, if_exists, alteration }))
}

/// `COMMENT ON {TABLE | VIEW | COLUMN} name IS 'text'`.
fn comment(reader: &mut TokenReader) -> Result<Ddl> {
    let is_column = reader.take(&["column"]);
    let is_view = !is_column && reader.take(&["view"]);
    if !is_column && !is_view {
        reader.expect("table", "COMMENT ON")?;
    }
    let here = reader.position();
    let mut names = reader.names("COMMENT ON")?;
    reader.expect("is", "COMMENT ON")?;
    let text = match reader.take(&["null"]) {
        true => None,
        false => Some(reader.text("COMMENT ON ... IS")?),
    };
    let named = |names| TableName::of_parts(names).map_err(|e| e.at(here));
    if !is_column {
        return Ok(Ddl::Comment { table: named(names)?, is_view, text });
    }
    // `t.c`, `ns.t.c`, `bergmill.ns.t.c`; any further names are fields of structs.
    let of_table = match names.len() {
        0 | 1 => {
            let what = "COMMENT ON COLUMN takes a table and a column of it, as in raw.orders.total";
            return Err(Error::invalid(what).at(here));
        }
        2 => 1,
        _ if names.len() > 3 && names[0] == CATALOG => 3,
        _ => 2,
    };
    let column = ColumnPath(names.split_off(of_table));
    let alteration = Alteration::Columns(vec![SchemaChange::Comment { column, doc: text }]);
    Ok(Ddl::AlterTable { table: named(names)?, if_exists: false, alteration })
}

#[cfg(test)]
#[path = "ddl_tests.rs"]
mod tests;
