//! Finds the tables that a SELECT reads, from which the order of steps is derived.

use std::collections::BTreeSet;

use bergmill_statement::{CATALOG, Statement, parse};

use crate::table_name::TableName;

/// The tables that one SELECT reads.
///
/// # Errors
/// Says why the text is not exactly one SELECT over tables with namespaces.
pub(crate) fn tables_read(sql: &str) -> Result<BTreeSet<TableName>, String> {
    let statement = parse(sql).map_err(|error| error.to_string())?;
    if !matches!(&statement, Statement::Sql(sql) if sql.is_query()) {
        return Err("expected exactly one SELECT".to_owned());
    }
    let tables = bergmill_statement::tables_read(&statement).map_err(|error| error.to_string())?;
    tables.iter().map(table).collect()
}

/// The table that a name refers to.
fn table(name: &bergmill_statement::TableName) -> Result<TableName, String> {
    match (&name.catalog, &name.namespace) {
        (None, Some(namespace)) => format!("{namespace}.{}", name.table).parse(),
        (None, None) => Err(format!("table {:?} has no namespace, and no WITH names it", name.table)),
        (Some(_), _) => {
            Err(format!("\"{name}\" is not a table's name: write namespace.table; the catalog is {CATALOG}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &[&str]) {
        let tables: Vec<String> = tables_read(sql).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(tables, expected, "{sql}");
    }

    #[test]
    fn finds_tables() {
        check("SELECT 1", &[]);
        check("WITH c AS (SELECT * FROM RAW.A) SELECT * FROM c, bergmill.raw.b", &["raw.a", "raw.b"]);
        check(
            "SELECT * FROM raw.\"a$snapshots\", raw.b.branch_b, raw.c VERSION AS OF 'q1'",
            &["raw.a", "raw.b", "raw.c"],
        );
    }

    #[test]
    fn refuses_others() {
        for (sql, reason) in [
            ("DELETE FROM raw.a", "exactly one SELECT"),
            ("EXPLAIN SELECT 1", "exactly one SELECT"),
            ("SELECT 1; SELECT 2", "only one statement at a time"),
            ("SELEC 1", "Expected"),
            ("SELECT * FROM a", "has no namespace"),
            ("WITH Ärger AS (SELECT 1) SELECT * FROM ärger", "has no namespace"),
            ("SELECT * FROM other.raw.a", "is not a table's name"),
            ("SELECT * FROM raw.a.branch_b.c", "is not a table name"),
            ("SELECT * FROM raw.a VERSION AS OF )", "unexpected `AS`"),
            ("SELECT * FROM raw.a VERSION AS OF", "unexpected `AS`"),
            ("SELECT * FROM table_changes(raw, 1)", "a table's name in quotes"),
            ("SELECT * FROM table_changes('a', 1)", "has no namespace"),
        ] {
            let error = tables_read(sql).unwrap_err();
            assert!(error.contains(reason), "{sql}: {error}");
        }
    }
}
