//! Reports to the scheduler how tasks have ended.

use ballista_core::serde::protobuf::{TaskStatus, UpdateTaskStatusParams};
use bergmill_tls::ClusterTls;
use bergmill_tls::grpc::with_sources;
use tokio::sync::mpsc;

use crate::scheduler::{Client, connect_for_reports};

/// The end of a task.
#[derive(Debug)]
pub(crate) struct Report {
    /// `host:port` of the scheduler that sent the task.
    pub scheduler: String,
    pub status: TaskStatus,
}

/// Sends reports, those of tasks that end at the same time together, until no more can come.
///
/// A report that cannot be sent is dropped: heartbeats list the task later, and the scheduler has it repeated. Sending
/// it again would count its rows twice if only the answer was lost.
pub(crate) async fn send(executor: String, tls: Option<ClusterTls>, mut ended: mpsc::UnboundedReceiver<Report>) {
    let mut connected: Option<(String, Client)> = None;
    while let Some(Report { scheduler, status }) = ended.recv().await {
        let mut task_status = vec![status];
        // They are of the same scheduler.
        while let Ok(next) = ended.try_recv() {
            task_status.push(next.status);
        }
        let tasks = task_status.len();
        if connected.as_ref().is_none_or(|(to, _)| *to != scheduler) {
            match connect_for_reports(&scheduler, tls.as_ref()).await {
                Ok(client) => connected = Some((scheduler.clone(), client)),
                Err(e) => {
                    tracing::error!("cannot report the end of {tasks} tasks to {scheduler}: {}", with_sources(&e));
                    continue;
                }
            }
        }
        let Some((_, client)) = &mut connected else { continue };
        let report = UpdateTaskStatusParams { executor_id: executor.clone(), task_status };
        if let Err(e) = client.update_task_status(report).await {
            tracing::error!("cannot report the end of {tasks} tasks to {scheduler}: {}", with_sources(&e));
        }
    }
}
