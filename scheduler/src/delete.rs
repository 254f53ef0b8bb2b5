//! `DELETE FROM t AS x WHERE ...`, planned like DataFusion plans a `DELETE` without an alias: as the rows to delete.

use bergmill_statement::AliasedDelete;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DmlStatement, LogicalPlan, WriteOp};
use datafusion::sql::parser::Statement as ParsedStatement;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

/// The plan of the statement.
pub(crate) async fn plan(delete: AliasedDelete, state: &SessionState) -> Result<LogicalPlan> {
    let query = ParsedStatement::Statement(Box::new(SqlStatement::Query(delete.rows)));
    let rows = match state.statement_to_plan(query).await? {
        LogicalPlan::Projection(all_columns) => all_columns.input,
        rows => rows.into(),
    };
    let mut target = rows.as_ref();
    while let LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) = target {
        target = target.inputs()[0];
    }
    let LogicalPlan::TableScan(target) = target else {
        return Err(DataFusionError::Plan(format!("DELETE FROM {}: not a table", delete.table)));
    };
    let (target, table) = (target.source.clone(), object_name_to_table_reference(delete.table, true)?);
    Ok(LogicalPlan::Dml(DmlStatement::new(table, target, WriteOp::Delete, rows)))
}
