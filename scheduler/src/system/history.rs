//! The statements that this scheduler runs and has run: how, when, and with which tasks.
//!
//! They are kept in memory, for `system.queries` and the tables beside it, and in a [`Journal`], which outlives the
//! process; the [`Audit`] has their ends. A statement that runs can be cancelled here by its id.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Add;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use ballista_core::JobId;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use bergmill_catalog::ScanReport;
use bergmill_gateway::{Caller, Sender};
use chrono::{DateTime, Utc};
use datafusion::execution::RecordBatchStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::watch;
use uuid::Uuid;

use super::audit::Audit;
use super::journal::{Journal, Line};
use super::stages::{self, StageRun};
use super::sums::Sums;
use crate::error::{Error, ErrorKind};
use crate::metrics::{Outcome, StatementMetrics};

/// Number of statements that are kept. Older ones are forgotten.
pub(super) const KEPT: usize = 1000;

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
    /// All.
    pub(super) const ALL: [Self; 3] = [Self::Local, Self::Whole, Self::Stages];

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
    /// It was cancelled, for this reason.
    Cancelled(String),
}

impl State {
    /// How the statement ended; `None` while it runs.
    fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Running => None,
            Self::Finished => Some(Outcome::Finished),
            Self::Failed(error) => Some(Outcome::Failed(error.kind())),
            Self::Cancelled(_) => Some(Outcome::Cancelled),
        }
    }
}

/// What is known of one statement.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub id: Uuid,
    /// Who sent it.
    pub sender: Sender,
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
    /// Bytes of these, as far as they are known.
    pub bytes_pruned: Option<u64>,
    /// The tables and views that it named, and those below views, apart from those that it changes.
    pub tables_read: Vec<String>,
    /// The tables and views that it changes.
    pub tables_changed: Vec<String>,
    /// The query on executors that runs for it.
    pub job: Option<JobId>,
    pub stages: Vec<StageRun>,
    /// Plans that run in the scheduler's process, whose metrics are read when the statement has ended.
    plans: Vec<Arc<dyn ExecutionPlan>>,
    /// What these plans measured; for a statement of an earlier process, what all did.
    other_sums: Sums,
    /// The result of the statement becomes visible: it is too late to cancel it.
    commits: bool,
}

impl Entry {
    /// A statement that has just begun.
    fn new(id: Uuid, statement: &str, sender: &Sender) -> Self {
        Self {
            id,
            sender: sender.clone(),
            statement: statement.to_string(),
            submitted: Utc::now(),
            ended: None,
            state: State::Running,
            execution: None,
            rows: 0,
            files: 0,
            files_pruned: 0,
            bytes_pruned: None,
            tables_read: Vec::new(),
            tables_changed: Vec::new(),
            job: None,
            stages: Vec::new(),
            plans: Vec::new(),
            other_sums: Sums::default(),
            commits: false,
        }
    }

    /// What all operators of the statement measured.
    pub(super) fn sums(&self) -> Sums {
        let running = self.plans.iter().map(Sums::of_plan);
        self.stages.iter().map(Sums::of_stage).chain(running).fold(self.other_sums, Add::add)
    }

    /// A statement of an earlier process.
    fn of_earlier(line: Line) -> Self {
        let caller = line.user.as_ref().map(|user| Caller { user: user.clone(), is_admin: false });
        let mut entry = Self::new(line.id(), &line.statement, &Sender { caller, from: None });
        (entry.submitted, entry.ended) = (line.submitted, line.ended);
        (entry.state, entry.execution) = (line.state(), line.execution());
        (entry.rows, entry.files, entry.files_pruned, entry.bytes_pruned) =
            (line.rows, line.files, line.files_pruned, line.bytes_pruned);
        entry.other_sums = line.sums;
        entry
    }
}

/// What became of an attempt to cancel a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cancelling {
    /// It is cancelled.
    Done,
    /// Its result becomes visible: it is too late.
    Commits,
    /// It has ended.
    Ended,
    /// It is of another user, and may not be cancelled.
    OfAnother,
    /// There is no statement of this id.
    Unknown,
}

/// The last statements of this scheduler, oldest first. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct History {
    kept: Arc<Mutex<VecDeque<Record>>>,
    outlets: Outlets,
}

