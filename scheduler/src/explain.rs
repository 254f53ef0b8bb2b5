//! `EXPLAIN ANALYZE`: the plan with what happened, per operator, per scan and per executor.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ballista_core::JobId;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{GetJobMetricsParams, JobStageMetrics, OperatorMetricsSet, task_status};
use ballista_scheduler::state::execution_stage::ExecutionStage;
use bergmill_catalog::ScanReport;
use bergmill_gateway::{Error, ErrorKind, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use futures::TryStreamExt;

use crate::error::from_datafusion;
use crate::process::Scheduler;
use crate::query::{bytes_read, for_clients, must_run_whole};
use crate::session::StatementSession;

/// The two columns of every `EXPLAIN`: plan_type, plan.
pub(crate) fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![text("plan_type"), text("plan")]))
}

impl Scheduler {
    /// Runs the plan, throws its rows away, and tells how it ran.
    pub(crate) async fn explain_analyze(
        &self,
        plan: &LogicalPlan,
        session: &StatementSession,
    ) -> Result<SendableRecordBatchStream> {
        let single = session.single.create_physical_plan(plan).await.map_err(from_datafusion)?;
        let mut rows = Vec::new();
        if bytes_read(&single) <= self.local_query_bytes {
            drain(execute_stream(Arc::clone(&single), session.single.task_ctx()).map_err(from_datafusion)?).await?;
            let text = DisplayableExecutionPlan::with_metrics(single.as_ref()).indent(false).to_string();
            rows.push(("plan_with_metrics", text));
            rows.push(("scans", scans(&session.scans.take())));
            rows.push(("executors", "none: answered in the scheduler's process".to_string()));
        } else {
            // Scans were planned once to find out how much there is to read; count the query's own only.
            session.scans.take();
            let whole = match session.one_executor {
                true => Some(session.single.clone()),
                false => must_run_whole(plan, &single, session).await?,
            };
            session.scans.take();
            let (id, text) = match whole {
                Some(state) => self.analyze_whole(plan, &state).await?,
                None => {
                    let answer = self.run_in_stages(plan, &single, session).await?;
                    drain(answer.rows).await?;
                    let text = self.stages(&answer.id).await?;
                    (answer.id, text)
                }
            };
            rows.push(("plan_with_metrics", text));
            rows.push(("scans", scans(&session.scans.take())));
            rows.push(("executors", executors(&self.tasks_by_executor(&id).await?)));
        }
        let (types, texts): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(StringArray::from(types)), Arc::new(StringArray::from(texts))];
        let batch = RecordBatch::try_new(schema(), columns).map_err(|e| from_datafusion(e.into()))?;
        let rows = datafusion::physical_plan::memory::MemoryStream::try_new(vec![batch], schema(), None);
        Ok(for_clients(Box::pin(rows.map_err(from_datafusion)?)))
    }

    /// A whole query is one task, inside of which DataFusion itself takes the figures.
    async fn analyze_whole(&self, plan: &LogicalPlan, state: &SessionState) -> Result<(JobId, String)> {
        let analyze = LogicalPlanBuilder::from(plan.clone()).explain(false, true).and_then(LogicalPlanBuilder::build);
        let analyze = state.create_physical_plan(&analyze.map_err(from_datafusion)?).await.map_err(from_datafusion)?;
        let answer = self.run_whole(analyze, state).await?;
        let texts: Vec<RecordBatch> = answer.rows.try_collect().await.map_err(from_datafusion)?;
        let texts = texts.iter().filter_map(|b| b.columns().last()?.as_string_opt::<i32>());
        Ok((answer.id, texts.flat_map(|t| t.iter().flatten()).collect()))
    }

    /// Tasks that each executor finished for a query.
    pub(crate) async fn tasks_by_executor(&self, id: &JobId) -> Result<BTreeMap<String, usize>> {
        let graph = self.jobs.get_execution_graph(id).await.map_err(crate::error::from_ballista)?;
        let mut tasks = BTreeMap::new();
        for stage in graph.iter().flat_map(|g| g.stages().values()) {
            let ExecutionStage::Successful(stage) = stage else { continue };
            for task in &stage.task_infos {
                if let task_status::Status::Successful(done) = &task.task_status {
                    *tasks.entry(done.executor_id.clone()).or_default() += 1;
                }
            }
        }
        Ok(tasks)
    }

    async fn stages(&self, id: &JobId) -> Result<String> {
        let request = tonic::Request::new(GetJobMetricsParams { job_id: id.to_string() });
        let answer = self.server.get_job_metrics(request).await;
        let answer = answer.map_err(|e| Error::new(ErrorKind::Internal, e.message().to_string()))?;
        answer.into_inner().stages.iter().map(stage).collect::<Result<Vec<_>>>().map(|s| s.join("\n"))
    }
}

async fn drain(mut rows: SendableRecordBatchStream) -> Result<()> {
    while rows.try_next().await.map_err(from_datafusion)?.is_some() {}
    Ok(())
}

fn stage(stage: &JobStageMetrics) -> Result<String> {
    let mut text = format!("stage {} ({} partitions)\n", stage.stage_id, stage.partitions);
    for operator in &stage.operators {
        let metrics: MetricsSet =
            OperatorMetricsSet { metrics: operator.metrics.clone() }.try_into().map_err(crate::error::from_ballista)?;
        let metrics = metrics.aggregate_by_name().sorted_for_display().timestamps_removed();
        let indent = "  ".repeat(operator.depth as usize + 1);
        let _ = writeln!(text, "{indent}{}, metrics=[{metrics}]", operator.operator_desc);
    }
    Ok(text)
}

fn scans(reports: &[ScanReport]) -> String {
    let line = |r: &ScanReport| {
        let snapshot = r.snapshot_id.map_or("none".to_string(), |id| id.to_string());
        format!(
            "{}: snapshot={snapshot}, files_planned={}, files_pruned={}, bytes_planned={}",
            r.table, r.files_planned, r.files_pruned, r.bytes_planned
        )
    };
    reports.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn executors(tasks: &BTreeMap<String, usize>) -> String {
    tasks.iter().map(|(id, n)| format!("{id}: {n} tasks")).collect::<Vec<_>>().join("\n")
}
