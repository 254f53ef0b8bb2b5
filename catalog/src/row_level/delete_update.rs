//! `DELETE` and `UPDATE` as row changes.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use datafusion::error::Result;
use datafusion::logical_expr::{DmlStatement, Expr, LogicalPlan};

use super::target::Target;
use super::{Affected, Clause, RowChange, Rows, Statement};
use crate::error::{Error, ErrorKind};
use crate::read::IcebergTable;

/// DataFusion plans `DELETE` as the rows to delete: a filter over the table.
pub(super) fn delete(statement: &DmlStatement, table: &IcebergTable) -> Result<RowChange> {
    let (condition, alias) = rows_of(&statement.input, "DELETE")?;
    Ok(change(statement, table, alias, condition, None))
}

/// DataFusion plans `UPDATE` as the rows to update with all their columns, new or unchanged.
pub(super) fn update(statement: &DmlStatement, table: &IcebergTable) -> Result<RowChange> {
    let LogicalPlan::Projection(projection) = statement.input.as_ref() else {
        return Err(unsupported("UPDATE", "of this kind"));
    };
    let (condition, alias) = rows_of(&projection.input, "UPDATE")?;
    let mut values = Vec::new();
    for (expr, field) in projection.expr.iter().zip(projection.schema.fields()) {
        let value = expr.clone().unalias();
        let is_old = matches!(&value, Expr::Column(c) if c.name == *field.name());
        if !is_old {
            values.push((field.name().clone(), value));
        }
    }
    Ok(change(statement, table, alias, condition, Some(values)))
}

fn change(
    statement: &DmlStatement,
    table: &IcebergTable,
    alias: Option<TableReference>,
    condition: Option<Expr>,
    update: Option<Vec<(String, Expr)>>,
) -> RowChange {
    RowChange {
        target: Target::new(table, statement.table_name.clone(), alias),
        statement: if update.is_some() { Statement::Update } else { Statement::Delete },
        filters: condition.iter().cloned().collect(),
        affected: vec![Affected { rows: Rows::Where(condition), clauses: vec![Clause { condition: None, update }] }],
        inserted: None,
    }
}

/// The condition, and the alias by which its columns refer to the table, if there is one.
fn rows_of(plan: &LogicalPlan, verb: &str) -> Result<(Option<Expr>, Option<TableReference>)> {
    let (condition, scan) = match plan {
        LogicalPlan::Filter(filter) => (Some(filter.predicate.clone()), filter.input.as_ref()),
        other => (None, other),
    };
    match scan {
        LogicalPlan::TableScan(_) => Ok((condition, None)),
        LogicalPlan::SubqueryAlias(alias) if matches!(alias.input.as_ref(), LogicalPlan::TableScan(_)) => {
            Ok((condition, Some(alias.alias.clone())))
        }
        LogicalPlan::Limit(_) => Err(unsupported(verb, "with LIMIT")),
        other => {
            let tables: BTreeSet<_> = other.schema().iter().filter_map(|(q, _)| q).map(ToString::to_string).collect();
            let what = format!(
                "of {}: use MERGE INTO to change rows by those of other tables",
                Vec::from_iter(tables).join(", ")
            );
            Err(unsupported(verb, &what))
        }
    }
}

fn unsupported(verb: &str, what: &str) -> datafusion::error::DataFusionError {
    Error::new(ErrorKind::Unsupported, format!("{verb} {what} is not supported")).into()
}