/// Where statements are counted and written.
#[derive(Debug, Clone)]
pub(crate) struct Outlets {
    pub metrics: StatementMetrics,
    pub journal: Option<Journal>,
    pub audit: Audit,
}

impl History {
    /// A history that begins with `earlier` statements.
    pub(crate) fn new(outlets: Outlets, earlier: Vec<Line>) -> Self {
        let record = |line| Record::of(Entry::of_earlier(line), None);
        let kept = Arc::new(Mutex::new(earlier.into_iter().map(record).collect()));
        Self { kept, outlets }
    }

    /// Begins a statement, which ends with the returned guard. Its id is `id`, unless there is such a statement: a
    /// ticket may be fetched again.
    pub(crate) fn begin(&self, statement: &str, sender: &Sender, id: Option<Uuid>) -> Running {
        self.outlets.metrics.begin();
        let mut kept = self.lock();
        let id = id.filter(|id| !kept.iter().any(|record| record.0.id == *id)).unwrap_or_else(Uuid::now_v7);
        let entry = Entry::new(id, statement, sender);
        if let Some(journal) = &self.outlets.journal {
            journal.write(Line::of(&entry));
        }
        let record = Record::of(entry, Some(self.outlets.clone()));
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(record.clone());
        Running(record)
    }

    /// Cancels a statement. `may_cancel` says whether a statement of this user may be cancelled.
    pub(crate) fn cancel(&self, id: &str, reason: &str, may_cancel: impl Fn(Option<&str>) -> bool) -> Cancelling {
        let Ok(id) = id.parse::<Uuid>() else { return Cancelling::Unknown };
        let found = self.lock().iter().find(|record| record.0.id == id).cloned();
        found.map_or(Cancelling::Unknown, |record| record.cancel(reason, may_cancel))
    }

    /// Counts a statement that failed before it began, because it cannot be planned. It is in the audit, but not kept.
    pub(crate) fn refused(&self, statement: &str, sender: &Sender, record: &Record, error: &Error) {
        self.outlets.metrics.refused(error.kind());
        let Entry { tables_read, tables_changed, .. } = record.lock().clone();
        self.outlets.audit.ended(&Entry {
            ended: Some(Utc::now()),
            state: State::Failed(error.clone()),
            tables_read,
            tables_changed,
            ..Entry::new(Uuid::now_v7(), statement, sender)
        });
    }

    /// The audit that has the ends of statements.
    pub(crate) fn audit(&self) -> &Audit {
        &self.outlets.audit
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
    id: Uuid,
    entry: Mutex<Entry>,
    /// Where the statement is counted and written; `None` for what is not a client's statement.
    outlets: Option<Outlets>,
    /// Why the statement must stop, once it must.
    cancelled: watch::Sender<Option<Error>>,
}

impl Record {
    fn of(entry: Entry, outlets: Option<Outlets>) -> Self {
        let (id, cancelled) = (entry.id, watch::Sender::new(None));
        Self(Arc::new(Shared { id, entry: Mutex::new(entry), outlets, cancelled }))
    }

    /// A record that no history keeps, for what is not a client's statement.
    pub(crate) fn unkept() -> Self {
        Self::of(Entry::new(Uuid::now_v7(), "", &Sender::default()), None)
    }

    fn cancel(&self, reason: &str, may_cancel: impl Fn(Option<&str>) -> bool) -> Cancelling {
        // Locked, so that it does not begin to commit meanwhile.
        let entry = self.lock();
        match &entry.state {
            _ if !may_cancel(entry.sender.user()) => Cancelling::OfAnother,
            State::Running if entry.commits => Cancelling::Commits,
            State::Running => {
                let what = format!("query {} was cancelled {reason}", entry.id);
                self.0.cancelled.send_replace(Some(Error::new(ErrorKind::Cancelled, what)));
                Cancelling::Done
            }
            _ => Cancelling::Ended,
        }
    }

