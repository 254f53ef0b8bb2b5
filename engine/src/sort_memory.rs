//! Memory that sorts reserve for merging.
//!
//! A sort buffers rows until the pool is exhausted and then merges them, which takes more memory, for keys and for
//! intermediate batches. DataFusion reserves 10 MiB for that (`sort_spill_reservation_bytes`) whatever the size of the
//! pool: too little for a merge of a hundred megabytes in which keys are most of the rows, and too much for many sorts
//! in a small pool. Here the sorts of a task share half of its memory for their merges.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::first_row::FirstRowExec;
use crate::task_context::with_config;

/// Number of sorts in a plan that may spill, one per partition of an operator. [`FirstRowExec`] counts: it sorts when
/// its hash table does not fit.
pub fn count_sorts(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let mut sorts = 0;
    // The closure never fails.
    let _ = plan.apply(|node| {
        if node.is::<FirstRowExec>() || node.downcast_ref::<SortExec>().is_some_and(|sort| sort.fetch().is_none()) {
            sorts += node.output_partitioning().partition_count();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    sorts
}

/// The context of a task with this number of sorts.
pub fn with_room_to_merge(context: &TaskContext, sorts: usize) -> TaskContext {
    with_runtime(context, sorts, context.runtime_env())
}

/// [`with_room_to_merge`] with the memory and disk of `runtime`.
pub(crate) fn with_runtime(context: &TaskContext, sorts: usize, runtime: Arc<RuntimeEnv>) -> TaskContext {
    let config = context.session_config().clone();
    let config = match runtime.memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) if sorts > 0 => config.with_sort_spill_reservation_bytes(bytes / (2 * sorts)),
        _ => config,
    };
    with_config(context, config, runtime)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::compute::SortOptions;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
    use datafusion::physical_plan::empty::EmptyExec;

    use super::*;

    /// With 10 MiB reserved, the purchases of ten million events did not fit into a pool of 170 MB: the keys are larger
    /// than the rows, and it is `FirstRowExec` that sorts them.
    #[test]
    fn all_that_may_sort_shares_half_of_the_memory() {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true)]));
        let rows: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(schema).with_partitions(2));
        let first = FirstRowExec::try_new(rows, vec![0], vec![], "n".to_string()).unwrap();
        let order = LexOrdering::new([PhysicalSortExpr::new(Arc::new(Column::new("k", 0)), SortOptions::default())]);
        let sort = |input| SortExec::new(order.clone().unwrap(), input).with_preserve_partitioning(true);
        let plan: Arc<dyn ExecutionPlan> = Arc::new(sort(Arc::new(first)));
        assert_eq!(count_sorts(&plan), 4);
        let top: Arc<dyn ExecutionPlan> = Arc::new(sort(plan).with_fetch(Some(10)));
        assert_eq!(count_sorts(&top), 4, "the first ten rows are kept without spilling");

        let set_aside =
            |context: &TaskContext| context.session_config().options().execution.sort_spill_reservation_bytes;
        let (unbounded, pool) = (TaskContext::default(), Arc::new(GreedyMemoryPool::new(80_000_000)));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        assert_eq!(set_aside(&with_runtime(&unbounded, 4, runtime)), 10_000_000);
        assert_eq!(set_aside(&with_room_to_merge(&unbounded, 4)), set_aside(&unbounded));
    }
}
