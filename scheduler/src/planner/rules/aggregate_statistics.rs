//! Aggregates whose result the statistics of their input give.
//!
//! For the partial half of an aggregate, DataFusion 55 takes the first aggregate below that has no filter: of
//! `count(x) FILTER (...)` over a query that aggregates as well, that is the inner one, whose value becomes the result.
//! So its rule is applied to one aggregate at a time, with nothing below that it could mistake.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::aggregate_statistics::AggregateStatistics;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};

/// DataFusion's rule, for aggregates without filters.
#[derive(Debug, Default)]
pub(super) struct OwnStatistics(AggregateStatistics);

impl PhysicalOptimizerRule for OwnStatistics {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_down(|node| match node.downcast_ref::<AggregateExec>() {
            Some(aggregate) if has_filter(aggregate) => Ok(Transformed::no(node)),
            // The rule replaces this one, or goes on to those below: what it makes of them is dropped, they are next.
            Some(_) => {
                let optimized = self.0.optimize(Arc::clone(&node), config)?;
                if optimized.downcast_ref::<AggregateExec>().is_some() {
                    return Ok(Transformed::no(node));
                }
                Ok(Transformed::new(optimized, true, TreeNodeRecursion::Jump))
            }
            None => Ok(Transformed::no(node)),
        });
        replaced.data()
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether an aggregate, or the partial half of it, has a filter.
fn has_filter(aggregate: &AggregateExec) -> bool {
    if aggregate.filter_expr().iter().any(Option::is_some) {
        return true;
    }
    if aggregate.mode().input_mode() == AggregateInputMode::Raw {
        return false;
    }
    let mut below = Arc::clone(aggregate.input());
    loop {
        if let Some(partial) = below.downcast_ref::<AggregateExec>() {
            return has_filter(partial);
        }
        let [only] = below.children()[..] else { return true };
        below = Arc::clone(only);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use crate::planner::rules::physical_session;

    async fn run(context: &SessionContext, sql: &str) -> String {
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    }

    #[tokio::test]
    async fn an_aggregate_with_a_filter_is_not_taken_for_the_one_below() {
        for partitions in [1, 4] {
            let context = physical_session(SessionConfig::new().with_target_partitions(partitions));
            run(&context, "CREATE TABLE t AS VALUES (1), (2), (3), (4)").await;
            let sql = "SELECT count(n) FILTER (WHERE n > 100) AS few FROM (SELECT count(*) AS n FROM t) AS q";
            assert_eq!(run(&context, sql).await, "+-----+\n| few |\n+-----+\n| 0   |\n+-----+", "{partitions}");
        }
    }

    #[tokio::test]
    async fn statistics_still_answer_what_they_can() {
        let context = physical_session(SessionConfig::new());
        run(&context, "CREATE TABLE t AS VALUES (1), (2), (3), (4)").await;
        for sql in [
            "SELECT count(*) FROM t",
            "SELECT sum(n) FILTER (WHERE n > 1) FROM (SELECT count(*) AS n FROM t UNION ALL SELECT count(*) FROM t)",
        ] {
            let plan = run(&context, &format!("EXPLAIN {sql}")).await;
            assert!(plan.contains("PlaceholderRowExec") && !plan.contains("DataSourceExec"), "{sql}:\n{plan}");
        }
    }
}