    /// Waits until the statement is cancelled, and returns the reason; never returns if that does not happen.
    pub(crate) fn cancelled(&self) -> impl Future<Output = Error> + Send + use<> {
        let mut reason = self.0.cancelled.subscribe();
        async move {
            let found = reason.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match found {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        }
    }

    /// From here on the statement cannot be cancelled.
    ///
    /// # Errors
    /// If it was cancelled before.
    pub(crate) fn begin_commit(&self) -> Result<(), Error> {
        let mut entry = self.lock();
        let cancelled = self.0.cancelled.borrow().clone();
        if let Some(reason) = cancelled {
            return Err(reason);
        }
        entry.commits = true;
        Ok(())
    }

    /// The rows of a query of this statement, which end with an error when the statement is cancelled.
    pub(crate) fn until_cancelled(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let (schema, cancelled) = (rows.schema(), Box::pin(self.cancelled()));
        Box::pin(Cancellable { schema, rows: Some(rows), cancelled })
    }

    /// Notes the query on executors that runs for this statement.
    pub(crate) fn runs_job(&self, id: &JobId) {
        self.lock().job = Some(id.clone());
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

    /// Notes the tables that the statement reads and changes.
    pub(crate) fn touches(&self, read: Vec<String>, changed: Vec<String>) {
        let mut entry = self.lock();
        (entry.tables_read, entry.tables_changed) = (read, changed);
    }

    /// Adds the files that the scans of a query were planned to read.
    pub(crate) fn add_files(&self, scans: &[ScanReport]) {
        let mut entry = self.lock();
        for scan in scans {
            entry.files += (scan.files_planned + scan.files_pruned) as u64;
            entry.files_pruned += scan.files_pruned as u64;
            entry.bytes_pruned = entry.bytes_pruned.into_iter().chain(scan.bytes_pruned).reduce(Add::add);
        }
    }

    /// Adds the stages of a query that has ended.
    pub(crate) fn add_stages(&self, job: &JobId, graph: &ExecutionGraphBox) {
        let stages = stages::of(job, graph);
        let mut entry = self.lock();
        entry.stages.extend(stages);
        entry.job = None;
    }

    /// Notes that a query of this statement lost rows with an executor, and runs again.
    pub(crate) fn restarts(&self) {
        if let Some(outlets) = &self.0.outlets {
            outlets.metrics.restarted();
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
        if let (Some(outlets), Some(outcome)) = (&self.0.outlets, state.outcome()) {
            outlets.metrics.end(outcome, entry.execution, seconds);
        }
        (entry.state, entry.ended, entry.job) = (state, Some(ended), None);
        let plans = std::mem::take(&mut entry.plans);
        entry.other_sums = plans.iter().map(Sums::of_plan).fold(entry.other_sums, Add::add);
        if let Some(Outlets { journal, audit, .. }) = &self.0.outlets {
            if let Some(journal) = journal {
                journal.write(Line::of(&entry));
            }
            audit.ended(&entry);
        }
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

    /// Ends a statement that failed, or was cancelled.
    pub(crate) fn fail(&self, error: &Error) {
        self.0.end(match error.kind() {
            ErrorKind::Cancelled => State::Cancelled(error.to_string()),
            _ => State::Failed(error.clone()),
        });
    }

    /// The rows of the statement, which ends with them.
    pub(crate) fn until_read(self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        Box::pin(Followed { rows, read: 0, running: self })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end(State::Cancelled("its client disconnected, or did not read all rows".to_string()));
    }
}

/// The rows of a query, until its statement is cancelled.
struct Cancellable {
    schema: SchemaRef,
    /// `None` after they have ended.
    rows: Option<SendableRecordBatchStream>,
    cancelled: Pin<Box<dyn Future<Output = Error> + Send>>,
}

impl Stream for Cancellable {
    type Item = datafusion::error::Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(rows) = &mut self.rows else { return Poll::Ready(None) };
        let polled = rows.poll_next_unpin(context);
        match polled {
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
            ended => {
                self.rows = None;
                return ended;
            }
        }
        match self.cancelled.poll_unpin(context) {
            Poll::Ready(reason) => {
                // Dropping the rows stops the query.
                self.rows = None;
                Poll::Ready(Some(Err(reason.into())))
            }
            Poll::Pending => polled,
        }
    }
}

impl RecordBatchStream for Cancellable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        let outlets = Outlets { metrics: Metrics::new().statements, journal: None, audit: Audit::default() };
        History::new(outlets, Vec::new())
    }

    fn sender(user: &str) -> Sender {
        Sender { caller: Some(Caller { user: user.to_string(), is_admin: false }), from: None }
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
        let running = history.begin("SELECT n FROM t", &sender("ada"), None);
        running.record().runs(Execution::Whole);
        assert_eq!((last(&history).state, last(&history).ended), (State::Running, None));

        let mut read = running.until_read(rows(None));
        while read.next().await.is_some() {}
        drop(read);
        let entry = last(&history);
        assert_eq!((entry.state, entry.rows, entry.execution), (State::Finished, 6, Some(Execution::Whole)));
        assert!(entry.ended.unwrap() >= entry.submitted);
        assert_eq!(entry.sender.user(), Some("ada"));

        let failed = rows(Some(Error::new(ErrorKind::Memory, "no memory is left").into()));
        let mut read = history.begin("SELECT 2", &Sender::default(), None).until_read(failed);
        while read.next().await.is_some() {}
        drop(read);
        assert_eq!(last(&history).state, State::Failed(Error::new(ErrorKind::Memory, "no memory is left")));

        let mut read = history.begin("SELECT 3", &Sender::default(), None).until_read(rows(None));
        read.next().await.unwrap().unwrap();
        drop(read);
        let disconnected = State::Cancelled("its client disconnected, or did not read all rows".to_string());
        assert_eq!((last(&history).state, last(&history).rows), (disconnected, 0));

        history.begin("INSERT", &Sender::default(), None).finish(7);
        assert_eq!((last(&history).state, last(&history).rows), (State::Finished, 7));
        history.begin("DROP", &Sender::default(), None).fail(&Error::new(ErrorKind::NotFound, "no such table"));
        assert_eq!(last(&history).state, State::Failed(Error::new(ErrorKind::NotFound, "no such table")));
    }

    #[tokio::test]
    async fn a_statement_is_cancelled_by_its_id_until_it_commits() {
        let history = empty();
        let cancel = |id: &str| history.cancel(id, "by ada", |user| user == Some("ada"));
        assert_eq!(cancel("no id"), Cancelling::Unknown);
        assert_eq!(cancel(&Uuid::now_v7().to_string()), Cancelling::Unknown);

        let running = history.begin("SELECT", &sender("ada"), None);
        let (record, id) = (running.record(), last(&history).id);
        let schema = rows(None).schema();
        let endless: SendableRecordBatchStream =
            Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::pending()));
        let mut read = running.until_read(record.until_cancelled(endless));
        assert!(read.next().now_or_never().is_none());
        assert_eq!(cancel(&id.to_string()), Cancelling::Done);
        let reason = format!("query {id} was cancelled by ada");
        let error = Error::find(&read.next().await.unwrap().unwrap_err()).cloned();
        assert_eq!(error, Some(Error::new(ErrorKind::Cancelled, reason.clone())));
        assert!(read.next().await.is_none());
        assert_eq!(last(&history).state, State::Cancelled(reason.clone()));
        assert_eq!(cancel(&id.to_string()), Cancelling::Ended);
        assert_eq!(record.cancelled().await.to_string(), reason);

