//! The statements that this scheduler runs and has run: how, when, and with which tasks.
//!
//! They are kept in memory, for `system.queries` and the tables beside it.

use std::collections::VecDeque;
use std::ops::Add;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use ballista_core::JobId;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use bergmill_catalog::ScanReport;
use chrono::{DateTime, Utc};
use datafusion::execution::RecordBatchStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{Stream, StreamExt};
use uuid::Uuid;

use super::scans::ScanMetrics;
use super::stages::{self, StageRun};
use crate::error::{Error, ErrorKind};
use crate::metrics::{Outcome, StatementMetrics};

/// Number of statements that are kept. Older ones are forgotten.
const KEPT: usize = 1000;

/// Where a statement's rows were computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Execution {
    /// In the scheduler's process.
    Local,
    /// On one executor.
    Whole,
    /// In stages on the executors.
    Stages,
}

impl Execution {
    /// Its name in tables and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Whole => "whole",
            Self::Stages => "stages",
        }
    }
}

/// The state of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Finished,
    Failed(Error),
    /// Its client stopped reading, or disconnected.
    Cancelled,
}

impl State {
    /// How the statement ended; `None` while it runs.
    fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Running => None,
            Self::Finished => Some(Outcome::Finished),
            Self::Failed(error) => Some(Outcome::Failed(error.kind())),
            Self::Cancelled => Some(Outcome::Cancelled),
        }
    }
}

/// What is known of one statement.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub id: Uuid,
    /// Who sent it, if it had to log in.
    pub user: Option<String>,
    pub statement: String,
    pub submitted: DateTime<Utc>,
    pub ended: Option<DateTime<Utc>>,
    pub state: State,
    /// Of its last query; a statement that changes rows may have several.
    pub execution: Option<Execution>,
    /// Rows returned, or changed.
    pub rows: u64,
    /// Data files of the snapshots that it read.
    pub files: u64,
    /// Of them, those that partition values or column bounds ruled out.
    pub files_pruned: u64,
    pub stages: Vec<StageRun>,
    /// Plans that run in the scheduler's process, whose metrics are read when the statement has ended.
    plans: Vec<Arc<dyn ExecutionPlan>>,
    /// What these plans read and skipped.
    local_scans: Option<ScanMetrics>,
}

impl Entry {
    /// What all scans of the statement read and skipped.
    pub(super) fn scans(&self) -> Option<ScanMetrics> {
        let staged = self.stages.iter().filter_map(|stage| stage.scans);
        staged.chain(self.local_scans).reduce(Add::add)
    }
}

/// The last statements of this scheduler, oldest first. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct History {
    kept: Arc<Mutex<VecDeque<Record>>>,
    metrics: StatementMetrics,
}

impl History {
    /// An empty history, whose statements are counted in `metrics`.
    pub(crate) fn new(metrics: StatementMetrics) -> Self {
        Self { kept: Arc::default(), metrics }
    }

    /// Begins a statement of `user`, which ends with the returned guard.
    pub(crate) fn begin(&self, statement: &str, user: Option<&str>) -> Running {
        self.metrics.begin();
        let record = Record::new(statement, user, Some(self.metrics.clone()));
        let mut kept = self.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(record.clone());
        Running(record)
    }

