//! `DEFAULT` as a value. Iceberg has column defaults from format version 3 on; tables here are in version 2, so it is
//! NULL, as in SQL for a column without a default.

use sqlparser::ast::{Assignment, Expr, MergeAction, MergeInsertKind, SetExpr, Statement, Value, Values};

/// Replaces `DEFAULT` by NULL where a statement assigns it to a column.
pub(crate) fn resolve_defaults(statement: &mut Statement) {
    match statement {
        Statement::Insert(insert) => {
            if let Some(SetExpr::Values(values)) = insert.source.as_mut().map(|query| query.body.as_mut()) {
                in_values(values);
            }
        }
        Statement::Update(update) => in_assignments(&mut update.assignments),
        Statement::Merge(merge) => {
            for clause in &mut merge.clauses {
                match &mut clause.action {
                    MergeAction::Update(update) => in_assignments(&mut update.assignments),
                    MergeAction::Insert(insert) => {
                        if let MergeInsertKind::Values(values) = &mut insert.kind {
                            in_values(values);
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn in_values(values: &mut Values) {
    values.rows.iter_mut().flat_map(|row| &mut row.content).for_each(as_null);
}

fn in_assignments(assignments: &mut [Assignment]) {
    assignments.iter_mut().for_each(|assignment| as_null(&mut assignment.value));
}

/// sqlparser parses the word as a column name.
fn as_null(value: &mut Expr) {
    if matches!(value, Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
    {
        *value = Expr::value(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    #[test]
    fn an_assigned_default_is_null() {
        let check = |sql: &str, expected: &str| {
            let Ok(Statement::Sql(parsed)) = parse(sql) else { panic!("{sql}") };
            assert_eq!(parsed.tree.to_string(), expected, "{sql}");
        };
        check("INSERT INTO t VALUES (1, DEFAULT), (default, 2)", "INSERT INTO t VALUES (1, NULL), (NULL, 2)");
        check("INSERT INTO t SELECT \"default\" FROM u", "INSERT INTO t SELECT \"default\" FROM u");
        check("UPDATE t SET a = DEFAULT, b = \"default\"", "UPDATE t SET a = NULL, b = \"default\"");
        check(
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = DEFAULT \
             WHEN NOT MATCHED THEN INSERT (a) VALUES (DEFAULT)",
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = NULL \
             WHEN NOT MATCHED THEN INSERT (a) VALUES (NULL)",
        );
    }
}
