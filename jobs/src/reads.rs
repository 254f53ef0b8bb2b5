//! Finding which tables a SELECT reads, so that the order of steps follows from their SQL.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Query, Statement, TableFactor, Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::table_name::TableName;

/// The tables that one SELECT reads; an error says why the text is not one SELECT over tables with namespaces.
pub(crate) fn tables_read(sql: &str) -> Result<BTreeSet<TableName>, String> {
    // DataFusion's own default dialect, so that what is accepted here is accepted there.
    let statements = Parser::parse_sql(&GenericDialect {}, sql).map_err(|error| error.to_string())?;
    let [statement @ Statement::Query(_)] = statements.as_slice() else {
        return Err("expected exactly one SELECT".to_owned());
    };
    let mut found = Found::default();
    let _ = statement.visit(&mut found);

    let mut tables = BTreeSet::new();
    for parts in found.names {
        match parts.as_slice() {
            [name] if found.ctes.contains(name) => {}
            [name] => return Err(format!("table {name:?} has no namespace, and no WITH names it")),
            [.., namespace, table] => {
                // A metadata table (events$snapshots) changes when its table does.
                let table = table.split('$').next().unwrap_or(table);
                tables.insert(format!("{namespace}.{table}").parse()?);
            }
            [] => {}
        }
    }
    Ok(tables)
}

#[derive(Default)]
struct Found {
    ctes: BTreeSet<String>,
    names: Vec<Vec<String>>,
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.extend(ctes.map(|cte| cte.alias.name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        // With arguments it is a function (generate_series), not a table.
        if let TableFactor::Table { name, args: None, .. } = factor {
            let parts = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.clone());
            self.names.push(parts.collect());
        }
        ControlFlow::Continue(())
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
        check("SELECT * FROM raw.a JOIN raw.b ON a.x = b.x", &["raw.a", "raw.b"]);
        check("WITH c AS (SELECT * FROM raw.a) SELECT * FROM c WHERE x IN (SELECT y FROM raw.b)", &["raw.a", "raw.b"]);
        check("SELECT * FROM raw.\"a$snapshots\"", &["raw.a"]);
        check("SELECT * FROM generate_series(1, 2) UNION ALL SELECT x FROM (SELECT x FROM raw.a) s", &["raw.a"]);
        check("SELECT count(*) FILTER (WHERE date = DATE '2026-02-14') FROM raw.a", &["raw.a"]);
    }

    #[test]
    fn refuses_others() {
        for (sql, reason) in [
            ("DELETE FROM raw.a", "exactly one SELECT"),
            ("SELECT 1; SELECT 2", "exactly one SELECT"),
            ("SELEC 1", "Expected"),
            ("SELECT * FROM a", "has no namespace"),
        ] {
            let error = tables_read(sql).unwrap_err();
            assert!(error.contains(reason), "{sql}: {error}");
        }
    }
}
