//! Ballista without its network: a query is planned by the scheduler's task manager, and its tasks are run here, one
//! after the other.
//!
//! Tasks are serialized as between processes. The caller decides the order of events, instead of threads and clocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use ballista_core::JobId;
use ballista_core::error::Result;
use ballista_core::execution_plans::ShuffleReaderExec;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::{SuccessfulTask, TaskStatus, job_status, task_status};
use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata, ExecutorSpecification};
use ballista_core::utils::{default_config_producer, default_session_builder};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine};
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use ballista_scheduler::cluster::{BallistaCluster, ClusterState};
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::state::execution_graph::{ExecutionGraphBox, TaskDescription};
use ballista_scheduler::state::task_manager::TaskManager;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{Partitioning, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tempfile::TempDir;

use crate::{rows, values};

/// Executors to which tasks can be attributed. Started tasks count as tasks of the first.
pub const EXECUTORS: [&str; 2] = ["first", "second"];

/// One query on its way through a cluster.
pub struct Query {
    id: JobId,
    manager: TaskManager<LogicalPlanNode, PhysicalPlanNode>,
    executors: InMemoryClusterState,
    codec: BallistaCodec,
    context: Arc<SessionContext>,
    schema: SchemaRef,
    work: TempDir,
}

/// Ballista's session configuration, with two partitions, each of which is a task.
pub fn config() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_target_partitions(2)
        .set_usize("ballista.scheduler.max_partitions_per_task", 1)
}

fn executor(id: &str) -> ExecutorMetadata {
    ExecutorMetadata {
        id: id.to_string(),
        host: "localhost".to_string(),
        port: 0,
        grpc_port: 0,
        specification: ExecutorSpecification { vcores: 1000 },
        os_info: Default::default(),
    }
}

impl Query {
    /// Runs all statements but the last, which is planned.
    pub async fn submit(config: SessionConfig, statements: &[&str]) -> Self {
        let [tables @ .., sql] = statements else { panic!("a query is needed") };
        let context = Arc::new(SessionContext::new_with_state(default_session_builder(config).unwrap()));
        rows(&context, tables).await.unwrap();
        let plan = context.sql(sql).await.unwrap();
        let schema = Arc::clone(plan.schema().inner());
        let plan = plan.into_optimized_plan().unwrap();

        let cluster = BallistaCluster::new_memory(
            "scheduler",
            Arc::new(default_session_builder),
            Arc::new(default_config_producer),
        );
        let codec = BallistaCodec::default();
        let manager = TaskManager::new(
            cluster.job_state(),
            codec.clone(),
            "scheduler".to_string(),
            "localhost:0".to_string(),
            Arc::new(SchedulerConfig::default()),
        );
        let id = JobId::from("query");
        manager.queue_job(&id, "", 0).unwrap();
        manager.submit_job(&id, "", Arc::clone(&context), &plan, 0, None).await.unwrap();

        let executors = InMemoryClusterState::default();
        let free = ExecutorData { executor_id: EXECUTORS[0].to_string(), total_vcores: 1000, available_vcores: 1000 };
        executors.register_executor(executor(EXECUTORS[0]), free).await.unwrap();
        let work = tempfile::tempdir().unwrap();
        Self { id, manager, executors, codec, context, schema, work }
    }

    /// The tasks that can start, by stage and number. They count as started.
    pub async fn start(&self) -> BTreeMap<(usize, usize), TaskDescription> {
        let jobs = self.manager.get_running_job_cache();
        let bound = self.executors.bind_schedulable_tasks(TaskDistributionPolicy::Bias, jobs, None).await.unwrap();
        bound.into_iter().map(|(_, task)| ((task.key.stage_id, task.key.task_id), task)).collect()
    }

    /// Runs a task as an executor does, and reports what it did.
    pub async fn run(&self, on: &str, task: TaskDescription) -> Result<()> {
        let status = self.execute(on, task).await?;
        self.report(on, status).await
    }

