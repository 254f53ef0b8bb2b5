//! `DEFAULT` as a value. Columns have defaults since format version 3 of Iceberg; in the version that is written here it is
//! NULL, as in SQL for a column that was given none.

use datafusion::sql::parser::Statement as ParsedStatement;
use datafusion::sql::sqlparser::ast::{
    Assignment, Expr, MergeAction, MergeInsertKind, SetExpr, Statement as SqlStatement, Value, Values,
};

/// Writes NULL where the statement gives `DEFAULT` for a column.
pub(crate) fn resolve(statement: &mut ParsedStatement) {
    let ParsedStatement::Statement(statement) = statement else { return };
    match statement.as_mut() {
        SqlStatement::Insert(insert) => {
            if let Some(SetExpr::Values(values)) = insert.source.as_mut().map(|query| query.body.as_mut()) {
                in_values(values);
            }
        }
        SqlStatement::Update(update) => in_assignments(&mut update.assignments),
        SqlStatement::Merge(merge) => {
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

/// The parser takes the word for a column's name.
fn as_null(value: &mut Expr) {
    if matches!(value, Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
    {
        *value = Expr::value(Value::Null);
    }
}
