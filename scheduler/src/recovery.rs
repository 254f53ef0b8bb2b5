//! Queries that executors were lost with.
//!
//! Ballista repeats the tasks that a lost executor was running. It also makes again what the executor had finished, stage by stage, and there both planners of
//! version 55 are wrong. After the adaptive one the rows of the repeated stage are refused ("Can't find active stage to update stage
//! outputs"), and the query waits for ever (apache/datafusion-ballista#1986). After the static one a stage that is rolled back leaves what it
//! had passed on already, so that rows are counted twice. So a query has lost rows as soon as a stage is rolled back or repeated, whatever Ballista makes of
//! it: it is cancelled and begins again, and no answer is taken from it. No rows were given until then.
//!
//! Neither does Ballista count how often a task is repeated because its executor was lost. A task that takes more memory than a container may have
//! would end all executors, one after the other, for ever.

use std::collections::HashMap;
use std::time::Duration;

use ballista_core::JobId;
use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::{FailedTask, task_status};
use ballista_scheduler::state::execution_graph::ExecutionGraph;
use ballista_scheduler::state::execution_stage::{ExecutionStage, RunningStage, TaskInfo};
use bergmill_gateway::Result;

use crate::error::from_ballista;
use crate::process::Scheduler;

/// How often a running query is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So often a query begins, or one of its tasks, before the loss of executors is its end. Spark gives up a task after as many failures.
pub(crate) const MAX_ATTEMPTS: usize = 4;

/// What a query has lost with its executors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Rows that it had made.
    Rows,
    /// Each executor that ran the same part of it.
    Executors,
}

impl Scheduler {
    /// Returns when a query has lost what it cannot do without; not at all if that does not happen.
    pub(crate) async fn until_lost(&self, id: &JobId) -> Result<Loss> {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(loss) = self.loss(id).await? {
                return Ok(loss);
            }
        }
    }

    /// What a query has lost until now, be it running or over.
    pub(crate) async fn loss(&self, id: &JobId) -> Result<Option<Loss>> {
        if let Some(query) = self.server.state.task_manager.get_running_job_cache().get(id) {
            return Ok(loss(query.execution_graph.read().await.as_ref()));
        }
        let graph = self.jobs.get_execution_graph(id).await.map_err(from_ballista)?;
        Ok(graph.and_then(|graph| loss(graph.as_ref())))
    }
}

fn loss(graph: &dyn ExecutionGraph) -> Option<Loss> {
    let mut stages = graph.stages().values();
    if stages.clone().any(|stage| matches!(stage, ExecutionStage::Running(s) if most_lost(s) >= MAX_ATTEMPTS)) {
        return Some(Loss::Executors);
    }
    stages.any(has_lost_rows).then_some(Loss::Rows)
}

/// Whether anything that tasks of this stage, or of one that it reads, had finished is to be made again.
fn has_lost_rows(stage: &ExecutionStage) -> bool {
    let (attempt, tasks): (usize, &[TaskInfo]) = match stage {
        ExecutionStage::UnResolved(stage) => (stage.stage_attempt_num, &[]),
        ExecutionStage::Resolved(stage) => (stage.stage_attempt_num, &[]),
        ExecutionStage::Running(stage) => (stage.stage_attempt_num, &stage.task_infos),
        ExecutionStage::Successful(stage) => (stage.stage_attempt_num, &stage.task_infos),
        ExecutionStage::Failed(stage) => (stage.stage_attempt_num, &stage.task_infos),
    };
    // A task that had not finished has passed on nothing, and is repeated alone.
    attempt > 0 || tasks.iter().any(|task| was_lost(task) && task.finish_time > 0)
}

/// How often the task of one partition was lost with its executor: of that partition for which it was most often.
fn most_lost(stage: &RunningStage) -> usize {
    let mut lost = HashMap::<usize, usize>::new();
    for task in stage.task_infos.iter().filter(|task| was_lost(task)) {
        task.global_input_partition_ids.iter().for_each(|partition| *lost.entry(*partition).or_default() += 1);
    }
    lost.into_values().max().unwrap_or(0)
}

fn was_lost(task: &TaskInfo) -> bool {
    matches!(
        &task.task_status,
        task_status::Status::Failed(FailedTask { failed_reason: Some(FailedReason::ResultLost(_)), .. })
    )
}
