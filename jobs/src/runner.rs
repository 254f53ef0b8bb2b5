//! Runs a pipeline for one interval: one state per step, one loop.
//!
//! A step starts when all its dependencies are done; if it fails, only the steps that depend on it are skipped. All
//! statements of a run share a concurrency limit. The run's future does all the work: dropping it stops the run, and
//! committed changes stay, each table with the old or the new partition.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream::FuturesUnordered;
use tokio::sync::{Mutex, Semaphore};

use crate::audit::{AuditTime, after_commit, before_commit};
use crate::error::JobError;
use crate::interval::Interval;
use crate::pipeline::{Pipeline, Step};
use crate::progress::{Event, Progress};
use crate::query::{CommitTag, Query, QueryError};
use crate::render::{RenderedOutput, RenderedStep};
use crate::report::Report;
use crate::table_name::TableName;

/// Options of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The time of the run; an audit of timestamps treats later ones as in the future.
    pub now: DateTime<Utc>,
    /// Parameters that differ from the pipeline's defaults.
    pub parameters: toml::Table,
    /// The most statements that run at the same time.
    pub parallel: usize,
    /// Reports are written to `<reports>/<pipeline>/2026/02/14/`.
    pub reports: PathBuf,
    /// Exports are written to `<exports>/2026/02/14/<name>/`.
    pub exports: PathBuf,
}

impl RunOptions {
    /// Options with the current time, default parameters and four statements at a time.
    pub fn new(reports: impl Into<PathBuf>, exports: impl Into<PathBuf>) -> Self {
        Self {
            now: Utc::now(),
            parameters: toml::Table::new(),
            parallel: 4,
            reports: reports.into(),
            exports: exports.into(),
        }
    }
}

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Waits for its dependencies.
    Planned,
    /// Is running.
    Running,
    /// Everything it writes is committed and on disk.
    Done,
    /// Stopped by an error or an audit; tables not yet written keep their old partition.
    Failed,
    /// Not started, because a dependency failed or was skipped.
    Skipped,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's id, as in the snapshots it committed.
    pub run_id: String,
    /// The interval.
    pub interval: Interval,
    /// All steps in the order of the definition.
    pub steps: Vec<StepRun>,
    /// Reports in the order of their steps.
    pub reports: Vec<Report>,
    /// Time from the start to the end of the last step.
    pub duration: Duration,
}

impl RunRecord {
    /// Whether every step is done.
    pub fn succeeded(&self) -> bool {
        self.steps.iter().all(|step| step.state == StepState::Done)
    }
}

/// The result of a step.
#[derive(Debug, Clone)]
pub struct StepRun {
    /// The step's name.
    pub name: String,
    /// Its final state.
    pub state: StepState,
    /// Tables whose partition it replaced.
    pub outputs: Vec<OutputRun>,
    /// Files it wrote.
    pub files: Vec<PathBuf>,
    /// Its run time.
    pub duration: Duration,
    /// Why it failed or was skipped.
    pub error: Option<String>,
}

impl StepRun {
    /// Rows over all its tables.
    pub fn rows(&self) -> u64 {
        self.outputs.iter().map(|output| output.rows).sum()
    }
}

/// A replaced partition of a table.
#[derive(Debug, Clone)]
pub struct OutputRun {
    /// The table.
    pub table: TableName,
    /// Rows in the new partition.
    pub rows: u64,
    /// Time from sending the statement to its commit.
    pub duration: Duration,
}

