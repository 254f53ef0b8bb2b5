//! Queries that the loss of an executor has left without an end.
//!
//! Ballista's adaptive planner plans a stage when those before it have ended, and has then forgotten what it planned them from. When
//! an executor is lost that holds what a finished stage has made, the stage runs again, but its rows are refused ("Can't find
//! active stage to update stage outputs"), which is logged and no more: the query neither ends nor fails
//! (apache/datafusion-ballista#1986). Ballista's static planner recovers from this. It takes twice the time, though, since it knows
//! only estimates where the other knows sizes: 14.9 s for the 22 queries of TPC-H at scale 1 on two executors, against 6.6 s. So
//! queries are planned adaptively, and one that was stranded begins again by the static planner. No rows were given until then.
//!
//! Neither planner counts how often a task is repeated because its executor was lost. A task that takes more memory than a container may have
//! would end all executors, one after the other, for ever.

use std::collections::HashMap;
use std::time::Duration;

use ballista_core::JobId;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::{FailedTask, job_status, task_status};
use ballista_scheduler::state::execution_graph::ExecutionGraph;
use ballista_scheduler::state::execution_stage::{ExecutionStage, RunningStage};
use datafusion::prelude::SessionConfig;

use crate::process::Scheduler;

/// How often a running query is looked at. Twice in a row it must look stranded, so that no step between two states is taken for
/// the end.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A query ends with an error when one of its tasks has been lost with so many executors. Spark gives up a task after as many failures.
const MAX_LOST_ATTEMPTS: usize = 4;

/// Who cuts a query into stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planner {
    /// Stage after stage, by what the finished ones gave.
    Adaptive,
    /// All stages at the start.
    Static,
}

impl Planner {
    /// These settings, with this planner chosen.
    pub(crate) fn chosen_in(self, config: SessionConfig) -> SessionConfig {
        config.with_ballista_adaptive_query_planner(self == Self::Adaptive)
    }
}

/// Why a query will not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranded {
    /// Rows that it had made are gone, and nothing makes them again.
    RowsLost,
    /// Each executor that ran the same part of it was lost.
    ExecutorsLost,
}

impl Scheduler {
    /// Returns when a query can be seen never to end by itself; not at all if that does not happen.
    pub(crate) async fn until_stranded(&self, id: &JobId, planner: Planner) -> Stranded {
        let mut before = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = match self.server.state.task_manager.get_running_job_cache().get(id) {
                Some(query) => stranded(query.execution_graph.read().await.as_ref(), planner),
                // It is being planned, or it is over.
                None => None,
            };
            match now {
                Some(why) if now == before => return why,
                _ => before = now,
            }
        }
    }
}

/// Why nothing can happen any more that would bring a query to its end, if that is so.
fn stranded(graph: &dyn ExecutionGraph, planner: Planner) -> Option<Stranded> {
    if graph.is_successful() || !matches!(graph.status().status, Some(job_status::Status::Running(_))) {
        return None;
    }
    let stages = graph.stages().values();
    if stages.clone().any(|stage| matches!(stage, ExecutionStage::Running(s) if most_lost(s) >= MAX_LOST_ATTEMPTS)) {
        return Some(Stranded::ExecutorsLost);
    }
    // The adaptive planner makes no stage before its input is there: one that waits for input has lost it.
    let has_lost_input = |stage: &ExecutionStage| matches!(stage, ExecutionStage::UnResolved(_));
    let is_at_work = |stage: &ExecutionStage| match stage {
        ExecutionStage::Resolved(_) => true,
        ExecutionStage::Running(stage) => stage.available_tasks() > 0 || !stage.running_tasks().is_empty(),
        _ => false,
    };
    let is_lost =
        (planner == Planner::Adaptive && stages.clone().any(has_lost_input)) || !stages.clone().any(is_at_work);
    is_lost.then_some(Stranded::RowsLost)
}

/// How often the task of one partition was lost with its executor: of that partition for which it was most often.
fn most_lost(stage: &RunningStage) -> usize {
    let mut lost = HashMap::<usize, usize>::new();
    for task in &stage.task_infos {
        if let task_status::Status::Failed(FailedTask { failed_reason: Some(FailedReason::ResultLost(_)), .. }) =
            &task.task_status
        {
            task.global_input_partition_ids.iter().for_each(|partition| *lost.entry(*partition).or_default() += 1);
        }
    }
    lost.into_values().max().unwrap_or(0)
}