    /// Tells the scheduler that a task has ended.
    pub async fn report(&self, on: &str, status: TaskStatus) -> Result<()> {
        self.change(|graph| graph.update_task_status(&executor(on), vec![status], 4, 4).map(|_| ())).await
    }

    /// Runs a task as an executor does, and returns its report.
    pub async fn execute(&self, on: &str, task: TaskDescription) -> Result<TaskStatus> {
        let (key, attempt) = (task.key.clone(), task.stage_attempt_num);
        let sent = self.manager.prepare_task_definition(task)?;
        let functions = BallistaFunctionRegistry::default();
        let context = Arc::new(TaskContext::new(
            None,
            "session".to_string(),
            self.context.copied_config(),
            functions.scalar_functions,
            functions.higher_order_functions,
            functions.aggregate_functions,
            functions.window_functions,
            self.context.runtime_env(),
        ));
        let plan = PhysicalPlanNode::try_decode(&sent.plan)?
            .try_into_physical_plan(&context, self.codec.physical_extension_codec())?;
        let stage = DefaultExecutionEngine::new().create_query_stage_exec(
            key.job_id.clone(),
            key.stage_id,
            key.task_id,
            sent.global_output_partition_ids.iter().map(|id| *id as usize).collect(),
            plan,
            self.work.path().to_str().unwrap(),
            context.session_config(),
        )?;
        let partitions = stage.execute_query_stage(key.task_id, context).await?;
        Ok(TaskStatus {
            task_id: sent.task_id,
            job_id: sent.job_id,
            stage_id: sent.stage_id,
            stage_attempt_num: attempt as u32,
            launch_time: 0,
            start_exec_time: 0,
            end_exec_time: 0,
            metrics: stage.collect_plan_metrics().into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            status: Some(task_status::Status::Successful(SuccessfulTask {
                executor_id: on.to_string(),
                partitions,
                runtime_stats: stage.collect_runtime_stats_reports(),
                task_column_stats: stage.collect_column_stats(),
                window_state: stage.collect_window_state_reports()?,
            })),
        })
    }

    /// Runs tasks until none can start. Gives up after far more rounds than a small query needs.
    pub async fn run_all(&self, on: &str) -> Result<()> {
        for _ in 0..20 {
            let tasks = self.start().await;
            if tasks.is_empty() {
                return Ok(());
            }
            for task in tasks.into_values() {
                self.run(on, task).await?;
            }
        }
        Ok(())
    }

    /// Calls `change` with the scheduler's state of the query.
    pub async fn change<T>(&self, change: impl FnOnce(&mut ExecutionGraphBox) -> T) -> T {
        let jobs = self.manager.get_running_job_cache();
        let mut graph = jobs[&self.id].execution_graph.write().await;
        let result = change(&mut graph);
        graph.revive();
        result
    }

    /// The plans of its stages, by number.
    pub async fn stages(&self) -> BTreeMap<usize, String> {
        self.change(|graph| {
            let text = |plan| displayable(plan).indent(false).to_string();
            graph.stages().iter().map(|(id, stage)| (*id, text(stage.plan()))).collect()
        })
        .await
    }

    /// The values of the only column of the result, if there is one.
    pub async fn answer(&self) -> Option<Vec<String>> {
        let locations = self
            .change(|graph| match graph.status().status {
                Some(job_status::Status::Successful(_)) => Some(graph.output_locations()),
                _ => None,
            })
            .await?;
        let reader = ShuffleReaderExec::try_new(
            0,
            vec![locations],
            Arc::clone(&self.schema),
            Partitioning::UnknownPartitioning(1),
        )
        .unwrap()
        .with_work_dir(self.work.path().to_str().unwrap().to_string());
        Some(values(&collect(Arc::new(reader), self.context.task_ctx()).await.unwrap()))
    }
}