/// Runs a pipeline for an interval. An error means that no step was started; the record reports steps that failed.
pub async fn run(
    pipeline: &Pipeline,
    interval: Interval,
    query: &dyn Query,
    options: &RunOptions,
    progress: &dyn Progress,
) -> Result<RunRecord, JobError> {
    let rendered = pipeline.render(interval, options.now, &options.parameters)?;
    make_namespaces(pipeline, query).await?;
    let run_id = uuid::Uuid::now_v7().to_string();
    let run = Run {
        pipeline,
        interval,
        query,
        options,
        progress,
        run_id: &run_id,
        statements: Semaphore::new(options.parallel.max(1)),
    };
    let started = Instant::now();
    progress.event(Event::RunStarted {
        pipeline: pipeline.name.clone(),
        run_id: run_id.clone(),
        steps: pipeline.steps.iter().map(|step| step.name.clone()).collect(),
    });

    let mut runs: Vec<StepRun> = pipeline.steps.iter().map(planned).collect();
    let mut reports: BTreeMap<usize, Report> = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    loop {
        for index in 0..runs.len() {
            match next_state(&pipeline.steps[index], index, &runs) {
                Next::Stay => {}
                Next::Start => {
                    runs[index].state = StepState::Running;
                    progress.event(Event::StepStarted { step: runs[index].name.clone() });
                    running.push(run.step(index, &rendered.steps[index]));
                }
                Next::Skip(reason) => {
                    runs[index].state = StepState::Skipped;
                    runs[index].error = Some(reason);
                    progress.event(Event::StepFinished(runs[index].clone()));
                }
            }
        }
        // One pass skips only later steps of the definition, so repeat it before waiting.
        let settled =
            (0..runs.len()).all(|index| matches!(next_state(&pipeline.steps[index], index, &runs), Next::Stay));
        if !settled {
            continue;
        }
        let Some((index, finished, report)) = running.next().await else { break };
        progress.event(Event::StepFinished(finished.clone()));
        if let Some(error) = &finished.error {
            tracing::warn!(pipeline = pipeline.name, step = finished.name, %interval, error, "step failed");
        }
        runs[index] = finished;
        reports.extend(report.map(|report| (index, report)));
    }
    drop(running);
    Ok(RunRecord {
        pipeline: pipeline.name.clone(),
        run_id,
        interval,
        steps: runs,
        reports: reports.into_values().collect(),
        duration: started.elapsed(),
    })
}

/// Creates the namespaces one by one before any step, since concurrent steps could create the same one.
async fn make_namespaces(pipeline: &Pipeline, query: &dyn Query) -> Result<(), JobError> {
    let mut namespaces: Vec<&str> = pipeline.tables().into_iter().map(|(_, table)| table.namespace()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces {
        let made = query.write(&format!("CREATE SCHEMA IF NOT EXISTS {namespace}"), None).await;
        made.map_err(|source| JobError::Query { table: format!("{namespace}.*"), source })?;
    }
    Ok(())
}

fn planned(step: &Step) -> StepRun {
    StepRun {
        name: step.name.clone(),
        state: StepState::Planned,
        outputs: Vec::new(),
        files: Vec::new(),
        duration: Duration::ZERO,
        error: None,
    }
}

enum Next {
    Stay,
    Start,
    Skip(String),
}

/// The decision about one step, from the states of all.
fn next_state(step: &Step, index: usize, runs: &[StepRun]) -> Next {
    if runs[index].state != StepState::Planned {
        return Next::Stay;
    }
    let lost = step.depends_on.iter().find(|need| matches!(runs[**need].state, StepState::Failed | StepState::Skipped));
    if let Some(lost) = lost {
        let state = if runs[*lost].state == StepState::Failed { "failed" } else { "was skipped" };
        return Next::Skip(format!("{} {state}", runs[*lost].name));
    }
    let ready = step.depends_on.iter().all(|need| runs[*need].state == StepState::Done);
    if ready { Next::Start } else { Next::Stay }
}

/// Why a step stopped; only its message is kept.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("{what}: {source}")]
    Query { what: String, source: QueryError },
    #[error("audit {0}")]
    Audit(String),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// The state that all steps of a run share.
struct Run<'r> {
    pipeline: &'r Pipeline,
    interval: Interval,
    query: &'r dyn Query,
    options: &'r RunOptions,
    progress: &'r dyn Progress,
    run_id: &'r str,
    statements: Semaphore,
}

