//! `ALTER TABLE`, in the syntax of Spark with Iceberg's extensions.
//!
//! ```sql
//! ALTER TABLE [IF EXISTS] t
//!     ADD {COLUMN | COLUMNS} [IF NOT EXISTS] [(] column type [COMMENT 'text'] [FIRST | AFTER c], ... [)]
//!   | DROP {COLUMN | COLUMNS} [IF EXISTS] [(] column, ... [)]
//!   | RENAME COLUMN column TO name
//!   | {ALTER | CHANGE} [COLUMN] column {TYPE type | COMMENT 'text' | FIRST | AFTER c | {SET | DROP} NOT NULL}
//!   | ADD PARTITION FIELD term [AS name]
//!   | DROP PARTITION FIELD {term | name}
//!   | REPLACE PARTITION FIELD {term | name} WITH term [AS name]
//!   | {WRITE [LOCALLY] ORDERED BY term, ... | SORTED BY (term, ...) | WRITE UNORDERED}
//!   | SET IDENTIFIER FIELDS column, ... | DROP IDENTIFIER FIELDS
//!   | SET TBLPROPERTIES ('key' = 'value', ...) | UNSET TBLPROPERTIES [IF EXISTS] ('key', ...)
//!   | RENAME TO name
//! ```
//! A nested column is written with dots: `address.city`, `lines.element.sku`. Branches and tags are in `references`.

use std::collections::HashMap;
use std::fmt;

use sqlparser::ast::DataType;
use sqlparser::parser::Parser;

use crate::create_table::{no_default, property};
use crate::error::{Error, Result};
use crate::terms::{SortTerm, Term, partition_term, sort_term};
use crate::token_reader::TokenReader;

/// What an `ALTER TABLE` changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Alteration {
    /// Changes of columns, applied in order.
    Columns(Vec<SchemaChange>),
    /// How new files are partitioned.
    Partitioning(PartitionChange),
    /// How rows are sorted in new files; empty for unsorted.
    SortOrder(Vec<SortTerm>),
    /// Properties to set.
    SetProperties(HashMap<String, String>),
    /// Properties to remove.
    UnsetProperties {
        /// Their names.
        names: Vec<String>,
        /// Whether a property that is not set is no error.
        if_exists: bool,
    },
}

/// Names from the outermost column inwards: `address.city`, `lines.element.sku`, `prices.value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPath(pub Vec<String>);

impl fmt::Display for ColumnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// The position of a column among its siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnPosition {
    /// Before all others.
    First,
    /// After this sibling.
    After(String),
}

/// A change of columns.
#[derive(Debug, Clone, PartialEq)]
pub enum SchemaChange {
    /// Adds a column.
    Add {
        /// The path of the new column: the structs around it, then its name.
        column: ColumnPath,
        /// Its type.
        ty: DataType,
        /// Whether `NOT NULL` was given, which no existing row could satisfy.
        required: bool,
        /// Its comment.
        doc: Option<String>,
        /// Its position; last if not given.
        position: Option<ColumnPosition>,
        /// Whether an existing column of that name is no error.
        if_not_exists: bool,
    },
    /// Drops a column and all columns nested in it.
    Drop {
        /// The column to drop.
        column: ColumnPath,
        /// Whether a missing column is no error.
        if_exists: bool,
    },
    /// Renames a column; its position is unchanged.
    Rename {
        /// The column under its old name.
        column: ColumnPath,
        /// The new name, without the structs around it.
        to: String,
    },
    /// Widens a column's type.
    Widen {
        /// The column to widen.
        column: ColumnPath,
        /// The new type.
        ty: DataType,
    },
    /// Moves a column among its siblings.
    Move {
        /// The column to move.
        column: ColumnPath,
        /// Its new position.
        position: ColumnPosition,
    },
    /// Sets or removes the comment of a column.
    Comment {
        /// The column.
        column: ColumnPath,
        /// The comment; `None` removes it.
        doc: Option<String>,
    },
    /// Lets a column hold NULL.
    DropNotNull(ColumnPath),
    /// Forbids NULL in a column; always refused.
    SetNotNull(ColumnPath),
    /// Sets the columns that identify a row.
    Identify(Vec<ColumnPath>),
}

