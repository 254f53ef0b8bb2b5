//! Heartbeats beside Ballista's, which say more: which tasks have ended, and whether the executor drains.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecutorRegistration, ExecutorStatus, HeartBeatParams, executor_status};
use ballista_core::serde::scheduler::TaskKey;
use bergmill_engine::encode_ended_tasks;
use tonic::transport::Channel;

use crate::ended::EndedTasks;

/// Time for the report of a task, before a heartbeat lists the task as ended.
const REPORT_TIME: Duration = Duration::from_secs(5);

/// Sends the heartbeats of one executor. Clones share its state.
#[derive(Clone)]
pub(crate) struct Heartbeats {
    scheduler: SchedulerGrpcClient<Channel>,
    executor: ExecutorRegistration,
    ended: EndedTasks,
    drains: Arc<AtomicBool>,
}

impl Heartbeats {
    pub(crate) fn new(
        scheduler: SchedulerGrpcClient<Channel>,
        executor: ExecutorRegistration,
        ended: EndedTasks,
    ) -> Self {
        Self { scheduler, executor, ended, drains: Arc::default() }
    }

    /// Sends a heartbeat at each interval, if there is something to say.
    pub(crate) async fn repeat(self, interval: Duration) -> Infallible {
        loop {
            tokio::time::sleep(interval).await;
            self.send().await;
        }
    }

    /// Tells the scheduler that the executor drains, now and in all later heartbeats. Returns whether it has answered.
    pub(crate) async fn announce_draining(&self) -> bool {
        self.drains.store(true, Ordering::Relaxed);
        self.send().await
    }

    /// Sends a heartbeat, if there is something to say. Returns whether the scheduler has answered.
    async fn send(&self) -> bool {
        let (listed, drains) = (self.ended.take(REPORT_TIME), self.drains.load(Ordering::Relaxed));
        if listed.is_empty() && !drains {
            return true;
        }
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
            Ok(_) => true,
            Err(e) => {
                tracing::warn!("the scheduler did not answer a heartbeat: {e}");
                self.ended.put_back(listed);
                false
            }
        }
    }
}