    /// Counts a statement that failed before it began, because it cannot be planned. It is not kept.
    pub(crate) fn count_refused(&self, error: &Error) {
        self.metrics.refused(error.kind());
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let kept: Vec<Record> = self.lock().iter().cloned().collect();
        kept.iter().map(|record| record.lock().clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Record>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record of a statement, to which its queries add what they did. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Record(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    entry: Mutex<Entry>,
    /// Where the statement is counted; `None` for what is not a client's statement.
    metrics: Option<StatementMetrics>,
}

impl Record {
    fn new(statement: &str, user: Option<&str>, metrics: Option<StatementMetrics>) -> Self {
        let entry = Entry {
            id: Uuid::now_v7(),
            user: user.map(ToString::to_string),
            statement: statement.to_string(),
            submitted: Utc::now(),
            ended: None,
            state: State::Running,
            execution: None,
            rows: 0,
            files: 0,
            files_pruned: 0,
            stages: Vec::new(),
            plans: Vec::new(),
            local_scans: None,
        };
        Self(Arc::new(Shared { entry: Mutex::new(entry), metrics }))
    }

    /// A record that no history keeps, for what is not a client's statement.
    pub(crate) fn unkept() -> Self {
        Self::new("", None, None)
    }

    /// Notes where a query of this statement runs.
    pub(crate) fn runs(&self, execution: Execution) {
        self.lock().execution = Some(execution);
    }

    /// Notes a query of this statement that runs in the scheduler's process.
    pub(crate) fn runs_here(&self, plan: &Arc<dyn ExecutionPlan>) {
        let mut entry = self.lock();
        entry.execution = Some(Execution::Local);
        if entry.state == State::Running {
            entry.plans.push(Arc::clone(plan));
        }
    }

    /// Adds the files that the scans of a query were planned to read.
    pub(crate) fn add_files(&self, scans: &[ScanReport]) {
        let mut entry = self.lock();
        for scan in scans {
            entry.files += (scan.files_planned + scan.files_pruned) as u64;
            entry.files_pruned += scan.files_pruned as u64;
        }
    }

    /// Adds the stages of a query that has ended.
    pub(crate) fn add_stages(&self, job: &JobId, graph: &ExecutionGraphBox) {
        let stages = stages::of(job, graph);
        self.lock().stages.extend(stages);
    }

    /// Notes that a query of this statement lost rows with an executor, and runs again.
    pub(crate) fn restarts(&self) {
        if let Some(metrics) = &self.0.metrics {
            metrics.restarted();
        }
    }

    /// Ends the statement, unless it has ended.
    fn end(&self, state: State) {
        let mut entry = self.lock();
        if entry.state != State::Running {
            return;
        }
        let ended = Utc::now();
        let seconds = (ended - entry.submitted).as_seconds_f64().max(0.0);
        if let (Some(metrics), Some(outcome)) = (&self.0.metrics, state.outcome()) {
            metrics.end(outcome, entry.execution, seconds);
        }
        (entry.state, entry.ended) = (state, Some(ended));
        let plans = std::mem::take(&mut entry.plans);
        entry.local_scans = plans.iter().filter_map(ScanMetrics::of_plan).reduce(Add::add);
    }

    fn lock(&self) -> MutexGuard<'_, Entry> {
        self.0.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A statement that runs. It counts as cancelled if this is dropped before it has ended.
#[derive(Debug)]
pub(crate) struct Running(Record);

impl Running {
    /// The record of the statement.
    pub(crate) fn record(&self) -> Record {
        self.0.clone()
    }

    /// Ends a statement that returned `rows` rows, or changed them.
    pub(crate) fn finish(&self, rows: u64) {
        self.0.lock().rows = rows;
        self.0.end(State::Finished);
    }

    /// Ends a statement that failed.
    pub(crate) fn fail(&self, error: &Error) {
        self.0.end(State::Failed(error.clone()));
    }

    /// The rows of the statement, which ends with them.
    pub(crate) fn until_read(self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        Box::pin(Followed { rows, read: 0, running: self })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end(State::Cancelled);
    }
}

/// The rows of a statement, and its record.
struct Followed {
    rows: SendableRecordBatchStream,
    read: u64,
    running: Running,
}

impl Stream for Followed {
    type Item = datafusion::error::Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.rows.poll_next_unpin(context);
        match &polled {
            Poll::Ready(Some(Ok(batch))) => self.read += batch.num_rows() as u64,
            Poll::Ready(Some(Err(e))) => {
                let error = Error::find(e).cloned();
                let error = error.unwrap_or_else(|| Error::new(ErrorKind::Internal, e.to_string()));
                self.running.fail(&error);
            }
            Poll::Ready(None) => self.running.finish(self.read),
            Poll::Pending => {}
        }
        polled
    }
}

impl RecordBatchStream for Followed {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array};
    use datafusion::error::DataFusionError;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    use super::*;
    use crate::metrics::Metrics;

    fn empty() -> History {
        History::new(Metrics::new().statements)
    }

    fn rows(last: Option<DataFusionError>) -> SendableRecordBatchStream {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let schema = batch.schema();
        let items = [Ok(batch.clone()), Ok(batch)].into_iter().chain(last.map(Err));
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(items.collect::<Vec<_>>())))
    }

    fn last(history: &History) -> Entry {
        history.entries().pop().unwrap()
    }

    #[tokio::test]
    async fn a_statement_ends_with_its_rows_its_error_or_its_client() {
        let history = empty();
        let running = history.begin("SELECT n FROM t", Some("ada"));
        running.record().runs(Execution::Whole);
        assert_eq!((last(&history).state, last(&history).ended), (State::Running, None));

        let mut read = running.until_read(rows(None));
        while read.next().await.is_some() {}
        drop(read);
        let entry = last(&history);
        assert_eq!((entry.state, entry.rows, entry.execution), (State::Finished, 6, Some(Execution::Whole)));
        assert!(entry.ended.unwrap() >= entry.submitted);
        assert_eq!(entry.user.as_deref(), Some("ada"));

        let failed = rows(Some(Error::new(ErrorKind::Memory, "no memory is left").into()));
        let mut read = history.begin("SELECT 2", None).until_read(failed);
        while read.next().await.is_some() {}
        drop(read);
        assert_eq!(last(&history).state, State::Failed(Error::new(ErrorKind::Memory, "no memory is left")));

        let mut read = history.begin("SELECT 3", None).until_read(rows(None));
        read.next().await.unwrap().unwrap();
        drop(read);
        assert_eq!((last(&history).state, last(&history).rows), (State::Cancelled, 0));

        history.begin("INSERT", None).finish(7);
        assert_eq!((last(&history).state, last(&history).rows), (State::Finished, 7));
        history.begin("DROP", None).fail(&Error::new(ErrorKind::NotFound, "no such table"));
        assert_eq!(last(&history).state, State::Failed(Error::new(ErrorKind::NotFound, "no such table")));
    }

    #[test]
    fn the_oldest_statements_are_forgotten() {
        let history = empty();
        for n in 0..=KEPT {
            history.begin(&n.to_string(), None).finish(0);
        }
        let kept = history.entries();
        assert_eq!((kept.len(), kept[0].statement.as_str()), (KEPT, "1"));
    }
}
