//! The clauses of `CREATE TABLE` for an Iceberg table, beyond its columns.
//!
//! ```sql
//! CREATE [OR REPLACE] TABLE [IF NOT EXISTS] ns.t (col type [NOT NULL] [COMMENT 'text'], ...)
//!   [PARTITIONED BY (column | year(c) | month(c) | day(c) | hour(c) | bucket(n, c) | truncate(w, c), ...)]
//!   [{SORTED BY (sort term, ...) | WRITE ORDERED BY sort term, ...}]
//!   [COMMENT 'text'] [LOCATION 'uri'] [TBLPROPERTIES ('key' = 'value', ...)]
//!   [AS SELECT ...]
//! ```
//! A sort term is a partition term with `[ASC | DESC] [NULLS FIRST | NULLS LAST]`.
//!
//! sqlparser does not support these clauses, so they are parsed here and removed from the tokens that it gets.

use std::collections::HashMap;

use sqlparser::ast::{ColumnDef, ColumnOption};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Result};
use crate::names::folded;
use crate::position::Position;
use crate::terms::{SortTerm, Term, partition_term, sort_term};
use crate::token_reader::TokenReader;

/// The clauses of a `CREATE TABLE` that DataFusion does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableClauses {
    /// Partition terms.
    pub partitioned_by: Vec<Term>,
    /// Sort order of the rows in files.
    pub sorted_by: Vec<SortTerm>,
    /// Column comments, by column name.
    pub docs: HashMap<String, String>,
    /// The table's comment.
    pub comment: Option<String>,
    /// Location of the files of the table, or of the namespace's tables, if the statement has one.
    pub location: Option<String>,
    /// Table properties, without the comment.
    pub properties: HashMap<String, String>,
}

/// Whether the next statement is a `CREATE TABLE`, which may have clauses.
pub(crate) fn is_create_table(reader: &TokenReader) -> bool {
    reader.is_next(&["create", "table"]) || reader.is_next(&["create", "or", "replace", "table"])
}

/// Whether the next statement is a `CREATE SCHEMA`, which may have a `LOCATION`.
pub(crate) fn is_create_namespace(reader: &TokenReader) -> bool {
    reader.is_next(&["create", "schema"])
}

/// Splits the next statement into its clauses and all other tokens. The table's name may be a keyword of a clause;
/// after `AS` there are no clauses.
pub(crate) fn take_clauses(reader: &mut TokenReader) -> Result<(Vec<TokenWithSpan>, TableClauses)> {
    let mut rest = head(reader);
    let mut clauses = TableClauses::default();
    let mut depth = 0usize;
    loop {
        if depth == 0 && reader.is_next(&["as"]) {
            rest.extend(reader.rest());
        } else if depth == 0 && clause(reader, &mut clauses)? {
            continue;
        }
        let Some(token) = reader.next() else { return Ok((rest, clauses)) };
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        rest.push(token);
    }
}

/// Takes `CREATE [OR REPLACE] {TABLE | SCHEMA} [IF NOT EXISTS] a.b`.
fn head(reader: &mut TokenReader) -> Vec<TokenWithSpan> {
    let start = reader.index();
    reader.take(&["create"]);
    reader.take(&["or", "replace"]);
    reader.take_any(&["table", "schema"]);
    reader.take(&["if", "not", "exists"]);
    reader.next();
    while reader.symbol(&Token::Period) {
        reader.next();
    }
    reader.taken_since(start).collect()
}

