//! The stages and tasks of a query that has ended, in plain values.

use ballista_core::JobId;
use ballista_core::serde::protobuf::task_status;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use ballista_scheduler::state::execution_stage::{ExecutionStage, SuccessfulStage, TaskInfo};
use bergmill_engine::OperatorMetrics;
use chrono::{DateTime, Utc};

use super::sums::{Sums, seconds};

/// A stage of a query. Sums are over its tasks, and `None` if no operator of the stage measures them.
#[derive(Debug, Clone)]
pub(super) struct StageRun {
    pub job: String,
    pub stage: usize,
    pub attempt: usize,
    pub partitions: usize,
    /// What its operators measured; what the stage wrote is in its tasks.
    pub sums: Sums,
    /// Bytes of other stages' rows, decoded.
    pub shuffle_read_bytes: Option<u64>,
    /// Time that tasks waited for other stages' rows, or decoded them.
    pub shuffle_read_seconds: Option<f64>,
    /// Time that tasks distributed, encoded and wrote rows for the next stage.
    pub shuffle_write_seconds: Option<f64>,
    pub tasks: Vec<TaskRun>,
}

/// A task of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TaskRun {
    pub task: usize,
    pub executor: String,
    /// Number of partitions of the stage's input that it processed.
    pub partitions: usize,
    /// When the scheduler chose an executor for it.
    pub scheduled: Option<DateTime<Utc>>,
    /// When the executor began it, by the executor's clock.
    pub started: Option<DateTime<Utc>>,
    /// When the executor ended it, by the executor's clock.
    pub ended: Option<DateTime<Utc>>,
    /// When the scheduler received its result.
    pub reported: Option<DateTime<Utc>>,
    /// Rows written for the next stage, or for the client.
    pub rows: u64,
    /// Bytes of the files with these rows.
    pub bytes: u64,
}

/// The stages of a query that have ended, in order.
pub(super) fn of(job: &JobId, graph: &ExecutionGraphBox) -> Vec<StageRun> {
    let ended = graph.stages().values().filter_map(|stage| match stage {
        ExecutionStage::Successful(stage) => Some(stage_run(job, stage)),
        _ => None,
    });
    let mut stages: Vec<StageRun> = ended.collect();
    stages.sort_by_key(|stage| stage.stage);
    stages
}

fn stage_run(job: &JobId, stage: &SuccessfulStage) -> StageRun {
    let operators = OperatorMetrics(&stage.stage_metrics);
    StageRun {
        job: job.to_string(),
        stage: stage.stage_id,
        attempt: stage.stage_attempt_num,
        partitions: stage.partitions,
        sums: Sums::of(&stage.stage_metrics),
        shuffle_read_bytes: operators.shuffle_read_bytes(),
        shuffle_read_seconds: seconds(operators.shuffle_read_nanoseconds()),
        shuffle_write_seconds: seconds(operators.shuffle_write_nanoseconds()),
        tasks: stage.task_infos.iter().filter_map(task_run).collect(),
    }
}

fn task_run(task: &TaskInfo) -> Option<TaskRun> {
    let task_status::Status::Successful(done) = &task.task_status else { return None };
    Some(TaskRun {
        task: task.task_id,
        executor: done.executor_id.clone(),
        partitions: task.global_input_partition_ids.len(),
        scheduled: time(task.scheduled_time),
        started: time(task.start_exec_time),
        ended: time(task.end_exec_time),
        reported: time(task.finish_time),
        rows: done.partitions.iter().map(|p| p.num_rows).sum(),
        bytes: done.partitions.iter().map(|p| p.num_bytes).sum(),
    })
}

/// A time from milliseconds since 1970; `None` for 0, which stands for a time that is not known.
fn time(milliseconds: u128) -> Option<DateTime<Utc>> {
    let milliseconds = i64::try_from(milliseconds).ok().filter(|n| *n > 0)?;
    DateTime::from_timestamp_millis(milliseconds)
}
