//! How far the queries on executors are.

use std::fmt;
use std::ops::Add;

use ballista_core::JobId;
use ballista_core::serde::protobuf::task_status;
use ballista_scheduler::scheduler_server::SchedulerServer;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};

/// Stages and tasks of a query. Ballista plans a stage when its inputs are available, so that there may be more later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub stages: usize,
    pub stages_done: usize,
    pub tasks_running: usize,
    pub tasks_done: usize,
}

impl Add for Progress {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            stages: self.stages + other.stages,
            stages_done: self.stages_done + other.stages_done,
            tasks_running: self.tasks_running + other.tasks_running,
            tasks_done: self.tasks_done + other.tasks_done,
        }
    }
}

/// The queries that Ballista runs.
#[derive(Clone)]
pub(crate) struct RunningJobs(SchedulerServer<LogicalPlanNode, PhysicalPlanNode>);

impl fmt::Debug for RunningJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunningJobs")
    }
}

impl RunningJobs {
    pub(crate) fn of(server: &SchedulerServer<LogicalPlanNode, PhysicalPlanNode>) -> Self {
        Self(server.clone())
    }

    /// How far a query is; `None` if it does not run any more.
    pub(super) async fn progress(&self, id: &JobId) -> Option<Progress> {
        let running = self.0.state.task_manager.get_running_job_cache();
        let graph = running.get(id)?.execution_graph.read().await;
        Some(progress(graph.stages().values()))
    }
}

fn progress<'a>(stages: impl Iterator<Item = &'a ExecutionStage>) -> Progress {
    let mut found = Progress::default();
    for stage in stages {
        found.stages += 1;
        let tasks = match stage {
            ExecutionStage::Running(stage) => &stage.task_infos,
            ExecutionStage::Successful(stage) => {
                found.stages_done += 1;
                &stage.task_infos
            }
            _ => continue,
        };
        for task in tasks {
            match task.task_status {
                task_status::Status::Running(_) => found.tasks_running += 1,
                task_status::Status::Successful(_) => found.tasks_done += 1,
                task_status::Status::Failed(_) => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use ballista_core::serde::protobuf::failed_task::FailedReason;
    use ballista_core::serde::protobuf::{RunningTask, SuccessfulTask};

    use super::*;
    use crate::stages::made_up::{failed, resolved, running, stages, successful, task};

    #[test]
    fn tasks_that_failed_are_repeated_and_do_not_count() {
        let done = || task_status::Status::Successful(SuccessfulTask::default());
        let runs = task_status::Status::Running(RunningTask::default());
        let lost = failed(FailedReason::ResultLost(Default::default()));
        let made = stages(vec![
            successful(1, vec![task(&[0, 1], done())]),
            running(2, vec![task(&[0], done()), task(&[1], runs), task(&[2], lost)]),
            resolved(3),
        ]);
        let expected = Progress { stages: 3, stages_done: 1, tasks_running: 1, tasks_done: 2 };
        assert_eq!(progress(made.values()), expected);
    }
}
