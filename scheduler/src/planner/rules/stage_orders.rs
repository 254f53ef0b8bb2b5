//! Barriers between joins and the sorts and windows above them, in plans that are cut into stages.
//!
//! A hash join returns its rows in the order and the partitions of one input. So DataFusion sorts or partitions that
//! input where an operator above the join requires it. Ballista decides later which input of a join is hashed and
//! whether the other is exchanged, and then the requirement is not met any more (`order_lost`): the query would run in
//! stages up to that point, and then once more as a whole. A barrier keeps sorts and exchanges above the join.

use std::sync::Arc;

use bergmill_engine::PropertyBarrierExec;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use super::property_barriers::join_type;

/// Adds the barriers. Must run before the rules that enforce requirements.
#[derive(Debug)]
pub(super) struct StageOrders;

impl PhysicalOptimizerRule for StageOrders {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(with_barrier).data()
    }

    fn name(&self) -> &'static str {
        "stage_orders"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_barrier(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let requires = node.is::<SortExec>() || node.is::<BoundedWindowAggExec>() || node.is::<WindowAggExec>();
    match node.children().as_slice() {
        [input] if requires && returns_rows_of_join(input) => {
            let barrier: Arc<dyn ExecutionPlan> = Arc::new(PropertyBarrierExec::new(Arc::clone(input)));
            replace_children_if_necessary(node, vec![barrier]).map(Transformed::yes)
        }
        _ => Ok(Transformed::no(node)),
    }
}

/// Whether the order of these rows may be that of a join.
fn returns_rows_of_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if join_type(plan).is_some() {
        return true;
    }
    let inputs = plan.children().into_iter().zip(plan.maintains_input_order());
    inputs.into_iter().any(|(input, maintains)| maintains && returns_rows_of_join(input))
}
