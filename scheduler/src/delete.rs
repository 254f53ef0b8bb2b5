//! `DELETE FROM t AS x WHERE ...`. DataFusion's planner forgets the alias of a `DELETE`, so the rows to delete are planned as
//! the query `SELECT * FROM t AS x WHERE ...`, in which any condition has its meaning.

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DmlStatement, LogicalPlan, WriteOp};
use datafusion::sql::parser::Statement as ParsedStatement;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    Delete, Expr, FromTable, ObjectName, SetExpr, Statement as SqlStatement, TableFactor, TableWithJoins,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// A `DELETE` of a table that is given another name.
pub(crate) struct AliasedDelete {
    table: ObjectName,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
}

impl AliasedDelete {
    /// The statement, if it is such a one, and has none of the clauses that DataFusion would refuse.
    pub(crate) fn of(statement: &ParsedStatement) -> Option<Self> {
        let ParsedStatement::Statement(statement) = statement else { return None };
        let SqlStatement::Delete(delete) = statement.as_ref() else { return None };
        let Delete { tables, from, using, selection, returning, output, order_by, limit, optimizer_hints, .. } = delete;
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
        let [TableWithJoins { relation: TableFactor::Table { name, alias: Some(_), .. }, joins }] = from.as_slice()
        else {
            return None;
        };
        let is_plain = tables.is_empty() && joins.is_empty() && order_by.is_empty() && optimizer_hints.is_empty();
        let has_other = using.is_some() || returning.is_some() || output.is_some() || limit.is_some();
        let (table, from, selection) = (name.clone(), from.clone(), selection.clone());
        (is_plain && !has_other).then_some(Self { table, from, selection })
    }

    /// Plans the statement as DataFusion plans a `DELETE` without an alias: as the rows to delete.
    pub(crate) async fn plan(self, state: &SessionState) -> Result<LogicalPlan> {
        let mut query = Parser::new(&GenericDialect {}).try_with_sql("SELECT *")?.parse_query()?;
        let SetExpr::Select(select) = query.body.as_mut() else {
            return Err(DataFusionError::Internal("a SELECT is parsed as something else".to_string()));
        };
        (select.from, select.selection) = (self.from, self.selection);
        let query = ParsedStatement::Statement(Box::new(SqlStatement::Query(query)));
        let rows = match state.statement_to_plan(query).await? {
            LogicalPlan::Projection(all_columns) => all_columns.input,
            rows => rows.into(),
        };
        let mut target = rows.as_ref();
        while let LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) = target {
            target = target.inputs()[0];
        }
        let LogicalPlan::TableScan(target) = target else {
            return Err(DataFusionError::Plan(format!("DELETE FROM {}: it is not a table", self.table)));
        };
        let (target, table) = (target.source.clone(), object_name_to_table_reference(self.table, true)?);
        Ok(LogicalPlan::Dml(DmlStatement::new(table, target, WriteOp::Delete, rows)))
    }
}
