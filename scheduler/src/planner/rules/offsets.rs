//! Required input orderings above an `OFFSET`.
//!
//! DataFusion 55 keeps a sort above an operator with a limit, but pushes it below an `OFFSET` without one, which then
//! skips other rows. So offsets get a limit of more rows than can exist while `EnsureRequirements` runs.
//!
//! A sort that is pushed below an `OFFSET` with a `LIMIT` gets that limit for its own, although the offset skips some
//! of its rows. So the skipped rows count as part of the limit meanwhile.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;

const ALL_ROWS: usize = usize::MAX;

/// DataFusion's rule, without pushing sorts below offsets.
#[derive(Debug, Default)]
pub(super) struct KeptOffsets(EnsureRequirements);

impl PhysicalOptimizerRule for KeptOffsets {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let limited = plan.transform_up(limited)?;
        let plan = self.0.optimize(limited.data, config)?;
        if limited.transformed { plan.transform_up(|node| Ok(unlimited(node))).data() } else { Ok(plan) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn limited(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    match node.downcast_ref::<GlobalLimitExec>() {
        Some(offset) if offset.fetch().is_none() => {
            let input = with_kept_sort(Arc::clone(offset.input()))?;
            Ok(Transformed::yes(Arc::new(GlobalLimitExec::new(input, offset.skip(), Some(ALL_ROWS)))))
        }
        Some(offset) if offset.skip() > 0 => {
            let rows = offset.fetch().map(|fetch| fetch.saturating_add(offset.skip()));
            Ok(Transformed::yes(Arc::new(GlobalLimitExec::new(Arc::clone(offset.input()), offset.skip(), rows))))
        }
        _ => Ok(Transformed::no(node)),
    }
}

/// The input of an offset. Its sort has a limit too, or it would be removed where a projection drops what it sorts by
/// and the rows are not used in order.
fn with_kept_sort(input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(sort) = input.downcast_ref::<SortExec>()
        && sort.fetch().is_none()
    {
        return Ok(Arc::new(sort.with_fetch(Some(ALL_ROWS))));
    }
    if let Some(projection) = input.downcast_ref::<ProjectionExec>() {
        let below = with_kept_sort(Arc::clone(projection.input()))?;
        return replace_children_if_necessary(input, vec![below]);
    }
    Ok(input)
}

/// The operator with its own limit again. A sort may have taken over the limit of all rows.
fn unlimited(node: Arc<dyn ExecutionPlan>) -> Transformed<Arc<dyn ExecutionPlan>> {
    if let Some(limit) = node.downcast_ref::<GlobalLimitExec>()
        && (limit.skip() > 0 || limit.fetch() == Some(ALL_ROWS))
    {
        let rows = limit.fetch().filter(|fetch| *fetch != ALL_ROWS).map(|fetch| fetch.saturating_sub(limit.skip()));
        return Transformed::yes(Arc::new(GlobalLimitExec::new(Arc::clone(limit.input()), limit.skip(), rows)));
    }
    if node.fetch() != Some(ALL_ROWS) {
        return Transformed::no(node);
    }
    match node.with_fetch(None) {
        Some(plan) => Transformed::yes(plan),
        None => Transformed::no(node),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionConfig;

    use crate::planner::rules::physical_session;

    #[tokio::test]
    async fn an_offset_skips_the_right_rows() {
        let context = physical_session(SessionConfig::new());
        let rows = "CREATE TABLE t AS VALUES (1, 9), (2, 8), (3, 7), (4, 6)";
        context.sql(rows).await.unwrap().collect().await.unwrap();
        let sql = "SELECT a, sum(b) OVER (ORDER BY b ROWS 1 PRECEDING) AS s \
                   FROM (SELECT column1 AS a, column2 AS b FROM t ORDER BY a OFFSET 2) AS q ORDER BY a";
        let answer = context.sql(sql).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&answer).unwrap().to_string();
        assert_eq!(text, "+---+----+\n| a | s  |\n+---+----+\n| 3 | 13 |\n| 4 | 6  |\n+---+----+");
    }

    #[tokio::test]
    async fn an_offset_keeps_its_sort_when_the_order_is_not_used() {
        let context = physical_session(SessionConfig::new());
        let rows = "CREATE TABLE t AS VALUES (1, 9), (2, 8), (3, 7), (4, 6)";
        context.sql(rows).await.unwrap().collect().await.unwrap();
        let sql = "SELECT sum(a) AS s FROM (SELECT column1 AS a, column2 AS b FROM t ORDER BY b OFFSET 3) AS q";
        let answer = context.sql(sql).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&answer).unwrap().to_string();
        assert_eq!(text, "+---+\n| s |\n+---+\n| 1 |\n+---+");
    }

    #[tokio::test]
    async fn a_limit_after_an_offset_returns_all_its_rows_in_another_order() {
        let context = physical_session(SessionConfig::new());
        let rows = "CREATE TABLE t AS SELECT value AS a FROM generate_series(1, 12)";
        context.sql(rows).await.unwrap().collect().await.unwrap();
        for limited in [
            "SELECT a FROM t GROUP BY a LIMIT 7 OFFSET 4",
            "SELECT a FROM t LIMIT 7 OFFSET 4",
            "SELECT a FROM t ORDER BY a DESC LIMIT 7 OFFSET 4",
            "(SELECT a FROM t GROUP BY a LIMIT 4 OFFSET 4) UNION ALL SELECT a FROM t WHERE a > 9",
        ] {
            let answer = context.sql(&format!("SELECT a FROM ({limited}) AS q ORDER BY a")).await.unwrap();
            let batches = answer.collect().await.unwrap();
            assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 7, "{limited}");
        }
    }
}
