//! Filters without columns above an aggregate without groups.
//!
//! DataFusion's `PushDownFilter` pushes a predicate below an aggregate if all of its columns are group columns. A
//! predicate without columns, such as `1 > 2`, is also pushed below `count(*)`, which then still returns a row.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// DataFusion's rule, except for such filters.
#[derive(Debug, Default)]
pub(crate) struct ConstantFilters(PushDownFilter);

impl OptimizerRule for ConstantFilters {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Filter(filter) = &plan
            && let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref()
            && has_row_for_empty_input(aggregate)
            && split_conjunction(&filter.predicate).iter().any(|predicate| predicate.column_refs().is_empty())
        {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}

/// Whether an aggregate may return a row for an empty input.
fn has_row_for_empty_input(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.is_empty() || matches!(aggregate.group_expr.first(), Some(Expr::GroupingSet(_)))
}
