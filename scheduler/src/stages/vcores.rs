//! Counts the free vcores of executors.
//!
//! Ballista 55 keeps a counter for each executor, subtracts the vcores of a task when it is assigned, and adds them
//! back at its last status. The vcores of a task whose stage was rolled back, because an executor with the stage's
//! input was lost, are never added back: its status finds no such task. The vcores of the remaining executors leak one
//! after the other, until nothing can run (similar to apache/datafusion-ballista#2418, which is about cancelled tasks).
//! So free vcores are recounted from the running tasks each time that tasks are assigned, and reports of released
//! vcores are ignored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::Result;
use ballista_core::serde::protobuf::{ExecutorHeartbeat, ExecutorStatus, RunningTask, executor_status, task_status};
use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata};
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use ballista_scheduler::cluster::{BoundTask, ClusterState, ClusterStateEventStream, ExecutorSlot};
use ballista_scheduler::config::TaskDistributionPolicy;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use ballista_scheduler::state::task_manager::JobInfoCache;
use bergmill_engine::decode_ended_tasks;
use tokio::sync::Mutex;

use crate::draining::Draining;
use crate::stages::{EndedTasks, Gate};

/// Ballista's cluster state in memory, except for the number of free vcores. Stages pass the [`Gate`] before their
/// tasks are assigned. What heartbeats say beyond Ballista's goes to [`Draining`] and [`EndedTasks`].
pub(crate) struct CountedVcores {
    inner: InMemoryClusterState,
    gate: Arc<Gate>,
    draining: Arc<Draining>,
    ended: Arc<EndedTasks>,
    /// By executor id. Locked while tasks are assigned.
    executors: Mutex<HashMap<String, Vcores>>,
}

struct Vcores {
    total: u32,
    /// Free vcores according to `inner`.
    free: u32,
}

impl CountedVcores {
    pub(crate) fn new(gate: Arc<Gate>, draining: Arc<Draining>, ended: Arc<EndedTasks>) -> Self {
        Self { inner: InMemoryClusterState::default(), gate, draining, ended, executors: Mutex::default() }
    }

    /// Takes from a heartbeat what is not Ballista's.
    ///
    /// Ballista gives no tasks to an executor that is terminating, as it calls it, but removes it at once. One whose
    /// status is unknown gets no tasks, and stays as long as its heartbeats arrive.
    fn without_news(&self, heartbeat: ExecutorHeartbeat) -> ExecutorHeartbeat {
        use executor_status::Status::{Active, Terminating, Unknown};
        let id = &heartbeat.executor_id;
        let status = heartbeat.status.and_then(|status| status.status).map(|status| {
            if matches!(status, Terminating(_)) {
                self.draining.begin(id);
            }
            match status {
                Active(text) | Terminating(text) => {
                    self.ended.hear(id, decode_ended_tasks(&text));
                    if self.draining.contains(id) { Unknown(String::new()) } else { Active(String::new()) }
                }
                other => other,
            }
        });
        ExecutorHeartbeat { status: Some(ExecutorStatus { status }), ..heartbeat }
    }
}

#[async_trait]
impl ClusterState for CountedVcores {
    async fn bind_schedulable_tasks(
        &self,
        distribution: TaskDistributionPolicy,
        active_jobs: Arc<HashMap<JobId, JobInfoCache>>,
        executors: Option<HashSet<String>>,
    ) -> Result<Vec<BoundTask>> {
        let mut known = self.executors.lock().await;
        let busy = busy(&active_jobs).await;
        self.inner.unbind_tasks(freed(&mut known, &busy)).await?;
        let active_jobs = self.gate.let_through(active_jobs).await;
        let bound = self.inner.bind_schedulable_tasks(distribution, active_jobs, executors).await?;
        for (id, task) in &bound {
            if let Some(vcores) = known.get_mut(id) {
                vcores.free = vcores.free.saturating_sub(task.vcores_consumed);
            }
        }
        Ok(bound)
    }

    /// Does nothing: only running tasks are counted.
    async fn unbind_tasks(&self, _: Vec<ExecutorSlot>) -> Result<()> {
        Ok(())
    }

    async fn register_executor(&self, metadata: ExecutorMetadata, spec: ExecutorData) -> Result<()> {
        let mut known = self.executors.lock().await;
        let (id, vcores) = (metadata.id.clone(), Vcores { total: spec.total_vcores, free: spec.available_vcores });
        self.inner.register_executor(metadata, spec).await?;
        known.insert(id, vcores);
        Ok(())
    }

    async fn remove_executor(&self, executor_id: &str) -> Result<()> {
        let mut known = self.executors.lock().await;
        self.inner.remove_executor(executor_id).await?;
        known.remove(executor_id);
        self.draining.remove(executor_id);
        Ok(())
    }

    async fn save_executor_metadata(&self, metadata: ExecutorMetadata) -> Result<()> {
        self.inner.save_executor_metadata(metadata).await
    }

    async fn get_executor_metadata(&self, executor_id: &str) -> Result<ExecutorMetadata> {
        self.inner.get_executor_metadata(executor_id).await
    }

    async fn registered_executor_metadata(&self) -> Vec<ExecutorMetadata> {
        self.inner.registered_executor_metadata().await
    }

    async fn save_executor_heartbeat(&self, heartbeat: ExecutorHeartbeat) -> Result<()> {
        self.inner.save_executor_heartbeat(self.without_news(heartbeat)).await
    }

    fn executor_heartbeats(&self) -> HashMap<String, ExecutorHeartbeat> {
        self.inner.executor_heartbeats()
    }

