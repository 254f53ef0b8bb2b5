//! Heartbeats, which also say which tasks have ended, and whether the executor drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ballista_core::serde::protobuf::{ExecutorRegistration, ExecutorStatus, HeartBeatParams, executor_status};
use ballista_core::serde::scheduler::TaskKey;
use ballista_executor::health::ExecutorHealth;
use bergmill_engine::encode_ended_tasks;

use crate::ended::EndedTasks;
use crate::scheduler::Client;

/// Time for the report of a task, before a heartbeat lists the task as ended.
const REPORT_TIME: Duration = Duration::from_secs(5);
/// Heartbeats in a row without an answer, after which the scheduler is lost.
const MAX_UNANSWERED: u32 = 5;

/// Sends the heartbeats of one executor. Clones share its state.
#[derive(Clone)]
pub(crate) struct Heartbeats {
    scheduler: Client,
    executor: ExecutorRegistration,
    ended: EndedTasks,
    /// Whether the last heartbeat was answered.
    health: ExecutorHealth,
    drains: Arc<AtomicBool>,
}

impl Heartbeats {
    pub(crate) fn new(
        scheduler: Client,
        executor: ExecutorRegistration,
        ended: EndedTasks,
        health: ExecutorHealth,
    ) -> Self {
        Self { scheduler, executor, ended, health, drains: Arc::default() }
    }

    /// Sends a heartbeat now and at each interval, until the scheduler is lost.
    pub(crate) async fn repeat(self, interval: Duration) {
        let mut unanswered = 0;
        while unanswered < MAX_UNANSWERED {
            unanswered = if self.send().await { 0 } else { unanswered + 1 };
            tokio::time::sleep(interval).await;
        }
    }

    /// Tells the scheduler that the executor drains, now and in all later heartbeats. Returns whether it has answered.
    pub(crate) async fn announce_draining(&self) -> bool {
        self.drains.store(true, Ordering::Relaxed);
        self.send().await
    }

    /// Sends a heartbeat. Returns whether the scheduler has answered.
    async fn send(&self) -> bool {
        let (listed, drains) = (self.ended.take(REPORT_TIME), self.drains.load(Ordering::Relaxed));
        let tasks: Vec<TaskKey> = listed.iter().map(|ended| ended.task.clone()).collect();
        let text = encode_ended_tasks(&tasks);
        let status = match drains {
            true => executor_status::Status::Terminating(text),
            false => executor_status::Status::Active(text),
        };
        let heartbeat = HeartBeatParams {
            executor_id: self.executor.id.clone(),
            metrics: Vec::new(),
            status: Some(ExecutorStatus { status: Some(status) }),
            metadata: Some(self.executor.clone()),
        };
        match self.scheduler.clone().heart_beat_from_executor(heartbeat).await {
            Ok(_) => {
                self.health.mark_heartbeat_ok();
                true
            }
            Err(e) => {
                self.health.mark_heartbeat_failed();
                tracing::warn!("the scheduler did not answer a heartbeat: {e}");
                self.ended.put_back(listed);
                false
            }
        }
    }
}
