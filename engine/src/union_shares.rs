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
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::{Distribution, Partitioning};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;

/// Whether the plan has a union at all.
pub fn has_union(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    plan.exists(|node| Ok(node.is::<UnionExec>()))
}

/// Whether every union in a plan for one partition is of rows that are only read, filtered and projected. So it is then when the
/// same query is planned for many, and its unions can be shared.
pub fn unions_only_read(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let has_other = plan.exists(|node| Ok(node.is::<UnionExec>() && !node.children().into_iter().all(only_reads)))?;
    Ok(!has_other)
}

fn only_reads(node: &Arc<dyn ExecutionPlan>) -> bool {
    let keeps_partitions =
        node.is::<DataSourceExec>() || node.is::<FilterExec>() || node.is::<ProjectionExec>() || node.is::<UnionExec>();
    // A limit that one partition keeps to by itself is an operator of its own over many.
    keeps_partitions && node.fetch().is_none() && node.children().into_iter().all(only_reads)
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

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch};
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// Whether it can be told from the plan for one partition, and whether the plan for three can be shared.
    async fn check(sql: &str, expected: (bool, bool)) {
        let plan = async |partitions| {
            let config = SessionConfig::new().with_target_partitions(partitions).with_round_robin_repartition(false);
            let context = SessionContext::new_with_config(config);
            let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
            let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
            let parts = vec![vec![batch]; partitions];
            let table = datafusion::datasource::MemTable::try_new(parts[0][0].schema(), parts).unwrap();
            context.register_table("t", Arc::new(table)).unwrap();
            context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
        };
        let (one, many) = (plan(1).await, plan(3).await);
        assert_eq!((unions_only_read(&one).unwrap(), unions_can_be_shared(&many).unwrap()), expected, "{sql}");
    }

    #[tokio::test]
    async fn what_can_be_told_from_one_partition_holds_for_many() {
        check("SELECT n FROM t", (true, true)).await;
        check("SELECT n FROM t UNION ALL SELECT n + 1 FROM t WHERE n > 1", (true, true)).await;
        check("SELECT max(n) FROM (SELECT n FROM t UNION ALL SELECT n FROM t)", (true, true)).await;
        check("SELECT n FROM t UNION ALL SELECT n FROM t ORDER BY n", (false, true)).await;
        check("SELECT n, count(*) FROM t GROUP BY n UNION ALL SELECT n, 1 FROM t", (false, true)).await;
        check("SELECT max(n) FROM t UNION ALL SELECT n FROM t", (false, false)).await;
        check("SELECT n FROM t UNION ALL (SELECT n FROM t LIMIT 2)", (false, false)).await;
        check("SELECT n FROM t UNION ALL (SELECT n FROM t ORDER BY n LIMIT 2)", (false, false)).await;
        check("SELECT n FROM t UNION ALL SELECT row_number() OVER () FROM t", (false, false)).await;
    }
}
