//! Whether a stage can be divided into tasks.
//!
//! A task of a stage gets some of its partitions. Ballista's `restrict_plan_to_partitions` removes the others from the
//! leaves of the task's plan, except from leaves below an operator that requires all rows in one partition: each task
//! reads those whole. The task then runs every remaining partition of its plan. So a stage can be divided if
//!
//! - partition `i` of each operator needs only partition `i` of its inputs, or all rows of an input that it collects,
//! - no operator returns rows of an input that it collects, since each task would return them,
//! - the collected rows are the same in every task,
//! - below a union, an operator without partitions at its leaves has no partitions itself.
//!
//! Unknown operators count as not divisible: such a query runs whole, on one executor.

use std::fmt;
use std::sync::Arc;

use ballista_core::execution_plans::{RangeShuffleReaderExec, ShuffleReaderExec, SortShuffleWriterExec};
use bergmill_engine::{SharedExec, WholeQueryExec};
use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::{Distribution, Partitioning};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode, PiecewiseMergeJoinExec};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::planner::rules::may_drop_first_rows;

/// Why a stage cannot be divided into tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Indivisible {
    /// Each task would return the unmatched rows of the collected side.
    RowsOfCollectedSide { operator: String, join: JoinType },
    /// Each task could collect different rows, from a limit, a window or a volatile function.
    UnsteadyInput(String),
    /// A task without partitions of this input of a union would still have one.
    UnionInput(String),
    /// An operator has an unexpected number of partitions.
    Misplaced { operator: String, expected: usize, found: usize },
    /// An input is not partitioned by the keys that the operator requires.
    WrongKeys(String),
    /// An input does not have the order that the operator requires.
    WrongOrder(String),
    /// Rows without columns are counted by batch, and an exchange does not keep batches.
    NoColumns,
    /// A top-k over several partitions of a task would compare too few columns.
    FirstRows,
    /// A sort above an `OFFSET` without `LIMIT` would be pushed below it.
    Offset,
    /// The operator is unknown.
    Unknown(String),
    /// The stage exchanges the rows of an input without any, which Ballista plans endlessly.
    NoRows,
}

impl fmt::Display for Indivisible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowsOfCollectedSide { operator, join } => {
                write!(f, "each task would return the unmatched rows of a {join} join's collected side ({operator})")
            }
            Self::UnsteadyInput(operator) => write!(f, "each task could collect different rows from {operator}"),
            Self::UnionInput(operator) => write!(f, "an input of a union cannot be removed from a task ({operator})"),
            Self::Misplaced { operator, expected, found } => {
                write!(f, "{operator} has {found} partitions, but the stage has {expected}")
            }
            Self::WrongKeys(operator) => write!(f, "the rows of {operator} are not partitioned by its keys"),
            Self::WrongOrder(operator) => write!(f, "the input of {operator} does not have the required order"),
            Self::NoColumns => write!(f, "a stage would exchange rows without columns"),
            Self::FirstRows => write!(f, "a top-k over partitions would not compare columns that are constant in each"),
            Self::Offset => write!(f, "rows would be sorted before an OFFSET skips some"),
            Self::Unknown(operator) => write!(f, "{operator} is not known to be divisible"),
            Self::NoRows => write!(f, "a stage would exchange the rows of an input without any"),
        }
    }
}

/// Checks that the tasks of a stage together return the rows of the stage. `stage` is its plan, with the node that
/// writes the shuffle on top.
pub(crate) fn check(stage: &Arc<dyn ExecutionPlan>) -> Result<(), Indivisible> {
    let children = stage.children();
    let [input] = children.as_slice() else { return Err(Indivisible::Unknown(stage.name().to_string())) };
    if input.schema().fields().is_empty() {
        return Err(Indivisible::NoColumns);
    }
    divided(input, input.output_partitioning().partition_count())
}

/// Checks that a stage may have rows to exchange.
pub(crate) fn check_exchange(stage: &Arc<dyn ExecutionPlan>) -> Result<(), Indivisible> {
    let is_empty = stage.is::<SortShuffleWriterExec>() && stage.children().into_iter().all(is_always_empty);
    if is_empty { Err(Indivisible::NoRows) } else { Ok(()) }
}

