//! Stages as in Ballista's scheduler, for tests.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::{FailedTask, task_status};
use ballista_scheduler::state::execution_stage::{
    ExecutionStage, ResolvedStage, RunningStage, TaskInfo, UnresolvedStage,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionConfig;

/// Partitions of every stage.
const PARTITIONS: usize = 4;

fn plan() -> Arc<dyn ExecutionPlan> {
    Arc::new(EmptyExec::new(Arc::new(Schema::empty())))
}

fn config() -> Arc<SessionConfig> {
    Arc::new(SessionConfig::new())
}

/// The stages by id.
pub(crate) fn stages(stages: Vec<ExecutionStage>) -> HashMap<usize, ExecutionStage> {
    let id = |stage: &ExecutionStage| match stage {
        ExecutionStage::UnResolved(stage) => stage.stage_id,
        ExecutionStage::Resolved(stage) => stage.stage_id,
        ExecutionStage::Running(stage) => stage.stage_id,
        ExecutionStage::Successful(stage) => stage.stage_id,
        ExecutionStage::Failed(stage) => stage.stage_id,
    };
    stages.into_iter().map(|stage| (id(&stage), stage)).collect()
}

/// A stage that waits for its inputs.
pub(crate) fn unresolved(id: usize) -> ExecutionStage {
    ExecutionStage::UnResolved(UnresolvedStage::new(id, plan(), Vec::new(), Vec::new(), config()))
}

/// A stage that could run.
pub(crate) fn resolved(id: usize) -> ExecutionStage {
    let none = Default::default();
    ExecutionStage::Resolved(ResolvedStage::new(id, 0, plan(), Vec::new(), HashMap::new(), none, config()))
}

fn running_stage(id: usize, tasks: Vec<TaskInfo>) -> RunningStage {
    let stage = RunningStage::new(id, 0, plan(), PARTITIONS, Vec::new(), HashMap::new(), config());
    RunningStage { task_infos: tasks, stage_metrics: Some(Vec::new()), ..stage }
}

/// A stage with these tasks, in its first attempt.
pub(crate) fn running(id: usize, tasks: Vec<TaskInfo>) -> ExecutionStage {
    ExecutionStage::Running(running_stage(id, tasks))
}

/// A successful stage with these tasks.
pub(crate) fn successful(id: usize, tasks: Vec<TaskInfo>) -> ExecutionStage {
    ExecutionStage::Successful(running_stage(id, tasks).to_successful())
}

/// An unfinished task of these partitions, with a vcore for each.
pub(crate) fn task(partitions: &[usize], task_status: task_status::Status) -> TaskInfo {
    TaskInfo {
        task_id: 0,
        scheduled_time: 0,
        launch_time: 0,
        start_exec_time: 0,
        end_exec_time: 0,
        finish_time: 0,
        task_status,
        global_input_partition_ids: partitions.to_vec(),
        vcores_consumed: partitions.len() as u32,
    }
}

/// The status of a task that failed.
pub(crate) fn failed(reason: FailedReason) -> task_status::Status {
    task_status::Status::Failed(FailedTask { failed_reason: Some(reason), ..FailedTask::default() })
}
