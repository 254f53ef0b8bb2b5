//! Executors that drain: they take no new tasks, and wait until no query needs them.
//!
//! An executor cannot know this itself: its rows may be read by a stage that is not planned yet, or by a client. So the
//! scheduler lets it go, by the request with which Ballista stops executors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ballista_core::serde::protobuf::{RunningTask, SuccessfulTask, task_status};
use ballista_scheduler::state::execution_stage::TaskInfo;
use tokio::sync::Notify;

use crate::process::Scheduler;

/// Interval between checks while an executor drains.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Number of checks in a row that find an executor unneeded before it is let go. Between the end of a query's last task
/// and the reading of its rows, nothing refers to its executors for a moment.
const UNNEEDED_CHECKS: u32 = 2;

/// The executors that drain, by id.
#[derive(Default)]
pub(crate) struct Draining {
    executors: Mutex<BTreeSet<String>>,
    begun: Notify,
}

impl Draining {
    /// Marks an executor as draining, until it is removed.
    pub(crate) fn begin(&self, executor: &str) {
        if self.lock().insert(executor.to_string()) {
            tracing::info!("executor {executor} drains");
            self.begun.notify_one();
        }
    }

    pub(crate) fn remove(&self, executor: &str) {
        self.lock().remove(executor);
    }

    pub(crate) fn contains(&self, executor: &str) -> bool {
        self.lock().contains(executor)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.executors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheduler {
    /// Lets draining executors go when no query needs them.
    pub(crate) async fn let_drained_go(&self) {
        let mut unneeded = BTreeMap::new();
        loop {
            let draining = self.draining.lock().clone();
            if draining.is_empty() {
                self.draining.begun.notified().await;
                continue;
            }
            let needed = self.needed_executors().await;
            for executor in count_unneeded(&mut unneeded, &draining, &needed) {
                self.server.state.executor_manager.stop_executor(&executor, "no query needs it".to_string()).await;
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    /// The executors that run tasks of a query or have finished some, and those whose rows a client reads.
    async fn needed_executors(&self) -> BTreeSet<String> {
        let mut needed = self.results.read_from();
        // If all executors drain, a query ends with its running tasks, or not at all.
        let can_start = self.executors().await.is_ok_and(|active| !active.is_empty());
        let running = self.server.state.task_manager.get_running_job_cache();
        for graph in running.values().map(|query| &query.execution_graph) {
            let graph = graph.read().await;
            if !can_start && graph.running_tasks().is_empty() {
                continue;
            }
            needed.extend(graph.stages().values().filter_map(|s| s.task_infos()).flatten().filter_map(executor));
        }
        needed
    }
}

/// The executor of a task that runs or has left its rows there.
fn executor(task: &TaskInfo) -> Option<String> {
    match &task.task_status {
        task_status::Status::Running(RunningTask { executor_id })
        | task_status::Status::Successful(SuccessfulTask { executor_id, .. }) => Some(executor_id.clone()),
        task_status::Status::Failed(_) => None,
    }
}

/// Counts for each draining executor the checks in a row that found it unneeded, and returns those to let go now.
fn count_unneeded(
    unneeded: &mut BTreeMap<String, u32>,
    draining: &BTreeSet<String>,
    needed: &BTreeSet<String>,
) -> Vec<String> {
    unneeded.retain(|executor, _| draining.contains(executor) && !needed.contains(executor));
    let mut go = Vec::new();
    for executor in draining.difference(needed) {
        let checks = unneeded.entry(executor.clone()).or_default();
        *checks += 1;
        // Again from time to time, in case the request is lost.
        if checks.is_multiple_of(UNNEEDED_CHECKS) {
            go.push(executor.clone());
        }
    }
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_goes_when_it_stays_unneeded() {
        let set = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let mut unneeded = BTreeMap::new();
        let mut check = |draining: &[&str], needed: &[&str], expected: &[&str]| {
            assert_eq!(count_unneeded(&mut unneeded, &set(draining), &set(needed)), expected);
        };
        check(&["a", "b"], &["a", "c"], &[]);
        check(&["a", "b"], &["a", "c"], &["b"]);
        // The request is repeated as long as the executor is registered.
        check(&["a", "b"], &["a"], &[]);
        check(&["a", "b"], &[], &["b"]);
        check(&["a"], &[], &["a"]);
        // Needed in between: counted from the start.
        check(&["a"], &[], &[]);
        check(&["a"], &["a"], &[]);
        check(&["a"], &[], &[]);
        check(&["a"], &[], &["a"]);
        // An executor that was removed and drains again.
        check(&[], &[], &[]);
        check(&["a"], &[], &[]);
    }
}
