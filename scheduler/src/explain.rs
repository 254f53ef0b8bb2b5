//! `EXPLAIN ANALYZE`: the plan with metrics per operator, per scan and per executor.

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
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::MetricsSet;
use futures::TryStreamExt;

use crate::client_rows::for_clients;
use crate::error::{Error, ErrorKind, Result};
use crate::process::Scheduler;
use crate::query::How;
use crate::session::StatementSession;

/// The two columns of every `EXPLAIN`: plan_type, plan.
pub(crate) fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![text("plan_type"), text("plan")]))
}

impl Scheduler {
    /// Runs the plan, discards its rows, and reports how it ran.
    pub(crate) async fn explain_analyze(
        &self,
        plan: &LogicalPlan,
        session: &StatementSession,
    ) -> Result<SendableRecordBatchStream> {
        let mut rows = Vec::new();
        let analyze = LogicalPlanBuilder::from(plan.clone()).explain(false, true).and_then(LogicalPlanBuilder::build);
        let ran = self.run_as(plan, &analyze?, None, session).await?;
        let text = match &ran.how {
            // An uncut plan is one task, in which DataFusion itself collects the metrics.
            How::Local | How::Whole(_) => plan_text(ran.rows).await?,
            How::Stages(id) => {
                drain(ran.rows).await?;
                self.stages(id).await?
            }
        };
        rows.push(("plan_with_metrics", text));
        rows.push(("scans", scans(&session.scans.reports())));
        let executors = match &ran.how {
            How::Local => "none: answered in the scheduler's process".to_string(),
            How::Whole(id) | How::Stages(id) => executors(&self.tasks_by_executor(id).await?),
        };
        rows.push(("executors", executors));
        let (types, texts): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(StringArray::from(types)), Arc::new(StringArray::from(texts))];
        let batch = RecordBatch::try_new(schema(), columns).map_err(DataFusionError::from)?;
        let rows = datafusion::physical_plan::memory::MemoryStream::try_new(vec![batch], schema(), None);
        Ok(for_clients(schema(), Box::pin(rows?)))
    }

    /// Number of tasks of a query that each executor finished.
    pub(crate) async fn tasks_by_executor(&self, id: &JobId) -> Result<BTreeMap<String, usize>> {
        let graph = self.jobs.get_execution_graph(id).await?;
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

/// The plan in the rows of an `EXPLAIN ANALYZE`.
async fn plan_text(rows: SendableRecordBatchStream) -> Result<String> {
    let texts: Vec<RecordBatch> = rows.try_collect().await?;
    let texts = texts.iter().filter_map(|b| b.columns().last()?.as_string_opt::<i32>());
    Ok(texts.flat_map(|t| t.iter().flatten()).collect())
}

async fn drain(mut rows: SendableRecordBatchStream) -> Result<()> {
    while rows.try_next().await?.is_some() {}
    Ok(())
}

fn stage(stage: &JobStageMetrics) -> Result<String> {
    let mut text = format!("stage {} ({} partitions)\n", stage.stage_id, stage.partitions);
    for operator in &stage.operators {
        let metrics: MetricsSet = OperatorMetricsSet { metrics: operator.metrics.clone() }.try_into()?;
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
