//! The port for tasks: runs those that the scheduler sends.
//!
//! In place of Ballista's `executor_server`, which opens its port without TLS, and connects to the scheduler without
//! it. What a task does, and what is reported of it, is Ballista's.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ballista_core::error::BallistaError;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpc;
use ballista_core::serde::protobuf::{
    CancelTasksParams, CancelTasksResult, FailedTask, LaunchMultiTaskParams, LaunchMultiTaskResult, LaunchTaskParams,
    LaunchTaskResult, MultiTaskDefinition, OperatorMetricsSet, RemoveJobDataParams, RemoveJobDataResult,
    StopExecutorParams, StopExecutorResult, SuccessfulTask, TaskStatus, task_status,
};
use ballista_core::serde::scheduler::from_proto::get_task_definition_vec;
use ballista_core::serde::scheduler::{TaskDefinition, TaskKey};
use ballista_executor::execution_engine::{ExecutionEngine, QueryStageExecutor};
use ballista_executor::executor::Executor;
use datafusion::execution::TaskContext;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use crate::query_files::folder_of;
use crate::reports::Report;
use crate::stage::Engine;

/// Runs the scheduler's tasks.
#[derive(Clone)]
pub(crate) struct Tasks {
    pub executor: Arc<Executor>,
    pub engine: Arc<Engine>,
    pub codec: BallistaCodec,
    pub reports: mpsc::UnboundedSender<Report>,
    /// Receives the scheduler's requests to stop.
    pub stop: mpsc::Sender<()>,
}

impl Tasks {
    async fn decode(&self, tasks: MultiTaskDefinition) -> Result<Vec<TaskDefinition>, String> {
        let executor = &self.executor;
        // Its tasks write files there.
        folder_of(Path::new(executor.work_dir()), &tasks.job_id).await.map_err(|e| e.message().to_string())?;
        let functions = &executor.function_registry;
        let decoded = get_task_definition_vec(
            tasks,
            Arc::clone(&executor.runtime_producer),
            executor.produce_config(),
            functions.scalar_functions.clone(),
            functions.aggregate_functions.clone(),
            functions.window_functions.clone(),
            functions.higher_order_functions.clone(),
            self.codec.clone(),
        );
        decoded.map_err(|e| e.to_string())
    }

    /// Runs a task to its end, and reports that.
    async fn run(self, task: TaskDefinition, scheduler: String) {
        let name = format!(
            "{}/{}.{}/{}.{}",
            task.job_id, task.stage_id, task.stage_attempt_num, task.task_id, task.task_attempt_num
        );
        tracing::info!("task {name} begins");
        let began = Instant::now();
        let (job_id, stage_id, task_id) = (task.job_id.clone(), task.stage_id, task.task_id);
        let mut status = TaskStatus {
            task_id: task_id as u32,
            job_id: job_id.to_string(),
            stage_id: stage_id as u32,
            stage_attempt_num: task.stage_attempt_num as u32,
            launch_time: task.launch_time,
            start_exec_time: millis(),
            ..TaskStatus::default()
        };
        let key = TaskKey { job_id, stage_id, task_id };
        // The stage is kept until the report is on its way: it counts as ended when it is dropped.
        let (_stage, ended) = match self.prepare(&name, task) {
            Ok((stage, context)) => {
                let written = self.executor.execute_query_stage(key, Arc::clone(&stage), context).await;
                status.metrics = metrics(stage.as_ref());
                let ended = written.and_then(|partitions| {
                    Ok(SuccessfulTask {
                        executor_id: self.executor.metadata.id.clone(),
                        partitions,
                        runtime_stats: stage.collect_runtime_stats_reports(),
                        window_state: stage.collect_window_state_reports()?,
                        task_column_stats: stage.collect_column_stats(),
                    })
                });
                (Some(stage), ended)
            }
            Err(e) => (None, Err(e)),
        };
        tracing::info!("task {name} ended after {:?}: {}", began.elapsed(), outcome(&ended));
        status.end_exec_time = millis();
        status.status = Some(match ended {
            Ok(done) => task_status::Status::Successful(done),
            Err(e) => task_status::Status::Failed(FailedTask::from(e)),
        });
        // There is nobody left to report to if the executor has stopped.
        let _ = self.reports.send(Report { scheduler, status });
    }