        let running = history.begin("INSERT", &sender("ada"), None);
        running.record().begin_commit().unwrap();
        assert_eq!(cancel(&last(&history).id.to_string()), Cancelling::Commits);
        running.finish(1);

        let running = history.begin("INSERT", &sender("bob"), None);
        let id = last(&history).id;
        assert_eq!(cancel(&id.to_string()), Cancelling::OfAnother);
        assert_eq!(history.cancel(&id.to_string(), "by root", |_| true), Cancelling::Done);
        let error = running.record().begin_commit().unwrap_err();
        assert_eq!(error.to_string(), format!("query {id} was cancelled by root"));
    }

    #[test]
    fn a_ticket_that_is_fetched_again_is_another_statement() {
        let (history, id) = (empty(), Uuid::now_v7());
        history.begin("SELECT 1", &Sender::default(), Some(id)).finish(1);
        history.begin("SELECT 1", &Sender::default(), Some(id)).finish(1);
        let ids: Vec<Uuid> = history.entries().iter().map(|entry| entry.id).collect();
        assert_eq!(ids[0], id);
        assert_ne!(ids[1], id);
    }

    #[test]
    fn the_oldest_statements_are_forgotten() {
        let history = empty();
        for n in 0..=KEPT {
            history.begin(&n.to_string(), &Sender::default(), None).finish(0);
        }
        let kept = history.entries();
        assert_eq!((kept.len(), kept[0].statement.as_str()), (KEPT, "1"));
    }
}
