//! Barriers above inputs whose properties do not hold for the output of an operator.
//!
//! DataFusion 55 assumes that properties of an operator's input hold for its output: constant columns, equal columns,
//! the ordering of rows. That is wrong if the operator replaces values by NULL, as grouping sets do for the columns
//! that a set excludes, and outer joins for rows without a match. A sort is then omitted, or a group ends before its
//! last row. So a barrier without any properties is put above such inputs.
//!
//! A group expression without columns is taken to be constant even where a set excludes it, so there is a barrier above
//! such grouping sets.
//!
//! It also assumes that a `count`, `max` or `min` over a frame that moves with its row never decreases, or never
//! increases, even where another partition begins. There is a barrier above such a window.

use std::sync::Arc;

use bergmill_engine::PropertyBarrierExec;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::SetMonotonicity;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::window::{SlidingAggregateWindowExpr, WindowExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Adds barriers where they are needed. Must run before the rules that use properties.
#[derive(Debug)]
pub(super) struct PropertyBarriers;

impl PhysicalOptimizerRule for PropertyBarriers {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(with_barriers).data()
    }

    fn name(&self) -> &'static str {
        "property_barriers"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_barriers(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let needed = needs_barriers(&node);
    if !needed.contains(&true) {
        return Ok(Transformed::no(node));
    }
    let inputs = node.children().into_iter().zip(needed).map(|(input, needed)| match needed {
        true => Arc::new(PropertyBarrierExec::new(Arc::clone(input))),
        false => Arc::clone(input),
    });
    let inputs = inputs.collect();
    replace_children_if_necessary(node, inputs).map(Transformed::yes)
}

/// For each input of `node`, whether its properties do not hold for the output.
fn needs_barriers(node: &Arc<dyn ExecutionPlan>) -> Vec<bool> {
    let wrong = node.children().into_iter().map(|input| claims_ordered_results(input) || claims_constant_groups(input));
    wrong.zip(loses_properties(node)).map(|(wrong, lost)| wrong || lost).collect()
}

/// For each input of `node`, whether it has properties that `node` does not keep, although DataFusion assumes so.
fn loses_properties(node: &Arc<dyn ExecutionPlan>) -> Vec<bool> {
    let inputs = node.children();
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        // Later rules may still sort the input.
        let reads_rows = aggregate.mode().input_mode() == AggregateInputMode::Raw;
        return vec![reads_rows && aggregate.group_expr().has_grouping_set()];
    }
    let Some(join) = join_type(node) else { return vec![false; inputs.len()] };
    let gets_nulls =
        [matches!(join, JoinType::Right | JoinType::Full), matches!(join, JoinType::Left | JoinType::Full)];
    inputs.into_iter().zip(gets_nulls).map(|(input, nulls)| nulls && has_values(input)).collect()
}

pub(super) fn join_type(node: &Arc<dyn ExecutionPlan>) -> Option<JoinType> {
    let hash = node.downcast_ref::<HashJoinExec>().map(|join| *join.join_type());
    let nested = || node.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type());
    let sorted = || node.downcast_ref::<SortMergeJoinExec>().map(SortMergeJoinExec::join_type);
    let piecewise = || node.downcast_ref::<PiecewiseMergeJoinExec>().map(PiecewiseMergeJoinExec::join_type);
    hash.or_else(nested).or_else(sorted).or_else(piecewise)
}

/// Whether DataFusion takes rows to be ordered by the result of a window function that is not.
fn claims_ordered_results(input: &Arc<dyn ExecutionPlan>) -> bool {
    let bounded = input.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr);
    let functions = bounded.or_else(|| input.downcast_ref::<WindowAggExec>().map(WindowAggExec::window_expr));
    functions.unwrap_or_default().iter().any(|function| {
        function.as_any().downcast_ref::<SlidingAggregateWindowExpr>().is_some_and(|sliding| {
            let monotonicity = sliding.get_aggregate_expr().set_monotonicity();
            let frame = sliding.get_window_frame();
            monotonicity != SetMonotonicity::NotMonotonic && frame.is_causal() && !frame.end_bound.is_unbounded()
        })
    })
}

/// Whether DataFusion takes a group to be the same in all rows that a grouping set excludes from some.
fn claims_constant_groups(input: &Arc<dyn ExecutionPlan>) -> bool {
    input.downcast_ref::<AggregateExec>().is_some_and(|aggregate| {
        let groups = aggregate.group_expr();
        let is_constant = |expr: &Arc<dyn PhysicalExpr>| collect_columns(expr).is_empty();
        let reads_rows = aggregate.mode().input_mode() == AggregateInputMode::Raw;
        reads_rows && groups.has_grouping_set() && groups.expr().iter().any(|(expr, _)| is_constant(expr))
    })
}