    fn prepare(
        &self,
        name: &str,
        task: TaskDefinition,
    ) -> Result<(Arc<dyn QueryStageExecutor>, Arc<TaskContext>), BallistaError> {
        let (session, settings) = (task.session_id, task.session_config);
        let stage = self.engine.create_query_stage_exec(
            task.job_id,
            task.stage_id,
            task.task_id,
            task.global_output_partition_ids,
            task.plan,
            self.executor.work_dir(),
            &settings,
        )?;
        let runtime = self.executor.produce_runtime_for_session(&session, &settings, task.vcores_consumed)?;
        let functions = &task.function_registry;
        let context = TaskContext::new(
            Some(name.to_string()),
            session,
            settings,
            functions.scalar_functions.clone(),
            functions.higher_order_functions.clone(),
            functions.aggregate_functions.clone(),
            functions.window_functions.clone(),
            runtime,
        );
        Ok((stage, Arc::new(context)))
    }
}

fn metrics(stage: &dyn QueryStageExecutor) -> Vec<OperatorMetricsSet> {
    let encoded = stage.collect_plan_metrics().into_iter().map(TryInto::try_into);
    let encoded: Result<_, BallistaError> = encoded.collect();
    encoded.unwrap_or_else(|e| {
        tracing::warn!("the metrics of a task cannot be encoded: {e}");
        Vec::new()
    })
}

fn outcome<T>(ended: &Result<T, BallistaError>) -> String {
    match ended {
        Ok(_) => "finished".to_string(),
        Err(e) => format!("failed: {e}"),
    }
}

fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[tonic::async_trait]
impl ExecutorGrpc for Tasks {
    async fn launch_task(&self, _: Request<LaunchTaskParams>) -> Result<Response<LaunchTaskResult>, Status> {
        Err(Status::unimplemented("tasks are launched by LaunchMultiTask"))
    }

    async fn launch_multi_task(
        &self,
        request: Request<LaunchMultiTaskParams>,
    ) -> Result<Response<LaunchMultiTaskResult>, Status> {
        let LaunchMultiTaskParams { multi_tasks, scheduler_endpoint } = request.into_inner();
        let mut failed = BTreeSet::new();
        for tasks in multi_tasks {
            let query = tasks.job_id.clone();
            match self.decode(tasks).await {
                Ok(tasks) => {
                    for task in tasks {
                        tokio::spawn(self.clone().run(task, scheduler_endpoint.clone()));
                    }
                }
                Err(e) => {
                    tracing::error!("cannot decode tasks of query {query}: {e}");
                    failed.insert(query);
                }
            }
        }
        Ok(Response::new(LaunchMultiTaskResult { failed_jobs: failed.into_iter().collect() }))
    }

    async fn stop_executor(
        &self,
        request: Request<StopExecutorParams>,
    ) -> Result<Response<StopExecutorResult>, Status> {
        let StopExecutorParams { executor_id, reason, .. } = request.into_inner();
        if executor_id == self.executor.metadata.id {
            tracing::info!("the scheduler stops this executor: {reason}");
            // One that is not read yet is enough.
            let _ = self.stop.try_send(());
        } else {
            tracing::warn!("the scheduler stops executor {executor_id}, which has had this address before");
        }
        Ok(Response::new(StopExecutorResult {}))
    }

    async fn cancel_tasks(&self, request: Request<CancelTasksParams>) -> Result<Response<CancelTasksResult>, Status> {
        let mut cancelled = true;
        for task in request.into_inner().task_infos {
            let (stage, id) = (task.stage_id as usize, task.task_id as usize);
            if let Err(e) = self.executor.cancel_task(task.job_id.into(), stage, id).await {
                tracing::error!("cannot cancel task {id} of stage {stage}: {e}");
                cancelled = false;
            }
        }
        Ok(Response::new(CancelTasksResult { cancelled }))
    }

    /// Removes the files of the stages that are named, or else those of the whole query.
    async fn remove_job_data(
        &self,
        request: Request<RemoveJobDataParams>,
    ) -> Result<Response<RemoveJobDataResult>, Status> {
        let RemoveJobDataParams { job_id, remove_stage_ids } = request.into_inner();
        let folder = folder_of(Path::new(self.executor.work_dir()), &job_id).await?;
        let folders = match remove_stage_ids.is_empty() {
            true => vec![folder],
            false => remove_stage_ids.iter().map(|stage| folder.join(stage.to_string())).collect(),
        };
        for folder in folders {
            match tokio::fs::remove_dir_all(&folder).await {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Status::internal(format!("cannot remove {}: {e}", folder.display())));
                }
                // An executor that has no task of the query has no files of it.
                _ => {}
            }
        }
        Ok(Response::new(RemoveJobDataResult {}))
    }
}
