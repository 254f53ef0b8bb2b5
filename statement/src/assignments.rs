//! Checks the assignments of `UPDATE` and `MERGE`: those that DataFusion's planner would misread are refused. The
//! planner uses only the last part of a name, and of two values for one column it takes either.

use std::collections::BTreeSet;

use sqlparser::ast::{Assignment, AssignmentTarget, MergeAction, Spanned, Statement};

use crate::error::{Error, Result};
use crate::position::Position;

/// Checks all assignments of a statement.
pub(crate) fn check_assignments(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Update(update) if update.from.is_some() || !update.table.joins.is_empty() => {
            let what = "UPDATE of a join is not supported: use MERGE INTO to change rows by those of other tables";
            Err(Error::unsupported(what))
        }
        Statement::Update(update) => check(&update.assignments, false),
        Statement::Merge(merge) => merge.clauses.iter().try_for_each(|clause| match &clause.action {
            MergeAction::Update(update) => check(&update.assignments, true),
            _ => Ok(()),
        }),
        _ => Ok(()),
    }
}

/// Checks the assignments of one `SET`. In a `MERGE` the column may be qualified with the table.
fn check(assignments: &[Assignment], qualified: bool) -> Result<()> {
    let mut columns = BTreeSet::new();
    for Assignment { target, .. } in assignments {
        let wrong = |what: String| Err(Error::invalid(what).at(Position::of(target.span().start)));
        let AssignmentTarget::ColumnName(name) = target else {
            return wrong(format!("SET {target}: assign each column separately"));
        };
        if name.0.len() > 1 && !qualified {
            return wrong(format!(
                "SET {name}: name the column alone; to set a field of a column, assign the whole column"
            ));
        }
        if !columns.insert(name.to_string()) {
            return wrong(format!("SET {name}: the column is assigned twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::parse::parse;

    #[test]
    fn each_column_is_assigned_one_value() {
        let check = |sql: &str, expected: Option<&str>| {
            let e = parse(sql).err().map(|e| e.to_string());
            assert_eq!(e.as_deref(), expected, "{sql}");
        };
        check("UPDATE t SET a = 1, b = a", None);
        check("UPDATE t SET (a, b) = (1, 2)", Some("SET (a, b): assign each column separately (line 1, column 15)"));
        check(
            "UPDATE t SET t.a = 1",
            Some(
                "SET t.a: name the column alone; to set a field of a column, assign the whole column (line 1, column 14)",
            ),
        );
        check("UPDATE t SET a = 1,\n  a = 2", Some("SET a: the column is assigned twice (line 2, column 3)"));
        check(
            "UPDATE t SET a = q.a FROM q",
            Some("UPDATE of a join is not supported: use MERGE INTO to change rows by those of other tables"),
        );
        check("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET t.a = 1, b = 2", None);
        check(
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET a = 1, a = 2",
            Some("SET a: the column is assigned twice (line 1, column 71)"),
        );
    }
}