impl Run<'_> {
    async fn step(&self, index: usize, rendered: &RenderedStep) -> (usize, StepRun, Option<Report>) {
        let step = &self.pipeline.steps[index];
        let started = Instant::now();
        // Outputs written before an error are reported too, so they are kept outside of the part that can fail.
        let written = Mutex::new(planned(step));
        let outcome = self.carry_out(step, rendered, &written).await;
        let mut run = written.into_inner();
        run.duration = started.elapsed();
        match outcome {
            Ok(report) => {
                run.state = StepState::Done;
                (index, run, report)
            }
            Err(error) => {
                run.state = StepState::Failed;
                run.error = Some(error.to_string());
                (index, run, None)
            }
        }
    }

    async fn carry_out(
        &self,
        step: &Step,
        rendered: &RenderedStep,
        written: &Mutex<StepRun>,
    ) -> Result<Option<Report>, StepError> {
        for wave in &rendered.outputs {
            try_join_all(wave.iter().map(|output| self.output(rendered, output, written))).await?;
        }
        for export in &step.exports {
            let outputs = || rendered.outputs.iter().flatten();
            let partition = outputs().find(|output| output.table == export.table).map_or("date", |o| &o.partition);
            let rows = self.rows(&format!("export {}", export.name), &export.sql(self.interval, partition)).await?;
            let path = export.write(&self.options.exports, self.interval, &rows).await?;
            self.wrote(step, written, path).await;
        }
        let Some(definition) = &step.report else { return Ok(None) };
        let queries = rendered.queries.iter().map(|(name, sql)| async move {
            let rows = self.rows(&format!("report query {name}"), sql).await?;
            Ok::<_, StepError>((name.clone(), rows))
        });
        let answers = try_join_all(queries).await?;
        let folder = self.options.reports.join(&self.pipeline.name).join(self.interval.folder());
        let report = definition.write(&self.pipeline.name, self.interval, &answers, &folder).await?;
        for path in &report.files {
            self.wrote(step, written, path.clone()).await;
        }
        Ok(Some(report))
    }

    /// Creates the table if it is missing, audits the rows, replaces the partition, and audits the result.
    async fn output(
        &self,
        step: &RenderedStep,
        output: &RenderedOutput,
        written: &Mutex<StepRun>,
    ) -> Result<(), StepError> {
        let table = &output.table;
        let failed = |what: &str| {
            let what = format!("{what} {table}");
            move |source| StepError::Query { what, source }
        };
        let started = Instant::now();
        let started_at = Utc::now();
        let permit = self.permit().await;
        self.query.write(&output.create, None).await.map_err(failed("create"))?;

        let audits = step.audits_of(table, AuditTime::BeforeCommit);
        if !audits.is_empty() {
            let broken = before_commit(self.query, &output.select, &audits).await.map_err(failed("audit"))?;
            refuse(broken)?;
        }
        let tag = self.tag(step, table, started_at);
        let rows = self.query.write(&output.insert, Some(&tag)).await.map_err(failed("write"))?;
        let duration = started.elapsed();
        drop(permit);
        written.lock().await.outputs.push(OutputRun { table: table.clone(), rows, duration });
        self.progress.event(Event::OutputWritten { step: step.name.clone(), table: table.clone(), rows, duration });

        for audit in step.audits_of(table, AuditTime::AfterCommit) {
            let _permit = self.permit().await;
            let broken = after_commit(self.query, self.interval, &output.partition, audit).await;
            refuse(broken.map_err(failed("audit"))?)?;
        }
        Ok(())
    }

    async fn rows(&self, what: &str, sql: &str) -> Result<Vec<RecordBatch>, StepError> {
        let _permit = self.permit().await;
        self.query.rows(sql).await.map_err(|source| StepError::Query { what: what.to_owned(), source })
    }

    async fn permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // The semaphore lives as long as the run and is never closed.
        self.statements.acquire().await.ok()
    }

    async fn wrote(&self, step: &Step, written: &Mutex<StepRun>, path: PathBuf) {
        self.progress.event(Event::FileWritten { step: step.name.clone(), path: path.clone() });
        written.lock().await.files.push(path);
    }

    /// The run's id is part of the key, so a statement sent twice commits once, and a later run still replaces.
    fn tag(&self, step: &RenderedStep, table: &TableName, started_at: DateTime<Utc>) -> CommitTag {
        let (pipeline, interval) = (&self.pipeline.name, self.interval);
        let entries = [
            ("pipeline", pipeline.clone()),
            ("step", step.name.clone()),
            ("interval", interval.to_string()),
            ("code-hash", step.code_hash.clone()),
            ("run-id", self.run_id.to_owned()),
            ("started-at", started_at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        ];
        CommitTag {
            key: format!("{pipeline}/{}/{table}/{interval}/{}", step.name, self.run_id),
            summary: entries.map(|(key, value)| (format!("bergmill.{key}"), value)).into(),
        }
    }
}

fn refuse(broken: Vec<String>) -> Result<(), StepError> {
    if broken.is_empty() { Ok(()) } else { Err(StepError::Audit(broken.join("; "))) }
}
