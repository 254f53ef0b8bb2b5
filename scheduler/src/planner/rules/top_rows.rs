//! Top-k over several partitions, each with a column that is constant in it but differs between partitions.
//!
//! DataFusion 55 sorts partitions without the columns that are constant in a partition, and merges them by all columns.
//! But in a top-k the partitions of a sort share a threshold (`TopKDynamicFilters`): rows of one partition are dropped
//! for being after those of another, though they would come first by the constant that is not compared. So such a sort
//! keeps all rows, and a limit follows it.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::AcrossPartitions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Moves limits from sorts to a separate operator. Must run after the rules that merge the two.
#[derive(Debug)]
pub(super) struct TopRows;

impl PhysicalOptimizerRule for TopRows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| Ok(with_limit_behind(node))).data()
    }

    fn name(&self) -> &'static str {
        "top_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the operator is a top-k over several partitions that may drop wrong rows.
pub(crate) fn may_drop_first_rows(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<SortExec>().is_some_and(|sort| {
        let constants = sort.input().equivalence_properties().constants();
        sort.fetch().is_some()
            && sort.input().output_partitioning().partition_count() > 1
            && constants.iter().any(|constant| constant.across_partitions == AcrossPartitions::Heterogeneous)
    })
}

fn with_limit_behind(node: Arc<dyn ExecutionPlan>) -> Transformed<Arc<dyn ExecutionPlan>> {
    match node.downcast_ref::<SortExec>().map(|sort| (sort, sort.fetch())) {
        Some((sort, Some(fetch))) if may_drop_first_rows(&node) => {
            let all = SortExec::new(sort.expr().clone(), Arc::clone(sort.input())).with_preserve_partitioning(true);
            Transformed::yes(Arc::new(LocalLimitExec::new(Arc::new(all), fetch)))
        }
        _ => Transformed::no(node),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::physical_plan::{collect, displayable};
    use datafusion::prelude::SessionConfig;

    use crate::planner::rules::physical_session;

    #[tokio::test]
    async fn a_top_k_over_a_union_compares_the_constants_of_its_inputs() {
        let context = physical_session(SessionConfig::new().with_target_partitions(1));
        let rows = "CREATE TABLE t (x DOUBLE) AS VALUES (3.0), (1.0), (2.0)";
        context.sql(rows).await.unwrap().collect().await.unwrap();
        // The first input takes longer than the second.
        let slow = "(SELECT count(*) AS c FROM t AS a, t AS b, t AS c, t AS d, t AS e, t AS f, t AS g)";
        let sql = format!(
            "SELECT c, NULL AS x FROM {slow} UNION ALL SELECT 9999, x FROM t \
             ORDER BY c, x NULLS LAST LIMIT 2"
        );
        let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
        let text = displayable(plan.as_ref()).indent(false).to_string();
        assert!(text.contains("LocalLimitExec: fetch=2"), "{text}");
        let rows = pretty_format_batches(&collect(plan, context.task_ctx()).await.unwrap()).unwrap().to_string();
        assert_eq!(
            rows, "+------+-----+\n| c    | x   |\n+------+-----+\n| 2187 |     |\n| 9999 | 1.0 |\n+------+-----+",
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_top_k_without_constants_stays_a_top_k() {
        let context = physical_session(SessionConfig::new().with_target_partitions(1));
        let rows = "CREATE TABLE t (x DOUBLE) AS VALUES (3.0), (1.0), (2.0)";
        context.sql(rows).await.unwrap().collect().await.unwrap();
        let sql = "SELECT x FROM t UNION ALL SELECT -x FROM t ORDER BY x LIMIT 2";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let text = displayable(plan.as_ref()).indent(false).to_string();
        assert!(text.contains("TopK(fetch=2)"), "{text}");
    }
}