/// A change of partitioning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionChange {
    /// Adds a field.
    Add {
        /// The column or transform to partition by.
        term: Term,
        /// Its name; made from the term if not given.
        name: Option<String>,
    },
    /// Removes a field, which is identified by its name or its term.
    Drop(Term),
    /// Replaces a field.
    Replace {
        /// The field to remove, by its name or its term.
        old: Term,
        /// The term of the field to add.
        new: Term,
        /// The name of the field to add; made from its term if not given.
        name: Option<String>,
    },
}

/// Parses what follows the table's name; `None` if it is not a change of this module.
pub(crate) fn alteration(reader: &mut TokenReader) -> Result<Option<Alteration>> {
    Ok(match () {
        () if reader.take(&["write", "unordered"]) => Some(Alteration::SortOrder(Vec::new())),
        () if reader.take(&["write", "ordered", "by"]) || reader.take(&["write", "locally", "ordered", "by"]) => {
            Some(sort_order(reader, "WRITE ORDERED BY")?)
        }
        () if reader.take(&["sorted", "by"]) => Some(sort_order(reader, "SORTED BY")?),
        () if reader.take(&["set", "tblproperties"]) => {
            let properties = reader.bare_list("SET TBLPROPERTIES", property)?;
            Some(Alteration::SetProperties(properties.into_iter().collect()))
        }
        () if reader.take(&["unset", "tblproperties"]) => {
            const CLAUSE: &str = "UNSET TBLPROPERTIES";
            let if_exists = reader.take(&["if", "exists"]);
            Some(Alteration::UnsetProperties { names: reader.bare_list(CLAUSE, |r| r.text(CLAUSE))?, if_exists })
        }
        () => match partition_change(reader)? {
            Some(change) => Some(Alteration::Partitioning(change)),
            None => schema_changes(reader)?.map(Alteration::Columns),
        },
    })
}

fn sort_order(reader: &mut TokenReader, clause: &str) -> Result<Alteration> {
    reader.bare_list(clause, |r| sort_term(r, clause)).map(Alteration::SortOrder)
}

fn partition_change(reader: &mut TokenReader) -> Result<Option<PartitionChange>> {
    const ADD: &str = "ADD PARTITION FIELD";
    const DROP: &str = "DROP PARTITION FIELD";
    const REPLACE: &str = "REPLACE PARTITION FIELD";
    Ok(Some(if reader.take(&["add", "partition", "field"]) {
        PartitionChange::Add { term: partition_term(reader, ADD)?, name: field_name(reader)? }
    } else if reader.take(&["drop", "partition", "field"]) {
        PartitionChange::Drop(partition_term(reader, DROP)?)
    } else if reader.take(&["replace", "partition", "field"]) {
        let old = partition_term(reader, REPLACE)?;
        reader.expect("with", REPLACE)?;
        PartitionChange::Replace { old, new: partition_term(reader, REPLACE)?, name: field_name(reader)? }
    } else {
        return Ok(None);
    }))
}

fn field_name(reader: &mut TokenReader) -> Result<Option<String>> {
    reader.take(&["as"]).then(|| reader.name("AS")).transpose()
}

