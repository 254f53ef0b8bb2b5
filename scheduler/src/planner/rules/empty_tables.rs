//! Replaces tables that are known to have no rows at planning time, so that joins with them are simplified.
//!
//! This also avoids such joins in Ballista. Its adaptive planner replaces an exchange without rows by an `EmptyExec`
//! and then, if an outer join reads it, endlessly adds an exchange above it.

use datafusion::common::Result;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// Replaces scans of tables that are known to have no rows.
#[derive(Debug, Default)]
pub(crate) struct EmptyTables;

impl OptimizerRule for EmptyTables {
    fn name(&self) -> &str {
        "empty_tables"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::TableScan(scan) = &plan else { return Ok(Transformed::no(plan)) };
        let Ok(table) = source_as_provider(&scan.source) else { return Ok(Transformed::no(plan)) };
        if table.statistics().is_none_or(|known| known.num_rows != Precision::Exact(0)) {
            return Ok(Transformed::no(plan));
        }
        let schema = Arc::clone(&scan.projected_schema);
        Ok(Transformed::yes(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema })))
    }
}