    fn get_executor_heartbeat(&self, executor_id: &str) -> Option<ExecutorHeartbeat> {
        self.inner.get_executor_heartbeat(executor_id)
    }

    async fn cluster_state_events(&self) -> Result<ClusterStateEventStream> {
        self.inner.cluster_state_events().await
    }
}

/// The vcores of running tasks, by executor id.
async fn busy(jobs: &HashMap<JobId, JobInfoCache>) -> HashMap<String, u32> {
    let mut busy = HashMap::new();
    for graph in jobs.values().map(|job| &job.execution_graph) {
        add_busy(&mut busy, graph.read().await.stages());
    }
    busy
}

/// Adds the vcores of a query's running tasks.
fn add_busy(busy: &mut HashMap<String, u32>, stages: &HashMap<usize, ExecutionStage>) {
    let running = stages.values().filter_map(|stage| match stage {
        ExecutionStage::Running(stage) => Some(stage),
        _ => None,
    });
    for task in running.flat_map(|stage| &stage.task_infos) {
        if let task_status::Status::Running(RunningTask { executor_id }) = &task.task_status {
            *busy.entry(executor_id.clone()).or_default() += task.vcores_consumed;
        }
    }
}

/// Marks vcores without a task as free, and returns those that were not free before.
fn freed(known: &mut HashMap<String, Vcores>, busy: &HashMap<String, u32>) -> Vec<ExecutorSlot> {
    let freed = known.iter_mut().map(|(id, vcores)| {
        let free = vcores.total.saturating_sub(busy.get(id).copied().unwrap_or(0)).max(vcores.free);
        (id.clone(), free - std::mem::replace(&mut vcores.free, free))
    });
    freed.collect()
}

#[cfg(test)]
mod tests {
    use ballista_core::serde::protobuf::SuccessfulTask;
    use ballista_core::serde::protobuf::executor_status::Status::{Active, Terminating, Unknown};
    use ballista_core::serde::protobuf::failed_task::FailedReason;
    use bergmill_engine::RoundTrip;

    use super::*;
    use crate::stages::made_up::{failed, resolved, running, stages, successful, task};

    fn on(executor: &str) -> task_status::Status {
        task_status::Status::Running(RunningTask { executor_id: executor.to_string() })
    }

    #[test]
    fn only_running_tasks_use_vcores() {
        let ended = SuccessfulTask { executor_id: "a".to_string(), ..SuccessfulTask::default() };
        let ended = task_status::Status::Successful(ended);
        let mut busy = HashMap::new();
        let tasks = vec![
            task(&[0, 1], on("a")),
            task(&[2], on("b")),
            task(&[3], ended),
            task(&[3], failed(FailedReason::ResultLost(Default::default()))),
        ];
        add_busy(&mut busy, &stages(vec![running(2, tasks), successful(1, vec![task(&[0], on("a"))]), resolved(3)]));
        assert_eq!(busy, [("a".to_string(), 2), ("b".to_string(), 1)].into());
        add_busy(&mut busy, &stages(vec![running(1, vec![task(&[0], on("a"))])]));
        assert_eq!(busy["a"], 3);
    }

    #[test]
    fn vcores_without_a_task_are_free() {
        // Of four vcores: those free according to Ballista, and those of tasks; expected: those freed, and free
        // afterwards.
        let check = |free: u32, busy: u32, expected: (u32, u32)| {
            let mut known = HashMap::from([("a".to_string(), Vcores { total: 4, free })]);
            let freed = freed(&mut known, &HashMap::from([("a".to_string(), busy)]));
            assert_eq!((freed, known["a"].free), (vec![("a".to_string(), expected.0)], expected.1), "{free} {busy}");
        };
        check(0, 4, (0, 0));
        check(0, 1, (3, 3));
        check(1, 3, (0, 1));
        // The vcores of a stage that was rolled back were never released.
        check(1, 0, (3, 4));
        // A cancelled task may still run for a moment: vcores reported as free stay free.
        check(4, 2, (0, 4));
        check(0, 9, (0, 0));
        let mut known = HashMap::from([("a".to_string(), Vcores { total: 4, free: 2 })]);
        assert_eq!(freed(&mut known, &HashMap::from([("gone".to_string(), 3)])), [("a".to_string(), 2)]);
    }

    #[test]
    fn a_draining_executor_stays_and_gets_no_tasks() {
        let draining = Arc::<Draining>::default();
        let gate = Arc::new(Gate::new(Arc::new(RoundTrip::new(Arc::default()))));
        let state = CountedVcores::new(gate, Arc::clone(&draining), Arc::default());
        let check = |sent: executor_status::Status, expected: executor_status::Status, drains: bool| {
            let heartbeat = ExecutorHeartbeat {
                executor_id: "a".to_string(),
                timestamp: 7,
                status: Some(ExecutorStatus { status: Some(sent) }),
                ..ExecutorHeartbeat::default()
            };
            let saved = state.without_news(heartbeat);
            assert_eq!((saved.timestamp, saved.status.and_then(|s| s.status)), (7, Some(expected)));
            assert_eq!(draining.contains("a"), drains);
        };
        check(Active("q/1/2".to_string()), Active(String::new()), false);
        check(Terminating("q/1/3".to_string()), Unknown(String::new()), true);
        // Ballista's own heartbeats continue.
        check(Active(String::new()), Unknown(String::new()), true);
        draining.remove("a");
        check(Active(String::new()), Active(String::new()), false);
    }
}