fn schema_changes(reader: &mut TokenReader) -> Result<Option<Vec<SchemaChange>>> {
    Ok(Some(if reader.take(&["set", "identifier", "fields"]) {
        const CLAUSE: &str = "SET IDENTIFIER FIELDS";
        vec![SchemaChange::Identify(reader.bare_list(CLAUSE, |r| column(r, CLAUSE))?)]
    } else if reader.take(&["drop", "identifier", "fields"]) {
        vec![SchemaChange::Identify(Vec::new())]
    } else if reader.take(&["add", "column"]) || reader.take(&["add", "columns"]) {
        let if_not_exists = reader.take(&["if", "not", "exists"]);
        reader.bare_list("ADD COLUMN", |r| added_column(r, if_not_exists))?
    } else if reader.take(&["drop", "column"]) || reader.take(&["drop", "columns"]) {
        const CLAUSE: &str = "DROP COLUMN";
        let if_exists = reader.take(&["if", "exists"]);
        reader.bare_list(CLAUSE, |r| Ok(SchemaChange::Drop { column: column(r, CLAUSE)?, if_exists }))?
    } else if reader.take(&["rename", "column"]) {
        const CLAUSE: &str = "RENAME COLUMN";
        let column = column(reader, CLAUSE)?;
        reader.expect("to", CLAUSE)?;
        vec![SchemaChange::Rename { column, to: reader.name(CLAUSE)? }]
    } else if reader.take_any(&["alter", "change"]) {
        reader.take(&["column"]);
        vec![altered_column(reader)?]
    } else {
        return Ok(None);
    }))
}

/// A column, possibly nested.
fn column(reader: &mut TokenReader, clause: &str) -> Result<ColumnPath> {
    reader.names(clause).map(ColumnPath)
}

fn added_column(reader: &mut TokenReader, if_not_exists: bool) -> Result<SchemaChange> {
    const CLAUSE: &str = "ADD COLUMN";
    let column = column(reader, CLAUSE)?;
    let ty = reader.parse(CLAUSE, Parser::parse_data_type)?;
    let (mut required, mut doc, mut position) = (false, None, None);
    loop {
        let here = reader.position();
        if reader.take(&["not", "null"]) {
            required = true;
        } else if reader.take(&["null"]) {
            required = false;
        } else if reader.take(&["comment"]) {
            doc = Some(reader.text("COMMENT")?);
        } else if reader.take(&["default"]) {
            return Err(no_default(&column.to_string()).at(here));
        } else if let Some(found) = column_position(reader)? {
            position = Some(found);
        } else {
            return Ok(SchemaChange::Add { column, ty, required, doc, position, if_not_exists });
        }
    }
}

fn altered_column(reader: &mut TokenReader) -> Result<SchemaChange> {
    const CLAUSE: &str = "ALTER COLUMN";
    let column = column(reader, CLAUSE)?;
    let here = reader.position();
    if reader.take(&["type"]) || reader.take(&["set", "data", "type"]) {
        return Ok(SchemaChange::Widen { column, ty: reader.parse(CLAUSE, Parser::parse_data_type)? });
    }
    if reader.take(&["comment"]) {
        return Ok(SchemaChange::Comment { column, doc: Some(reader.text("COMMENT")?) });
    }
    if reader.take(&["drop", "not", "null"]) {
        return Ok(SchemaChange::DropNotNull(column));
    }
    if reader.take(&["set", "not", "null"]) {
        return Ok(SchemaChange::SetNotNull(column));
    }
    if reader.take(&["set", "default"]) {
        return Err(no_default(&column.to_string()).at(here));
    }
    match column_position(reader)? {
        Some(position) => Ok(SchemaChange::Move { column, position }),
        None => Err(reader.unexpected(CLAUSE, "TYPE, COMMENT, FIRST, AFTER, SET NOT NULL or DROP NOT NULL")),
    }
}

/// `FIRST`, or `AFTER` a sibling, which may be written as a whole path.
fn column_position(reader: &mut TokenReader) -> Result<Option<ColumnPosition>> {
    if reader.take(&["first"]) {
        return Ok(Some(ColumnPosition::First));
    }
    if !reader.take(&["after"]) {
        return Ok(None);
    }
    let mut names = reader.names("AFTER")?;
    match names.pop() {
        Some(name) => Ok(Some(ColumnPosition::After(name))),
        None => Err(Error::invalid("AFTER takes a column")),
    }
}
