//! `reports/union_task_metrics.md`

use std::sync::Arc;

use ballista_core::serde::protobuf::task_status::Status;
use ballista_core::serde::protobuf::{OperatorMetricsSet, RunningTask};
use ballista_core::utils::collect_plan_metrics;
use ballista_scheduler::state::execution_stage::{RunningStage, TaskInfo};
use ballista_scheduler::state::task_builder::restrict_plan_to_partitions;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::rows;

#[tokio::test]
async fn a_stage_refuses_the_metrics_of_its_second_task() {
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config(config.clone());
    rows(&context, &["CREATE TABLE t (n BIGINT) AS VALUES (1)"]).await.unwrap();
    let query = context.sql("SELECT 1 AS n UNION ALL SELECT n FROM t").await.unwrap();
    let plan = query.create_physical_plan().await.unwrap();

    let mut stage = RunningStage::new(1, 0, Arc::clone(&plan), 2, Vec::new(), Default::default(), Arc::new(config));
    let reports = [0, 1].map(|partition| {
        stage.task_infos.push(TaskInfo {
            task_id: partition,
            scheduled_time: 0,
            launch_time: 0,
            start_exec_time: 0,
            end_exec_time: 0,
            finish_time: 0,
            task_status: Status::Running(RunningTask { executor_id: String::new() }),
            global_input_partition_ids: vec![partition],
            vcores_consumed: 1,
        });
        let task = restrict_plan_to_partitions(Arc::clone(&plan), &[partition]).unwrap();
        let metrics = collect_plan_metrics(task.as_ref()).into_iter().map(TryInto::try_into);
        let metrics: Vec<OperatorMetricsSet> = metrics.collect::<Result<_, _>>().unwrap();
        stage.update_task_metrics(partition, metrics)
    });
    let [first, second] = reports;
    first.unwrap();
    let error = second.expect_err("mended upstream; see reports/union_task_metrics.md").to_string();
    assert!(error.contains("task metrics array size 4 does not equal with the stage metrics array size 3"), "{error}");
}

#[tokio::test]
async fn a_task_reads_all_partitions_of_a_leaf_without_rows() {
    use datafusion::arrow::datatypes::Schema;
    use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
    use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

    let leaf: Arc<dyn ExecutionPlan> = Arc::new(PlaceholderRowExec::new(Arc::new(Schema::empty())).with_partitions(3));
    let task = restrict_plan_to_partitions(leaf, &[1]).unwrap();
    assert_eq!(task.output_partitioning().partition_count(), 3, "mended upstream; see reports/union_task_metrics.md");
}