/// Takes a clause if one comes next.
fn clause(reader: &mut TokenReader, clauses: &mut TableClauses) -> Result<bool> {
    const ORDERED: &str = "WRITE ORDERED BY";
    if reader.take(&["partitioned", "by"]) {
        const CLAUSE: &str = "PARTITIONED BY";
        clauses.partitioned_by = reader.list(CLAUSE, |r| partition_term(r, CLAUSE))?;
    } else if reader.take(&["sorted", "by"]) {
        const CLAUSE: &str = "SORTED BY";
        clauses.sorted_by = reader.list(CLAUSE, |r| sort_term(r, CLAUSE))?;
    } else if reader.take(&["write", "ordered"]) {
        reader.expect("by", ORDERED)?;
        clauses.sorted_by = reader.bare_list(ORDERED, |r| sort_term(r, ORDERED))?;
    } else if reader.take(&["comment"]) {
        reader.symbol(&Token::Eq);
        let here = reader.position();
        let text = reader.quoted().ok_or_else(|| Error::invalid("COMMENT takes a quoted string").at(here))?;
        clauses.comment = Some(text);
    } else if reader.take(&["tblproperties"]) {
        clauses.properties = reader.list("TBLPROPERTIES", property)?.into_iter().collect();
    } else if reader.take(&["location"]) {
        let here = reader.position();
        let uri = reader.quoted().ok_or_else(|| Error::invalid("LOCATION takes a quoted URI").at(here))?;
        clauses.location = Some(uri);
    } else if reader.is_next(&["using"]) {
        // Spark names the table format this way; here every table is an Iceberg table.
        let here = reader.position();
        if !reader.take(&["using", "iceberg"]) {
            return Err(Error::invalid("USING supports only iceberg").at(here));
        }
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// `'key' = 'value'` of a `TBLPROPERTIES`.
pub(crate) fn property(reader: &mut TokenReader) -> Result<(String, String)> {
    const CLAUSE: &str = "TBLPROPERTIES";
    let key = reader.parse(CLAUSE, Parser::parse_literal_string)?;
    if !reader.symbol(&Token::Eq) {
        return Err(reader.unexpected(CLAUSE, "`=`"));
    }
    Ok((key, reader.parse(CLAUSE, Parser::parse_literal_string)?))
}

/// Column comments, which DataFusion drops.
pub(crate) fn docs(columns: &[ColumnDef]) -> Result<HashMap<String, String>> {
    let mut docs = HashMap::new();
    for column in columns {
        let name = folded(&column.name);
        for option in &column.options {
            match &option.option {
                ColumnOption::Comment(text) => drop(docs.insert(name.clone(), text.clone())),
                ColumnOption::Default(_) => {
                    return Err(no_default(&name).at(Position::of(column.name.span.start)));
                }
                _ => {}
            }
        }
    }
    Ok(docs)
}

pub(crate) fn no_default(column: &str) -> Error {
    let what = format!("column {column}: DEFAULT needs format version 3 of Iceberg, and tables are made in version 2");
    Error::unsupported(what)
}

impl TableClauses {
    /// The location; an error if any other clause is set.
    pub(crate) fn only_location(self) -> Result<Self> {
        let only = Self { location: self.location.clone(), ..Self::default() };
        match self == only {
            true => Ok(only),
            false => Err(Error::invalid("CREATE SCHEMA takes LOCATION 'uri' and no other clause")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::parse::{Sql, Statement, parse};
    use crate::terms::{NullOrder, SortDirection, Transform};

    fn sql(text: &str) -> Result<Sql> {
        match parse(text)? {
            Statement::Sql(sql) => Ok(*sql),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn clauses(text: &str) -> TableClauses {
        sql(text).unwrap_or_else(|e| panic!("{text}: {e}")).clauses
    }

    #[test]
    fn clauses_are_removed_at_any_position() {
        let got = clauses(
            "CREATE TABLE IF NOT EXISTS raw.t (ts TIMESTAMP, id BIGINT, kind TEXT) USING iceberg \
             PARTITIONED BY (day(ts), kind, bucket(16, id)) SORTED BY (ts, id DESC) \
             LOCATION 'file:///x' TBLPROPERTIES ('a.b' = 'c') AS SELECT 1, 'sorted by (x)'",
        );
        let of = |column: &str, transform| Term { column: column.to_string(), transform };
        let expected = [of("ts", Transform::Day), of("kind", Transform::Identity), of("id", Transform::Bucket(16))];
        assert_eq!(got.partitioned_by, expected);
        let descending = |term| SortTerm { term, direction: SortDirection::Descending, nulls: NullOrder::First };
        assert_eq!(got.sorted_by[1], descending(of("id", Transform::Identity)));
        assert_eq!(got.location.as_deref(), Some("file:///x"));
        assert_eq!(got.properties.get("a.b").map(String::as_str), Some("c"));
        let ordered = clauses(
            "CREATE OR REPLACE TABLE t (a INT COMMENT 'first', write TEXT) COMMENT 'all' \
             WRITE ORDERED BY (bucket(4, a) DESC, s.x) PARTITIONED BY (s.y)",
        );
        assert_eq!(ordered.sorted_by[0], descending(of("a", Transform::Bucket(4))));
        assert_eq!(ordered.sorted_by[1].term, of("s.x", Transform::Identity));
        assert_eq!(ordered.partitioned_by, [of("s.y", Transform::Identity)]);
        assert_eq!(ordered.docs.get("a").map(String::as_str), Some("first"));
        assert_eq!(ordered.comment.as_deref(), Some("all"));
        assert_eq!(clauses("CREATE TABLE t (sorted TEXT, location TEXT)"), TableClauses::default());
        let named =
            clauses("CREATE TABLE t (location INT, comment INT) WRITE ORDERED BY location, t.comment DESC COMMENT 'x'");
        assert_eq!(named.sorted_by.len(), 2);
        assert_eq!(named.comment.as_deref(), Some("x"));
        assert_eq!(clauses("SELECT 'create table x partitioned by (y)'"), TableClauses::default());
    }

    #[test]
    fn keywords_of_clauses_may_be_names() {
        for word in ["location", "comment", "tblproperties", "using", "sorted", "partitioned", "write", "Kommentar"] {
            for (name, create) in [
                (word.to_string(), "CREATE TABLE"),
                (format!("raw.{word}"), "CREATE OR REPLACE TABLE"),
                (format!("bergmill.{word}.{word}"), "CREATE TABLE IF NOT EXISTS"),
            ] {
                let sql = format!(
                    "{create} {name} ({word} INT COMMENT 'c') PARTITIONED BY ({word}) SORTED BY (bucket(4, {word})) \
                     LOCATION 'file:///x'"
                );
                let parsed = self::sql(&sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
                assert_eq!(parsed.tree.to_string(), format!("{create} {name} ({word} INT COMMENT 'c')"));
                let (of, at) = (&parsed.clauses.partitioned_by, &parsed.clauses.location);
                assert_eq!((of.len(), at.as_deref()), (1, Some("file:///x")), "{sql}");
            }
            let clauses = clauses(&format!("CREATE SCHEMA IF NOT EXISTS {word} LOCATION 'file:///x'"));
            assert_eq!(clauses.location.as_deref(), Some("file:///x"));
        }
        assert_eq!(parse("CREATE TABLE").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(parse("CREATE OR REPLACE TABLE IF NOT EXISTS").unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_namespace_may_have_a_location() {
        let got = clauses("CREATE SCHEMA IF NOT EXISTS raw LOCATION 's3://raw/'");
        assert_eq!(got, TableClauses { location: Some("s3://raw/".to_string()), ..TableClauses::default() });
        assert_eq!(parse("CREATE SCHEMA raw LOCATION s3").unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let check = |sql: &str, expected: &str| {
            let e = parse(sql).expect_err(sql);
            assert_eq!(e.kind(), ErrorKind::Invalid);
            assert!(e.to_string().contains(expected), "{sql}: {e}");
        };
        check("CREATE TABLE t (a INT) PARTITIONED BY (week(a))", "use a column, year(c)");
        check("CREATE TABLE t (a INT) PARTITIONED BY (bucket(0, a))", "bucket(n, c)");
        check("CREATE TABLE t (a INT) PARTITIONED BY a", "expected `(`, but there is `a` (line 1, column 39)");
        check(
            "CREATE TABLE t (a INT) PARTITIONED BY (a",
            "expected `,` or `)`, but the statement ends (line 1, column 41)",
        );
        check("CREATE TABLE t (a INT) SORTED BY (a + 1)", "use a column");
        check("CREATE TABLE t (a INT) TBLPROPERTIES ('a' 'b')", "TBLPROPERTIES");
        check("CREATE TABLE t (a INT) SORTED BY (a b)", "expected `,` or `)`, but there is `b` (line 1, column 37)");
        check("CREATE TABLE t (a INT) LOCATION x", "quoted URI");
        check("CREATE TABLE t (a INT) COMMENT x", "quoted string");
        check("CREATE TABLE t (a INT) WRITE ORDERED a", "expected BY, but there is `a` (line 1, column 38)");
        check("SELEC 1", "SQL");
        check("SELECT 1; SELECT 2", "one statement");
        check("", "no statement");
    }
}