/// Checks an uncut plan for what [`check`] would refuse however Ballista plans hash joins, so that stages need not be
/// tried. `plan` counts as a plan for `partitions` partitions.
pub(crate) fn check_before_cutting(plan: &Arc<dyn ExecutionPlan>, partitions: usize) -> Result<(), Indivisible> {
    let mut found = Ok(());
    // The closure never fails.
    let _ = plan.apply(|node| {
        let probe = node.children().last().map_or(1, |probe| probe.output_partitioning().partition_count());
        found = match () {
            () if node.is::<UnionExec>() => node.children().into_iter().try_for_each(can_be_left_out),
            // Stages are planned without the second.
            () if node.is::<HashJoinExec>() || node.is::<SharedExec>() => Ok(()),
            () if node.downcast_ref::<GlobalLimitExec>().is_some_and(|l| l.fetch().is_none()) => {
                Err(Indivisible::Offset)
            }
            () if !is_known(node) && !is_exchange(node) => Err(Indivisible::Unknown(node.name().to_string())),
            () => check_join(node, probe.max(partitions)),
        };
        Ok(if found.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    found
}

/// Checks that `node` has `count` partitions, and that each needs only the same partition of its inputs.
fn divided(node: &Arc<dyn ExecutionPlan>, count: usize) -> Result<(), Indivisible> {
    let found = node.output_partitioning().partition_count();
    if found != count {
        return Err(Indivisible::Misplaced { operator: node.name().to_string(), expected: count, found });
    }
    if let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() {
        // Each task would read the whole broadcast.
        let is_whole = reader.broadcast && count > 1;
        return if is_whole { Err(Indivisible::Unknown("a broadcast".to_string())) } else { Ok(()) };
    }
    if let Some(scan) = node.downcast_ref::<DataSourceExec>() {
        let source = scan.data_source();
        let is_known = source.downcast_ref::<FileScanConfig>().is_some_and(|s| s.file_groups.len() == count)
            || source.downcast_ref::<MemorySourceConfig>().is_some_and(|s| s.partitions().len() == count);
        return if is_known { Ok(()) } else { Err(Indivisible::Unknown("a source of rows".to_string())) };
    }
    if node.is::<RangeShuffleReaderExec>() {
        return Ok(());
    }
    if !is_known(node) {
        return Err(Indivisible::Unknown(node.name().to_string()));
    }
    if may_drop_first_rows(node) {
        return Err(Indivisible::FirstRows);
    }
    check_join(node, count)?;
    let children = node.children();
    if node.is::<UnionExec>() {
        return children.into_iter().try_for_each(|child| {
            can_be_left_out(child)?;
            divided(child, child.output_partitioning().partition_count())
        });
    }
    let collects = collects(node);
    check_order(node)?;
    for (index, child) in children.into_iter().enumerate() {
        if collects[index] {
            if count > 1 {
                steady(child)?;
            }
        } else {
            divided(child, count)?;
            check_keys(node, index, child, count)?;
        }
    }
    Ok(())
}

/// For each input of `node`, whether each partition of `node` reads all of its rows.
fn collects(node: &Arc<dyn ExecutionPlan>) -> Vec<bool> {
    let children = node.children().len();
    if node.is::<CoalescePartitionsExec>() || node.is::<SortPreservingMergeExec>() {
        return vec![true; children];
    }
    let required = node.input_distribution_requirements();
    required.per_child_distributions().map(|d| matches!(d, Distribution::SinglePartition)).collect()
}

/// Checks that an input is partitioned as the operator requires. Range partitions would be sufficient too, but do not
/// occur here.
fn check_keys(
    node: &Arc<dyn ExecutionPlan>,
    index: usize,
    child: &Arc<dyn ExecutionPlan>,
    count: usize,
) -> Result<(), Indivisible> {
    let required = node.input_distribution_requirements();
    let Some(keys @ Distribution::KeyPartitioned(_)) = required.child_distribution(index) else { return Ok(()) };
    // Both sides of a join need the same keys; for an aggregate some of its keys may be sufficient.
    let allow_subset = node.children().len() == 1;
    let rows = child.output_partitioning();
    let is_partitioned =
        count == 1 || rows.satisfaction(keys, child.equivalence_properties(), allow_subset).is_satisfied();
    if is_partitioned { Ok(()) } else { Err(Indivisible::WrongKeys(node.name().to_string())) }
}

/// Checks that each input has the order that the operator requires.
fn check_order(node: &Arc<dyn ExecutionPlan>) -> Result<(), Indivisible> {
    for (child, required) in node.children().into_iter().zip(node.required_input_ordering()) {
        let Some(required) = required else { continue };
        if !child.equivalence_properties().ordering_satisfy_requirement(required.into_single()).unwrap_or(false) {
            return Err(Indivisible::WrongOrder(node.name().to_string()));
        }
    }
    Ok(())
}

/// Checks that a join with `count` partitions of its probe side returns no rows for its collected side.
fn check_join(node: &Arc<dyn ExecutionPlan>, count: usize) -> Result<(), Indivisible> {
    let (join, null_aware) = if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        (*join.join_type(), false)
    } else if let Some(join) = node.downcast_ref::<PiecewiseMergeJoinExec>() {
        (join.join_type(), false)
    } else if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        if *join.partition_mode() == PartitionMode::Partitioned {
            return Ok(());
        }
        (*join.join_type(), join.null_aware)
    } else {
        return Ok(());
    };
    let by_probe_alone = matches!(
        join,
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
    );
    if count == 1 || (by_probe_alone && !null_aware) {
        return Ok(());
    }
    Err(Indivisible::RowsOfCollectedSide { operator: node.name().to_string(), join })
}

/// Checks that the node has no partition if the leaves below it have none.
fn can_be_left_out(node: &Arc<dyn ExecutionPlan>) -> Result<(), Indivisible> {
    let refused = || Err(Indivisible::UnionInput(node.name().to_string()));
    if node.is::<CoalescePartitionsExec>() || node.is::<SortPreservingMergeExec>() {
        return refused();
    }
    if let Some(exchange) = node.downcast_ref::<RepartitionExec>() {
        // An exchange by hash ends a stage, so this node becomes a leaf.
        return if matches!(exchange.partitioning(), Partitioning::Hash(..)) { Ok(()) } else { refused() };
    }
    let children = node.children();
    let collects = collects(node);
    let mut divided = children.iter().zip(&collects).filter(|(_, is_collected)| !**is_collected).peekable();
    if !children.is_empty() && divided.peek().is_none() {
        return refused();
    }
    divided.try_for_each(|(child, _)| can_be_left_out(child))
}

/// Checks that a plan returns the same rows in every run.
fn steady(node: &Arc<dyn ExecutionPlan>) -> Result<(), Indivisible> {
    let unsteady = || Err(Indivisible::UnsteadyInput(node.name().to_string()));
    // The first of equal rows may differ between tasks.
    let cuts = node.fetch().is_some() && !node.is::<DataSourceExec>();
    if cuts || node.is::<WindowAggExec>() || node.is::<BoundedWindowAggExec>() || node.name().contains("Limit") {
        return unsteady();
    }
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        const BY_ORDER: [&str; 6] =
            ["first_value", "last_value", "nth_value", "array_agg", "string_agg", "approx_percentile_cont"];
        if aggregate.aggr_expr().iter().any(|f| BY_ORDER.contains(&f.fun().name())) {
            return unsteady();
        }
    }
    let mut volatile = false;
    let visited = node.apply_expressions(&mut |expression| {
        volatile |= is_volatile(expression);
        Ok(TreeNodeRecursion::Continue)
    });
    if volatile || visited.is_err() {
        return unsteady();
    }
    node.children().into_iter().try_for_each(steady)
}

