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
//! A column inside others is written with dots: `address.city`, `lines.element.sku`.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::Ddl;
use super::types::arrow_type;
use super::words::Words;
use crate::definition::{no_default, properties, sort_terms, term};
use crate::error::{Error, ErrorKind, Result};
use crate::evolve::{Alteration, ColumnPath, PartitionChange, Place, SchemaChange, Term};

/// What follows `ALTER TABLE`; `None` if it is about something else than this module.
pub(super) fn parse(words: &mut Words) -> Result<Option<Ddl>> {
    let if_exists = words.take(&["if", "exists"]);
    let table = words.table("ALTER TABLE")?;
    if words.take(&["rename", "to"]) {
        let to = words.table("RENAME TO")?;
        return Ok(Some(Ddl::RenameTable { table, if_exists, to }));
    }
    let alteration = alteration(words)?;
    Ok(alteration.map(|alteration| Ddl::AlterTable { table, if_exists, alteration }))
}

fn alteration(words: &mut Words) -> Result<Option<Alteration>> {
    Ok(Some(if words.take(&["add", "partition", "field"]) {
        let (term, name) = (partition_term(words, "ADD PARTITION FIELD")?, field_name(words)?);
        Alteration::Partitioning(PartitionChange::Add { term, name })
    } else if words.take(&["drop", "partition", "field"]) {
        Alteration::Partitioning(PartitionChange::Drop(partition_term(words, "DROP PARTITION FIELD")?))
    } else if words.take(&["replace", "partition", "field"]) {
        let old = partition_term(words, "REPLACE PARTITION FIELD")?;
        words.expect("with", "REPLACE PARTITION FIELD")?;
        let (new, name) = (partition_term(words, "REPLACE PARTITION FIELD")?, field_name(words)?);
        Alteration::Partitioning(PartitionChange::Replace { old, new, name })
    } else if words.take(&["write", "unordered"]) {
        Alteration::SortOrder(Vec::new())
    } else if words.take(&["write", "ordered", "by"]) || words.take(&["write", "locally", "ordered", "by"]) {
        Alteration::SortOrder(sort_terms("WRITE ORDERED BY", words.rest())?)
    } else if words.take(&["sorted", "by"]) {
        Alteration::SortOrder(sort_terms("SORTED BY", words.rest())?)
    } else if words.take(&["set", "tblproperties"]) {
        Alteration::SetProperties(properties(words.rest())?)
    } else if words.take(&["unset", "tblproperties"]) {
        let if_exists = words.take(&["if", "exists"]);
        let names = list(words, |w| w.text("UNSET TBLPROPERTIES"))?;
        Alteration::UnsetProperties { names, if_exists }
    } else if words.take(&["set", "identifier", "fields"]) {
        let columns = list(words, |w| w.column("SET IDENTIFIER FIELDS"))?;
        Alteration::Columns(vec![SchemaChange::Identify(columns)])
    } else if words.take(&["drop", "identifier", "fields"]) {
        Alteration::Columns(vec![SchemaChange::Identify(Vec::new())])
    } else if words.take(&["add", "column"]) || words.take(&["add", "columns"]) {
        let if_not_exists = words.take(&["if", "not", "exists"]);
        Alteration::Columns(list(words, |w| added_column(w, if_not_exists))?)
    } else if words.take(&["drop", "column"]) || words.take(&["drop", "columns"]) {
        let if_exists = words.take(&["if", "exists"]);
        let dropped = |w: &mut Words| Ok(SchemaChange::Drop { column: w.column("DROP COLUMN")?, if_exists });
        Alteration::Columns(list(words, dropped)?)
    } else if words.take(&["rename", "column"]) {
        let column = words.column("RENAME COLUMN")?;
        words.expect("to", "RENAME COLUMN")?;
        Alteration::Columns(vec![SchemaChange::Rename { column, to: words.name("RENAME COLUMN")? }])
    } else if words.take_any(&["alter", "change"]) {
        words.take(&["column"]);
        Alteration::Columns(vec![altered_column(words)?])
    } else {
        return Ok(None);
    }))
}

/// Items with commas between, and parentheses around them or not.
fn list<T>(words: &mut Words, mut item: impl FnMut(&mut Words) -> Result<T>) -> Result<Vec<T>> {
    let in_parentheses = words.symbol(&Token::LParen);
    let mut items = vec![item(words)?];
    while words.comma() {
        items.push(item(words)?);
    }
    if in_parentheses {
        words.close("ALTER TABLE")?;
    }
    Ok(items)
}

fn added_column(words: &mut Words, if_not_exists: bool) -> Result<SchemaChange> {
    const CLAUSE: &str = "ADD COLUMN";
    let column = words.column(CLAUSE)?;
    let ty = arrow_type(words.parse(CLAUSE, Parser::parse_data_type)?, CLAUSE)?;
    let (mut required, mut doc, mut place) = (false, None, None);
    loop {
        if words.take(&["not", "null"]) {
            required = true;
        } else if words.take(&["null"]) {
            required = false;
        } else if words.take(&["comment"]) {
            doc = Some(words.text("COMMENT")?);
        } else if words.take(&["default"]) {
            return Err(no_default(&column.to_string()));
        } else if let Some(found) = self::place(words)? {
            place = Some(found);
        } else {
            return Ok(SchemaChange::Add { column, ty, required, doc, place, if_not_exists });
        }
    }
}

fn altered_column(words: &mut Words) -> Result<SchemaChange> {
    const CLAUSE: &str = "ALTER COLUMN";
    let column = words.column(CLAUSE)?;
    if words.take(&["type"]) || words.take(&["set", "data", "type"]) {
        let ty = arrow_type(words.parse(CLAUSE, Parser::parse_data_type)?, CLAUSE)?;
        return Ok(SchemaChange::Widen { column, ty });
    }
    if words.take(&["comment"]) {
        return Ok(SchemaChange::Comment { column, doc: Some(words.text("COMMENT")?) });
    }
    if words.take(&["drop", "not", "null"]) {
        return Ok(SchemaChange::DropNotNull(column));
    }
    if words.take(&["set", "not", "null"]) {
        return Ok(SchemaChange::SetNotNull(column));
    }
    if words.take(&["set", "default"]) {
        return Err(no_default(&column.to_string()));
    }
    match place(words)? {
        Some(place) => Ok(SchemaChange::Move { column, place }),
        None => Err(words.unexpected(CLAUSE, "TYPE, COMMENT, FIRST, AFTER, SET NOT NULL or DROP NOT NULL")),
    }
}

/// `FIRST`, or `AFTER` a sibling, which may be written with the names of what is around it.
fn place(words: &mut Words) -> Result<Option<Place>> {
    if words.take(&["first"]) {
        return Ok(Some(Place::First));
    }
    if !words.take(&["after"]) {
        return Ok(None);
    }
    let ColumnPath(mut names) = words.column("AFTER")?;
    match names.pop() {
        Some(name) => Ok(Some(Place::After(name))),
        None => Err(Error::new(ErrorKind::Invalid, "AFTER takes a column")),
    }
}

fn partition_term(words: &mut Words, clause: &str) -> Result<Term> {
    let expr = words.parse(clause, |p| p.parse_subexpr(u8::MAX))?;
    term(clause, &expr)
}

fn field_name(words: &mut Words) -> Result<Option<String>> {
    words.take(&["as"]).then(|| words.name("AS")).transpose()
}
