//! Which plans must not be cut into stages, because Ballista 55 would answer them wrong.
//!
//! A task of a stage gets some of the stage's partitions, and those of a `UnionExec` are its inputs' one after another. An input of
//! which the task has no partition must then have none: Ballista's `restrict_plan_to_partitions` takes them from the leaves. It
//! leaves a leaf as it is below an operator that wants all rows in one partition (a sort, a global aggregate, a limit, a window
//! without keys), since that operator reads the whole of it; and the operator still has its one partition. The union then
//! counts it, and gives the rows of one input in the place of another's: `SELECT count(*) FROM a UNION ALL SELECT count(*) FROM b`
//! gave the first count twice. `tests/slt/unions.slt` has such statements. We know of no upstream issue.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::{Distribution, Partitioning};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;

/// Whether the plan has a union at all.
pub fn has_union(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    plan.exists(|node| Ok(node.is::<UnionExec>()))
}

/// Whether Ballista can give each task its share of every union in the plan.
pub fn unions_can_be_shared(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut can = true;
    plan.apply(|node| {
        can &= !node.is::<UnionExec>() || node.children().into_iter().all(can_be_emptied);
        Ok(if can { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(can)
}

/// Whether the node has no partition once the leaves below it have none.
fn can_be_emptied(node: &Arc<dyn ExecutionPlan>) -> bool {
    if node.is::<CoalescePartitionsExec>() || node.is::<SortPreservingMergeExec>() {
        return false;
    }
    if let Some(exchange) = node.downcast_ref::<RepartitionExec>() {
        // An exchange by hash ends a stage: what stands here then is a leaf.
        return matches!(exchange.partitioning(), Partitioning::Hash(..));
    }
    let children = node.children();
    let required = node.input_distribution_requirements();
    let wanted: Vec<bool> =
        required.per_child_distributions().map(|d| matches!(d, Distribution::SinglePartition)).collect();
    let mut shared =
        children.into_iter().zip(wanted).filter(|(_, is_whole)| !is_whole).map(|(child, _)| child).peekable();
    node.children().is_empty() || (shared.peek().is_some() && shared.all(can_be_emptied))
}