/// Whether columns are known to be constant, or equal to an expression that is not a column. Columns that equal each
/// other remain equal when all are NULL.
fn has_values(input: &Arc<dyn ExecutionPlan>) -> bool {
    let classes = input.equivalence_properties().eq_group();
    classes
        .iter()
        .flat_map(|class| class.iter())
        .any(|expr| !expr.is::<Column>() || classes.is_expr_constant(expr).is_some())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::physical_plan::{collect, displayable};
    use datafusion::prelude::SessionConfig;

    use crate::planner::rules::physical_session;

    /// The rows of a query, and its plan.
    async fn answer(sql: &str) -> (String, String) {
        let config = SessionConfig::new().with_target_partitions(2).with_batch_size(2);
        let context = physical_session(config);
        let rows = "CREATE TABLE t (k INT, x INT) AS VALUES (1, 1), (2, 2), (3, 1), (1, 2), (2, 3), (NULL, 2)";
        context.sql(rows).await.unwrap().collect().await.unwrap();
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let text = displayable(plan.as_ref()).indent(false).to_string();
        let rows = collect(plan, context.task_ctx()).await.unwrap();
        (pretty_format_batches(&rows).unwrap().to_string(), text)
    }

    #[tokio::test]
    async fn grouping_sets_are_not_in_the_order_of_their_input() {
        let (rows, plan) = answer(
            "SELECT k, sum(n) AS n FROM (
                 SELECT k, x, count(*) AS n FROM (SELECT k, x, rank() OVER (ORDER BY k) AS r FROM t) WHERE r > 0
                 GROUP BY GROUPING SETS ((k, x), (k))
             ) GROUP BY k ORDER BY k",
        )
        .await;
        assert!(plan.contains("PropertyBarrierExec"), "{plan}");
        let right = "+---+---+\n| k | n |\n+---+---+\n| 1 | 4 |\n| 2 | 4 |\n| 3 | 2 |\n|   | 2 |\n+---+---+";
        assert_eq!(rows, right, "{plan}");
    }

    #[tokio::test]
    async fn constants_of_an_outer_join_are_null_without_a_match() {
        let right = "+---+---+\n| c | k |\n+---+---+\n|   | 1 |\n|   | 2 |\n|   |   |\n| 5 | 3 |\n+---+---+";
        for join in [
            "t LEFT JOIN (SELECT k AS j, 5 AS c FROM t WHERE k = 3) ON k = j",
            "(SELECT k AS j, 5 AS c FROM t WHERE k = 3) RIGHT JOIN t ON k = j",
            "(SELECT 3 AS j, 5 AS c) FULL JOIN t ON k = j",
            "t LEFT JOIN (SELECT 3 AS j, 5 AS c) ON k <= j AND k >= j",
        ] {
            let (rows, plan) = answer(&format!(
                "SELECT c, k FROM (SELECT DISTINCT c, k FROM {join}) ORDER BY c NULLS FIRST, k NULLS LAST"
            ))
            .await;
            assert_eq!(rows, right, "{join}\n{plan}");
            assert!(plan.contains("PropertyBarrierExec"), "{plan}");
        }
    }

    #[tokio::test]
    async fn results_over_moving_frames_are_not_in_order() {
        for (function, right) in [
            ("count(*) OVER (PARTITION BY c, x ROWS 1 PRECEDING)", ["1", "1", "1", "2", "2", "2"]),
            (
                "max(x) OVER (ORDER BY x NULLS FIRST, k ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING)",
                ["1", "1", "2", "2", "2", " "],
            ),
        ] {
            let sql = format!("SELECT {function} AS n FROM (SELECT k, x, 5 AS c FROM t) ORDER BY n NULLS LAST");
            let (rows, plan) = answer(&sql).await;
            let right = right.map(|n| format!("| {n} |")).join("\n");
            assert_eq!(rows, format!("+---+\n| n |\n+---+\n{right}\n+---+"), "{plan}");
            assert!(plan.contains("PropertyBarrierExec"), "{plan}");
        }
    }

    #[tokio::test]
    async fn where_properties_hold_there_is_no_barrier() {
        for sql in [
            "SELECT k, count(*) FROM t GROUP BY k",
            "SELECT * FROM t AS a LEFT JOIN t AS b ON a.k = b.k",
            "SELECT * FROM (SELECT k, 5 AS c FROM t) AS a JOIN t AS b ON a.k = b.k",
            "SELECT * FROM (SELECT k, 5 AS c FROM t) AS a LEFT JOIN t AS b ON a.k = b.k",
            "SELECT * FROM (SELECT avg(x) OVER (ORDER BY k ROWS 2 PRECEDING) AS m FROM t) ORDER BY m",
            "SELECT * FROM (SELECT count(*) OVER (ORDER BY k) AS n FROM t) ORDER BY n",
        ] {
            let (_, plan) = answer(sql).await;
            assert!(!plan.contains("PropertyBarrierExec"), "{sql}\n{plan}");
        }
    }
}