/// Whether all rows come from an `EmptyExec`, so that there are none.
fn is_always_empty(node: &Arc<dyn ExecutionPlan>) -> bool {
    match node.children().as_slice() {
        [] => node.is::<EmptyExec>(),
        [child] => !node.is::<AggregateExec>() && is_always_empty(child),
        _ => false,
    }
}

fn is_exchange(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<RepartitionExec>() || node.is::<DataSourceExec>()
}

/// Operators that conform to the module's rules: their distribution requirements say what they need of each input, and
/// their partitions share no state except in the joins of [`check_join`].
fn is_known(node: &Arc<dyn ExecutionPlan>) -> bool {
    const KNOWN: [&str; 29] = [
        "AggregateExec",
        "BoundedWindowAggExec",
        "CoalesceBatchesExec",
        "CoalescePartitionsExec",
        "CompactExec",
        "CooperativeExec",
        "CrossJoinExec",
        "EmptyExec",
        "FilterExec",
        "FirstRowExec",
        "GlobalLimitExec",
        "HashJoinExec",
        "IcebergWriteExec",
        "InterleaveExec",
        "LocalLimitExec",
        "NestedLoopJoinExec",
        "PartialSortExec",
        "PiecewiseMergeJoinExec",
        "PlaceholderRowExec",
        "ProjectionExec",
        "PropertyBarrierExec",
        "RowPositionExec",
        "SortExec",
        "SortExec(TopK)",
        "SortMergeJoinExec",
        "SortPreservingMergeExec",
        "UnionExec",
        "UnnestExec",
        "WindowAggExec",
    ];
    KNOWN.contains(&node.name()) || node.is::<WholeQueryExec>()
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, RecordBatch};
    use datafusion::common::tree_node::{Transformed, TransformedResult};
    use datafusion::datasource::MemTable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// The plan of a query over `t` and `u`, three partitions each.
    async fn plan(sql: &str) -> Arc<dyn ExecutionPlan> {
        let config = SessionConfig::new().with_target_partitions(3).with_round_robin_repartition(false);
        let context = SessionContext::new_with_config(config);
        for table in ["t", "u"] {
            let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
            let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
            let table_of = MemTable::try_new(batch.schema(), vec![vec![batch]; 3]).unwrap();
            context.register_table(table, Arc::new(table_of)).unwrap();
        }
        context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
    }

    /// Checks a stage that is the whole plan of the query, except for exchanges by hash.
    async fn stage(sql: &str) -> Result<(), Indivisible> {
        let plan = plan(sql).await;
        // Where Ballista ends a stage, a reader has the same number of partitions and the same keys.
        let read = |node: Arc<dyn ExecutionPlan>| match node.downcast_ref::<RepartitionExec>() {
            Some(exchange) => {
                let partitions = vec![Vec::new(); exchange.partitioning().partition_count()];
                let reader = ShuffleReaderExec::try_new(1, partitions, node.schema(), exchange.partitioning().clone());
                Ok(Transformed::yes(Arc::new(reader?) as Arc<dyn ExecutionPlan>))
            }
            None => Ok(Transformed::no(node)),
        };
        let plan = plan.transform_down(read).data().unwrap();
        divided(&plan, plan.output_partitioning().partition_count())
    }

    #[tokio::test]
    async fn rows_of_a_collected_side_are_returned_once() {
        let refused = |join| Err(Indivisible::RowsOfCollectedSide { operator: "NestedLoopJoinExec".to_string(), join });
        assert_eq!(stage("SELECT * FROM t JOIN u ON t.n < u.n").await, Ok(()));
        assert_eq!(stage("SELECT * FROM t FULL JOIN u ON t.n < u.n").await, refused(JoinType::Full));
        let anti = "SELECT * FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE t.n < u.n)";
        assert_eq!(stage(anti).await, refused(JoinType::LeftAnti));
        // DataFusion collects a small side; Ballista would exchange both sides.
        let collected = Indivisible::RowsOfCollectedSide { operator: "HashJoinExec".to_string(), join: JoinType::Full };
        assert_eq!(stage("SELECT * FROM t FULL JOIN u ON t.n = u.n").await, Err(collected));
        assert_eq!(check_before_cutting(&plan("SELECT * FROM t FULL JOIN u ON t.n = u.n").await, 1), Ok(()));
        // With one partition of the probe side there is one task.
        assert_eq!(
            stage("SELECT * FROM (SELECT max(n) AS n FROM t) t FULL JOIN (SELECT max(n) AS n FROM u) u ON t.n < u.n")
                .await,
            Ok(())
        );
        let refused_before_cutting = check_before_cutting(&plan(anti).await, 1);
        assert_eq!(refused_before_cutting, refused(JoinType::LeftAnti));
    }

    #[tokio::test]
    async fn a_task_without_partitions_returns_no_rows_of_a_union() {
        let refused = |operator: &str| Err(Indivisible::UnionInput(operator.to_string()));
        assert_eq!(stage("SELECT n FROM t UNION ALL SELECT n + 1 FROM u WHERE n > 1").await, Ok(()));
        let grouped = "SELECT n, count(*) FROM t GROUP BY n UNION ALL SELECT n, 1 FROM u";
        assert_eq!(stage(grouped).await, Ok(()));
        assert_eq!(stage("SELECT max(n) FROM t UNION ALL SELECT n FROM u").await, refused("AggregateExec"));
        let limited = stage("SELECT n FROM t UNION ALL (SELECT n FROM u ORDER BY n LIMIT 2)").await;
        assert_eq!(limited, refused("SortPreservingMergeExec"));
        let numbered = "SELECT n FROM t UNION ALL SELECT row_number() OVER () FROM u";
        assert_eq!(stage(numbered).await, refused("BoundedWindowAggExec"));
        assert_eq!(check_before_cutting(&plan(numbered).await, 1), refused("BoundedWindowAggExec"));
    }

    #[tokio::test]
    async fn each_task_collects_the_same_rows() {
        let joined = |input: &str| format!("SELECT * FROM t JOIN ({input}) u ON u.n < t.n");
        assert_eq!(stage(&joined("SELECT n FROM u WHERE n > 1")).await, Ok(()));
        for input in ["SELECT n FROM u LIMIT 2", "SELECT n * random() AS n FROM u"] {
            let found = stage(&joined(input)).await;
            assert!(matches!(found, Err(Indivisible::UnsteadyInput(_))), "{input}: {found:?}");
        }
    }

    #[tokio::test]
    async fn operators_that_share_state_are_not_known() {
        let recursive = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r";
        assert_eq!(stage(recursive).await, Err(Indivisible::Unknown("RecursiveQueryExec".to_string())));
    }
}
