//! Memory that sorts keep free for merging.
//!
//! A sort gathers rows until the pool has no more for it, and then merges what it has gathered, which takes memory again, for keys and for the
//! batches between. DataFusion sets 10 MiB aside for that (`sort_spill_reservation_bytes`) whatever the pool is, too little for a merge of a
//! hundred megabytes, and too much for many sorts in a small pool. Here the sorts of a task share half of its memory for their merges.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// How many sorts of a plan may spill, each partition of an operator being one.
pub fn count_sorts(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let mut sorts = 0;
    // The closure never fails.
    let _ = plan.apply(|node| {
        if node.downcast_ref::<SortExec>().is_some_and(|sort| sort.fetch().is_none()) {
            sorts += node.output_partitioning().partition_count();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    sorts
}

/// The context of a task with so many sorts.
pub fn with_room_to_merge(context: &TaskContext, sorts: usize) -> TaskContext {
    with_runtime(context, sorts, context.runtime_env())
}

/// The same, with memory and disk of this runtime.
pub(crate) fn with_runtime(context: &TaskContext, sorts: usize, runtime: Arc<RuntimeEnv>) -> TaskContext {
    let config = context.session_config().clone();
    let config = match runtime.memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) if sorts > 0 => config.with_sort_spill_reservation_bytes(bytes / (2 * sorts)),
        _ => config,
    };
    TaskContext::new(
        context.task_id(),
        context.session_id(),
        config,
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        runtime,
    )
}
