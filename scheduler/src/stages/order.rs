//! Whether stages keep the order that a query requests, and that later stages rely on.
//!
//! Ballista's adaptive planner runs DataFusion's optimizer again whenever a stage has ended. A sort that was pushed
//! below a join, because the join kept the order of its one partition, is then lost when the join is planned over
//! exchanged rows. If a merge above the join was planned before, it still expects rows in that order.

use std::collections::HashMap;
use std::sync::Arc;

use ballista_core::execution_plans::RangeShuffleReaderExec;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::planner::WriteNode;

/// Whether a query requests an order, of its result or of the rows that it writes.
pub(crate) fn is_requested(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Extension(extension) => {
            let write = extension.node.as_any().downcast_ref::<WriteNode>();
            write.is_some_and(WriteNode::keeps_order) && plan.inputs().into_iter().all(is_requested)
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_) => plan.inputs().into_iter().all(is_requested),
        _ => false,
    }
}

/// Whether a plan returns its rows in one partition, in an order that it creates or maintains.
pub(super) fn is_kept(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.output_partitioning().partition_count() != 1 {
        return false;
    }
    let is_one_row = plan.downcast_ref::<AggregateExec>().is_some_and(|a| a.group_expr().is_empty());
    if is_one_row
        || plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<RangeShuffleReaderExec>()
    {
        return true;
    }
    match (plan.children().as_slice(), plan.maintains_input_order().as_slice()) {
        ([input], [true]) => is_kept(input),
        _ => false,
    }
}

/// A stage whose rows the plan of another stage merges by an order that they do not have, if there is one.
pub(super) fn unsorted_input(
    plan: &Arc<dyn ExecutionPlan>,
    stages: &HashMap<usize, ExecutionStage>,
) -> Result<Option<usize>> {
    let mut unsorted = None;
    plan.apply(|node| {
        let Some(reader) = node.downcast_ref::<RangeShuffleReaderExec>() else {
            return Ok(TreeNodeRecursion::Continue);
        };
        let Some(ExecutionStage::Successful(stage)) = stages.get(&reader.stage_id) else {
            unsorted = Some(reader.stage_id);
            return Ok(TreeNodeRecursion::Stop);
        };
        // The root of a stage writes the rows of its input.
        for rows in stage.plan.children() {
            if !is_sorted(rows, reader.merge_ordering())? {
                unsorted = Some(reader.stage_id);
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(unsorted)
}

/// Whether a plan returns the rows of each partition in this order.
fn is_sorted(plan: &Arc<dyn ExecutionPlan>, by: &LexOrdering) -> Result<bool> {
    plan.equivalence_properties().ordering_satisfy(by.clone())
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    async fn check(sql: &str, requested: bool, kept: bool) {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
        context.sql("CREATE TABLE t AS VALUES (1, 2), (3, 4)").await.unwrap().collect().await.unwrap();
        let plan = context.sql(sql).await.unwrap();
        let logical = plan.logical_plan().clone();
        let physical = plan.create_physical_plan().await.unwrap();
        assert_eq!((is_requested(&logical), is_kept(&physical)), (requested, kept), "{sql}");
    }

    #[tokio::test]
    async fn a_requested_order_is_found_in_the_plan() {
        check("SELECT column1 FROM t", false, false).await;
        check("SELECT column1 FROM t ORDER BY column2", true, true).await;
        check("SELECT column1, count(*) FROM t GROUP BY column1 ORDER BY column1 LIMIT 3", true, true).await;
        check("SELECT column1 FROM t ORDER BY column2 LIMIT 1", true, true).await;
        check("SELECT count(*) FROM t WHERE column1 > 1", false, true).await;
        check("SELECT column1 FROM t GROUP BY column1", false, false).await;
    }

    #[tokio::test]
    async fn an_order_that_a_plan_does_not_have_is_found() {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
        context.sql("CREATE TABLE t AS VALUES (1, 2), (3, 4)").await.unwrap().collect().await.unwrap();
        let plan = async |sql: &str| context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let ascending = plan("SELECT column1 FROM t ORDER BY column1").await;
        let by = ascending.output_ordering().unwrap().clone();
        let check = async |sql: &str, expected: bool| assert_eq!(is_sorted(&plan(sql).await, &by).unwrap(), expected);
        check("SELECT column1 FROM t ORDER BY column1", true).await;
        check("SELECT column1, column2 FROM t ORDER BY column1, column2", true).await;
        check("SELECT 5 AS column1", true).await;
        check("SELECT column1 FROM t ORDER BY column1 DESC", false).await;
        check("SELECT column1, column2 FROM t ORDER BY column2", false).await;
        check("SELECT column1 FROM t", false).await;
        check("SELECT column1 FROM t UNION ALL SELECT 5", false).await;
    }
}
