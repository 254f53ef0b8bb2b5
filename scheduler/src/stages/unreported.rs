//! Tasks whose end the scheduler has missed.
//!
//! Executors of Ballista 55 report the end of a task once. If the network loses the report, the scheduler counts the
//! task as running for as long as the executor lives, and its query never ends. So executors also list the tasks that
//! have ended in heartbeats, some seconds later. A task that then still counts as running is repeated: nothing of its
//! rows is known to anyone, and should its report arrive after all, it is ignored like that of any repeated task.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ballista_core::JobId;
use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{
    FailedTask, RunningTask, TaskKilled, TaskStatus, UpdateTaskStatusParams, task_status,
};
use ballista_core::serde::scheduler::TaskKey;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use tonic::Request;

use crate::error::{Error, ErrorKind, Result};
use crate::process::Scheduler;

/// How long ended tasks are remembered. A running query asks for its own more often; the others have ended.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The tasks that have ended according to heartbeats.
#[derive(Default)]
pub(crate) struct EndedTasks(Mutex<Vec<Ended>>);

struct Ended {
    executor: String,
    task: TaskKey,
    heard: Instant,
}

impl EndedTasks {
    /// Remembers what an executor has listed.
    pub(crate) fn hear(&self, executor: &str, tasks: Vec<TaskKey>) {
        let heard = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|ended| heard.duration_since(ended.heard) < REMEMBERED);
        all.extend(tasks.into_iter().map(|task| Ended { executor: executor.to_string(), task, heard }));
    }

    /// Removes and returns the tasks of a query.
    fn take(&self, query: &JobId) -> Vec<Ended> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extract_if(.., |ended| ended.task.job_id == *query).collect()
    }
}

impl Scheduler {
    /// Repeats the tasks of a query that have ended without a report.
    pub(crate) async fn repeat_unreported(&self, id: &JobId) -> Result<()> {
        let ended = self.ended_tasks.take(id);
        let running = self.server.state.task_manager.get_running_job_cache();
        let Some(query) = running.get(id).filter(|_| !ended.is_empty()) else { return Ok(()) };
        let mut repeated = None;
        {
            // A report is either handled before, and its task does not run any more, or after, and is ignored.
            let mut graph = query.execution_graph.write().await;
            for Ended { executor, task, .. } in ended {
                if !counts_as_running(graph.stages(), &executor, &task) {
                    continue;
                }
                // If it was lost meanwhile, Ballista repeats its tasks.
                let executors = &self.server.state.executor_manager;
                let Ok(metadata) = executors.get_executor_metadata(&executor).await else { continue };
                graph.update_task_status(&metadata, vec![unreported(&task)], usize::MAX, usize::MAX)?;
                let TaskKey { stage_id, task_id, .. } = task;
                tracing::warn!("task {task_id} of stage {stage_id} of query {id} is repeated: its report was lost");
                repeated = Some(executor);
            }
        }
        if let Some(executor_id) = repeated {
            // Ballista assigns tasks when an executor reports something.
            let nothing = UpdateTaskStatusParams { executor_id, task_status: Vec::new() };
            let assigned = SchedulerGrpc::update_task_status(&self.server, Request::new(nothing)).await;
            assigned.map_err(|e| Error::new(ErrorKind::Internal, format!("query {id}: {}", e.message())))?;
        }
        Ok(())
    }
}

/// Whether a task runs on this executor, as far as the scheduler knows.
fn counts_as_running(stages: &HashMap<usize, ExecutionStage>, executor: &str, task: &TaskKey) -> bool {
    let Some(ExecutionStage::Running(stage)) = stages.get(&task.stage_id) else { return false };
    // A stage that runs again counts its tasks from 0 again. Its query restarts anyway.
    let known = stage.task_infos.get(task.task_id).filter(|_| stage.stage_attempt_num == 0);
    known.is_some_and(|known| {
        matches!(&known.task_status, task_status::Status::Running(RunningTask { executor_id }) if executor_id == executor)
    })
}

