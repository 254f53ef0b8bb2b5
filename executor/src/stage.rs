//! Runs tasks as Ballista does, but on threads of their own, remembers which have ended, and encodes their failures for
//! the scheduler.

use std::sync::Arc;
use std::{fmt, io};

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::BallistaError;
use ballista_core::serde::protobuf::{RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport};
use ballista_core::serde::scheduler::TaskKey;
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use bergmill_engine::{
    Cancelled, Failure, count_sorts, heeding, push_dynamic_filters, with_cancelled, with_dynamic_filters,
    with_room_to_merge,
};
use datafusion::arrow::error::ArrowError;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::ended::{EndedTasks, Unended};
use crate::metrics::Metrics;
use crate::peers::Peers;

/// Ballista's engine, except for dynamic filters, how failures are reported, and the memory that sorts reserve. Tasks
/// are measured, and remembered when they have ended.
pub(crate) struct Engine {
    inner: DefaultExecutionEngine,
    metrics: Metrics,
    ended: EndedTasks,
    threads: Handle,
}

impl Engine {
    /// Plans run on `threads`. Tasks fetch rows by the connections of `peers`, or else open one for each fetch.
    pub(crate) fn new(metrics: Metrics, ended: EndedTasks, threads: Handle, peers: Option<Peers>) -> Self {
        let inner = match peers {
            Some(peers) => DefaultExecutionEngine::with_client_pool(Arc::new(peers)),
            None => DefaultExecutionEngine::new(),
        };
        Self { inner, metrics, ended, threads }
    }
}

impl ExecutionEngine for Engine {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        global_output_partition_ids: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        // A task that cannot be made has ended too.
        let unended = self.ended.begin(TaskKey { job_id: job_id.clone(), stage_id, task_id });
        let sorts = count_sorts(&plan);
        let cancelled = Cancelled::default();
        let plan = heeding(push_dynamic_filters(plan, config)?, &cancelled)?;
        let stage = self.inner.create_query_stage_exec(
            job_id,
            stage_id,
            task_id,
            global_output_partition_ids,
            plan,
            work_dir,
            config,
        )?;
        let (metrics, threads) = (self.metrics.clone(), self.threads.clone());
        Ok(Arc::new(Stage { stage, sorts, metrics, threads, cancelled, _unended: unended }))
    }
}

#[derive(Debug)]
struct Stage {
    stage: Arc<dyn QueryStageExecutor>,
    sorts: usize,
    metrics: Metrics,
    threads: Handle,
    cancelled: Cancelled,
    /// The stage is dropped when the report of its task is on its way.
    _unended: Unended,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for Stage {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let context = with_dynamic_filters(&with_room_to_merge(&context, self.sorts));
        let context = Arc::new(with_cancelled(&context, &self.cancelled));
        let task = self.metrics.begin(self.stage.as_ref(), &context);
        // If Ballista cancels the task, it drops this future.
        let _guard = self.cancelled.on_drop();
        let stage = Arc::clone(&self.stage);
        let mut running =
            AbortOnDrop(self.threads.spawn(async move { stage.execute_query_stage(task_id, context).await }));
        let done = match (&mut running.0).await {
            Ok(done) => done,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => Err(DataFusionError::ExecutionJoin(Box::new(e))),
        };
        match done {
            Ok(written) => {
                task.finish(&written);
                Ok(written)
            }
            Err(e) => {
                task.fail();
                Err(reported(e))
            }
        }
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.stage.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.stage.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.stage.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.stage.collect_column_stats()
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The error to report. Errors that decide what Ballista retries stay unchanged: its own, and those of the system.
fn reported(error: DataFusionError) -> DataFusionError {
    if is_broken_stream(&error) {
        return DataFusionError::IoError(io::Error::new(io::ErrorKind::ConnectionReset, error.to_string()));
    }
    match failure(&error) {
        Some(failure) => DataFusionError::External(Box::new(failure)),
        None => error,
    }
}

/// Whether another executor was lost while its rows were read. Ballista 55 recognizes only failures before the first
/// row as lost rows. The task is repeated, and then cannot reach that executor. Of some failures arrow keeps the text
/// alone, as those of a stream that it cannot read.
fn is_broken_stream(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        let is_unreadable = matches!(current.downcast_ref(), Some(ArrowError::IpcError(_)));
        if is_unreadable || current.is::<tonic::Status>() {
            return true;
        }
        cause = match current.downcast_ref::<BallistaError>() {
            // Ballista's operators wrap the errors of DataFusion's.
            Some(BallistaError::DataFusionError(inner)) => Some(inner.as_ref()),
            Some(BallistaError::ArrowError(inner)) => Some(inner.as_ref()),
            Some(_) => None,
            None => current.source(),
        };
    }
    false
}

/// Classifies an error if the plan failed; `None` if something the plan needs was lost.
fn failure(error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        match current.downcast_ref::<BallistaError>() {
            // Ballista's operators wrap the errors of DataFusion's.
            Some(BallistaError::DataFusionError(inner)) => return failure(inner.as_ref()),
            Some(BallistaError::ArrowError(inner)) => return Some(Failure::of_arrow(inner)),
            Some(_) => return None,
            None if current.is::<std::io::Error>() => return None,
            None => cause = current.source(),
        }
    }
    error.downcast_ref::<DataFusionError>().map(Failure::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_repeated_if_another_executor_is_lost_while_its_rows_are_read() {
        let broken = || ArrowError::ExternalError(Box::new(tonic::Status::unknown("stream closed")));
        for lost in [
            DataFusionError::from(broken()),
            DataFusionError::External(Box::new(BallistaError::ArrowError(Box::new(broken())))),
            DataFusionError::External(Box::new(BallistaError::ArrowError(Box::new(ArrowError::IpcError(
                "code: 'Unknown error', message: \"stream closed\"".to_string(),
            ))))),
            DataFusionError::External(Box::new(BallistaError::DataFusionError(Box::new(broken().into())))),
        ] {
            let reported = reported(lost.context("a join"));
            assert!(
                matches!(&reported, DataFusionError::IoError(e) if e.to_string().contains("stream closed")),
                "{reported}"
            );
        }
        let failed = reported(DataFusionError::from(ArrowError::DivideByZero));
        assert!(matches!(failed, DataFusionError::External(e) if e.is::<Failure>()));
    }
}
