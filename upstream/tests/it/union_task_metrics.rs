//! `reports/union_task_metrics.md`

use std::sync::Arc;

use ballista_scheduler::state::task_builder::restrict_plan_to_partitions;
use datafusion::arrow::datatypes::Schema;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::FIXED;
use crate::cluster::{EXECUTORS, Query, config};

#[tokio::test]
async fn a_stage_refuses_the_metrics_of_its_second_task() {
    let query = Query::submit(
        config(),
        &["CREATE TABLE t (n BIGINT) AS VALUES (1)", "SELECT 1 AS n UNION ALL SELECT n FROM t"],
    );
    let result = query.await.run_all(EXECUTORS[0]).await;
    let error = result.expect_err(FIXED).to_string();
    assert!(error.contains("task metrics array size"), "{error}");
}

#[test]
fn a_task_has_all_partitions_of_a_placeholder() {
    let leaf: Arc<dyn ExecutionPlan> = Arc::new(PlaceholderRowExec::new(Arc::new(Schema::empty())).with_partitions(3));
    let task = restrict_plan_to_partitions(leaf, &[1]).unwrap();
    assert_eq!(task.output_partitioning().partition_count(), 3, "{FIXED}");
}
