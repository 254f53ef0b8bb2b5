//! Finds the tables that a statement reads.
//!
//! Any state of a table counts as the table: `ns.t VERSION AS OF ...` and its forms, `ns.t.branch_b`,
//! `table_changes('ns.t', ...)`, `ns."t$files"`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{ObjectName, Query, Spanned, TableFactor, Visit, Visitor};

use crate::error::{Error, Result};
use crate::names::{CATALOG, TableName, folded};
use crate::parse::Statement;
use crate::position::Position;

/// The tables and views whose rows a statement reads, without the catalog's name and without the tables that a `WITH`
/// defines. Deleting or updating rows of a table also reads it.
///
/// # Errors
/// `Invalid` for a name with too many parts.
pub fn tables_read(statement: &Statement) -> Result<BTreeSet<TableName>> {
    let sql = match statement {
        Statement::Sql(sql) => sql,
        Statement::Explain(explain) => &explain.statement,
        Statement::Ddl(_)
        | Statement::References(_)
        | Statement::Show(_)
        | Statement::Users(_)
        | Statement::Set(_)
        | Statement::Kill(_) => {
            return Ok(BTreeSet::new());
        }
    };
    let mut found = Found::default();
    // The visitor never breaks.
    let _ = sql.tree.visit(&mut found);
    let is_cte = |name: &TableName| name.namespace.is_none() && found.ctes.contains(&name.table);
    let names: Result<BTreeSet<TableName>> = found.names.iter().map(table).collect();
    names.map(|names| names.into_iter().filter(|name| !is_cte(name)).collect())
}

/// The table that a name refers to.
fn table(name: &ObjectName) -> Result<TableName> {
    let mut parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
    if parts.len() > 1 && parts[0] == CATALOG {
        parts.remove(0);
    }
    // A metadata table (events$snapshots) changes when its table does.
    if let Some(last) = parts.last_mut()
        && let Some(at) = last.find('$')
    {
        last.truncate(at);
    }
    TableName::of_parts(parts).map_err(|e| e.at(Position::of(name.span().start)))
}

/// The names that a statement uses for tables.
#[derive(Default)]
struct Found {
    ctes: BTreeSet<String>,
    names: Vec<ObjectName>,
}

impl Visitor for Found {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.extend(ctes.map(|cte| folded(&cte.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        // A factor with arguments is a function (generate_series), which reads no table.
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.names.push(name.clone());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    fn check(sql: &str, expected: &[&str]) {
        let statement = parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let tables: Vec<String> = tables_read(&statement).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(tables, expected, "{sql}");
    }

    #[test]
    fn finds_tables() {
        check("SELECT 1", &[]);
        check("SELECT * FROM raw.a JOIN raw.b ON a.x = b.x", &["raw.a", "raw.b"]);
        check("WITH c AS (SELECT * FROM raw.a) SELECT * FROM c WHERE x IN (SELECT y FROM raw.b)", &["raw.a", "raw.b"]);
        check("SELECT * FROM RAW.A, bergmill.raw.b", &["raw.a", "raw.b"]);
        check("WITH Ärger AS (SELECT 1) SELECT * FROM Ärger", &[]);
        check("WITH Recent AS (SELECT 1) SELECT * FROM recent", &[]);
        check("SELECT * FROM generate_series(1, 2) UNION ALL SELECT x FROM (SELECT x FROM raw.a) s", &["raw.a"]);
        check("SELECT count(*) FILTER (WHERE date = DATE '2026-02-14') FROM raw.a", &["raw.a"]);
    }

    #[test]
    fn any_state_of_a_table_is_the_table() {
        check("SELECT * FROM raw.\"a$snapshots\"", &["raw.a"]);
        check("SELECT * FROM raw.\"a$files\" VERSION AS OF 'q1' f WHERE f.record_count > 1", &["raw.a"]);
        check("SELECT \"$path\", x.* FROM raw.a x ORDER BY \"$pos\"", &["raw.a"]);
        for version in [
            "VERSION AS OF 6174113214391340000",
            "for version as of 'q1'",
            "FOR SYSTEM_VERSION AS OF -1",
            "TIMESTAMP AS OF '2026-02-14 10:00:00'",
            "TIMESTAMP AS OF TIMESTAMP '2026-02-14T00:00:00Z' - INTERVAL '1' DAY",
            "FOR TIMESTAMP AS OF now() - INTERVAL '1' DAY",
            "FOR SYSTEM_TIME AS OF DATE '2026-02-14'",
        ] {
            check(&format!("SELECT * FROM raw.a {version}"), &["raw.a"]);
            check(&format!("SELECT n.x FROM raw.a {version} AS o JOIN raw.b n ON n.x = o.x"), &["raw.a", "raw.b"]);
            check(&format!("SELECT (SELECT max(x) FROM raw.a {version}), y FROM raw.b"), &["raw.a", "raw.b"]);
        }
        check("SELECT * FROM raw.a.branch_b, bergmill.raw.b.\"tag_Q1\"", &["raw.a", "raw.b"]);
        check("SELECT * FROM raw.branch_b", &["raw.branch_b"]);
        check("SELECT c.x FROM table_changes('raw.a', 'q1') AS c JOIN raw.b ON b.x = c.x", &["raw.a", "raw.b"]);
        check("SELECT * FROM TABLE_CHANGES('bergmill.raw.a', NULL, 3)", &["raw.a"]);
        // Columns with these names.
        check("SELECT version AS of, a.timestamp AS of FROM raw.a", &["raw.a"]);
    }

    #[test]
    fn statements_other_than_select_read_tables() {
        check("SELECT * FROM a", &["a"]);
        check("SELECT * FROM other.raw.a", &["other.raw.a"]);
        check("EXPLAIN SELECT * FROM raw.a", &["raw.a"]);
        check("INSERT INTO raw.a SELECT * FROM raw.b", &["raw.b"]);
        check("CREATE TABLE raw.a PARTITIONED BY (x) AS SELECT * FROM raw.b", &["raw.b"]);
        check("DELETE FROM raw.a WHERE x IN (SELECT x FROM raw.b)", &["raw.a", "raw.b"]);
        check("ALTER TABLE raw.a RENAME TO raw.b", &[]);
        check("SHOW TABLES", &[]);
        let many = parse("SELECT * FROM raw.a.branch_b.c").unwrap();
        let e = tables_read(&many).unwrap_err().to_string();
        assert_eq!(e, "raw.a.branch_b.c is not a table name: expected namespace.table (line 1, column 15)");
    }
}