/// A status with which Ballista repeats a task, and ignores later ones.
fn unreported(task: &TaskKey) -> TaskStatus {
    TaskStatus {
        job_id: task.job_id.to_string(),
        stage_id: u32::try_from(task.stage_id).unwrap_or(u32::MAX),
        task_id: u32::try_from(task.task_id).unwrap_or(u32::MAX),
        status: Some(task_status::Status::Failed(FailedTask {
            error: "its report was lost".to_string(),
            retryable: true,
            count_to_failures: false,
            failed_reason: Some(FailedReason::TaskKilled(TaskKilled {})),
        })),
        ..TaskStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use ballista_core::serde::BallistaCodec;
    use ballista_core::serde::protobuf::{ShuffleWritePartition, SuccessfulTask};
    use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata, ExecutorSpecification};
    use ballista_core::utils::{default_config_producer, default_session_builder};
    use ballista_scheduler::cluster::memory::InMemoryClusterState;
    use ballista_scheduler::cluster::{BallistaCluster, ClusterState};
    use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
    use ballista_scheduler::state::execution_stage::RunningStage;
    use ballista_scheduler::state::task_manager::TaskManager;
    use bergmill_engine::cluster_config;
    use datafusion::datasource::MemTable;
    use datafusion::functions_aggregate::count::count;
    use datafusion::prelude::{SessionContext, col};
    use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};

    use super::*;
    use crate::stages::made_up::{resolved, running, stages, successful, task};

    fn key(job: &str, stage_id: usize, task_id: usize) -> TaskKey {
        TaskKey { job_id: JobId::new(job), stage_id, task_id }
    }

    #[test]
    fn each_query_gets_its_own_tasks_once() {
        let ended = EndedTasks::default();
        ended.hear("a", vec![key("q", 1, 0), key("r", 1, 0)]);
        ended.hear("b", vec![key("q", 2, 3)]);
        let check = |query: &str, expected: &[(&str, TaskKey)]| {
            let got = ended.take(&JobId::new(query));
            let got: Vec<_> = got.iter().map(|ended| (ended.executor.as_str(), ended.task.clone())).collect();
            assert_eq!(got, expected);
        };
        check("q", &[("a", key("q", 1, 0)), ("b", key("q", 2, 3))]);
        check("q", &[]);
        check("r", &[("a", key("r", 1, 0))]);
    }

    #[test]
    fn only_tasks_that_count_as_running_are_repeated() {
        let on = |executor: &str| task_status::Status::Running(RunningTask { executor_id: executor.to_string() });
        let done = || {
            let done = SuccessfulTask { executor_id: "a".to_string(), ..SuccessfulTask::default() };
            task_status::Status::Successful(done)
        };
        let tasks = || vec![task(&[0], on("a")), task(&[1], done()), task(&[2], on("b"))];
        let ExecutionStage::Running(again) = running(4, tasks()) else { unreachable!() };
        let again = ExecutionStage::Running(RunningStage { stage_attempt_num: 1, ..again });
        let made = stages(vec![running(1, tasks()), successful(2, vec![task(&[0], done())]), resolved(3), again]);
        let check = |stage: usize, task: usize, expected: bool| {
            assert_eq!(counts_as_running(&made, "a", &key("q", stage, task)), expected, "{stage} {task}");
        };
        check(1, 0, true);
        // Reported; of another executor; unknown.
        check(1, 1, false);
        check(1, 2, false);
        check(1, 3, false);
        check(2, 0, false);
        check(3, 0, false);
        check(4, 0, false);
        check(5, 0, false);
    }

    /// How many locations of rows the second stage of a query reads, by partition. A disturbed query misses the report
    /// of a task, repeats it, and gets the report then.
    async fn read_by_second_stage(adaptive: bool, disturbed: bool) -> Vec<(u32, usize)> {
        let config = cluster_config(2)
            .set_bool("ballista.planner.adaptive.enabled", adaptive)
            .set_usize("ballista.scheduler.max_partitions_per_task", 1);
        let context = Arc::new(SessionContext::new_with_config(config));
        let numbers = |from: i64| {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![from, from + 1]));
            RecordBatch::try_from_iter([("x", column)]).unwrap()
        };
        let partitions = vec![vec![numbers(1)], vec![numbers(3)]];
        let table = context.read_table(Arc::new(MemTable::try_new(numbers(0).schema(), partitions).unwrap())).unwrap();
        let plan = table.aggregate(vec![col("x")], vec![count(col("x"))]).unwrap().into_optimized_plan().unwrap();

        let codec = BallistaCodec::<LogicalPlanNode, PhysicalPlanNode>::default();
        let (sessions, configs) = (Arc::new(default_session_builder), Arc::new(default_config_producer));
        let jobs = BallistaCluster::new_memory("s", sessions, configs).job_state();
        let settings = Arc::new(SchedulerConfig::default());
        let manager = TaskManager::new(jobs, codec, "s".to_string(), "s:0".to_string(), settings);
        let id = JobId::new("q");
        manager.queue_job(&id, "", 0).unwrap();
        manager.submit_job(&id, "", context, &plan, 0, None).await.unwrap();

        let executor = ExecutorMetadata {
            id: "a".to_string(),
            host: "localhost".to_string(),
            port: 0,
            grpc_port: 0,
            specification: ExecutorSpecification { vcores: 9 },
            os_info: Default::default(),
        };
        let executors = InMemoryClusterState::default();
        let free = ExecutorData { executor_id: "a".to_string(), total_vcores: 9, available_vcores: 9 };
        executors.register_executor(executor.clone(), free).await.unwrap();
        let start = async || {
            let jobs = manager.get_running_job_cache();
            let bound = executors.bind_schedulable_tasks(TaskDistributionPolicy::Bias, jobs, None).await.unwrap();
            bound.into_iter().map(|(_, task)| task.key).collect::<Vec<_>>()
        };
        let running = manager.get_running_job_cache();
        let report = async |status: TaskStatus| {
            let mut graph = running[&id].execution_graph.write().await;
            graph.update_task_status(&executor, vec![status], usize::MAX, usize::MAX).unwrap();
        };
        let written = |partition_id| ShuffleWritePartition { partition_id, num_rows: 9, ..Default::default() };
        let ended = |task: &TaskKey| {
            let partitions = vec![written(0), written(1)];
            let done = SuccessfulTask { executor_id: "a".to_string(), partitions, ..SuccessfulTask::default() };
            TaskStatus { status: Some(task_status::Status::Successful(done)), ..unreported(task) }
        };

        let tasks = start().await;
        assert_eq!(tasks.len(), 2);
        let mut ending = tasks.clone();
        if disturbed {
            report(unreported(&tasks[0])).await;
            ending = start().await;
            assert_eq!(ending.len(), 1, "one task is repeated");
            report(ended(&tasks[0])).await;
            ending.push(tasks[1].clone());
        }
        for task in &ending {
            report(ended(task)).await;
        }
        let mut graph = running[&id].execution_graph.write().await;
        graph.revive();
        let second = graph.stages().values().filter_map(|stage| match stage {
            ExecutionStage::Running(stage) => Some(&stage.inputs),
            _ => None,
        });
        let outputs = second.flat_map(|inputs| inputs.values()).flat_map(|output| &output.partition_locations);
        let mut read: Vec<_> = outputs.map(|(partition, locations)| (*partition as u32, locations.len())).collect();
        read.sort_unstable();
        assert!(!read.is_empty(), "there is a second stage");
        read
    }

    #[tokio::test]
    async fn a_repeated_task_is_read_once_even_if_its_report_arrives_late() {
        for adaptive in [true, false] {
            let undisturbed = read_by_second_stage(adaptive, false).await;
            assert_eq!(read_by_second_stage(adaptive, true).await, undisturbed, "{adaptive}");
        }
    }
}
