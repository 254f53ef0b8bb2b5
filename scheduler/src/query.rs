//! Running a plan: in this process when it reads little, else on the executors.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, Schema, SchemaRef};
use ballista_core::JobId;
use ballista_core::client::BallistaClient;
use ballista_core::error::BallistaError;
use ballista_core::serde::protobuf::{JobStatus, PartitionLocation, SuccessfulJob, job_status};
use bergmill_engine::{Encoding, MAX_MESSAGE_BYTES, WholeQueryExec, without_views};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};
use crate::failed_task::from_failed_query;
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::stages::{Loss, MAX_ATTEMPTS, divisible, order};
use crate::work::{estimated_bytes, is_small, partitions};

/// Statuses of one query that may wait; they are read as they come.
const STATUS_BUFFER: usize = 16;
/// Result partitions that are fetched ahead of the one being read.
const FETCH_AHEAD: usize = 2;

/// A query that ran on the executors: its rows, and its id while Ballista remembers it.
pub(crate) struct ClusterAnswer {
    pub id: JobId,
    pub rows: SendableRecordBatchStream,
}

/// What became of a query on the executors.
enum Outcome {
    Answer(ClusterAnswer),
    /// It lost rows with an executor, and does not run any more.
    LostRows,
    /// It cannot be run so, for this reason, and does not run any more.
    Refused(Error),
}

/// What became of a query in stages.
pub(crate) enum Staged {
    Answer(ClusterAnswer),
    /// It has to run otherwise, for this reason.
    Refused(Error),
}

/// The rows of a query, and how it was run.
pub(crate) struct Ran {
    pub rows: SendableRecordBatchStream,
    pub how: How,
}

/// How a query was run.
pub(crate) enum How {
    /// In the scheduler's process.
    Local,
    /// By one executor.
    Whole(JobId),
    /// In stages.
    Stages(JobId),
}

impl Scheduler {
    /// Runs a plan where it belongs, and streams its rows.
    pub(crate) async fn run(
        &self,
        plan: &LogicalPlan,
        session: &StatementSession,
    ) -> Result<SendableRecordBatchStream> {
        Ok(self.run_as(plan, plan, session).await?.rows)
    }

    /// Runs a plan where it belongs. If that is not in stages, `uncut` is run in its place.
    pub(crate) async fn run_as(
        &self,
        plan: &LogicalPlan,
        uncut: &LogicalPlan,
        session: &StatementSession,
    ) -> Result<Ran> {
        let began = Instant::now();
        let single = session.single.create_physical_plan(plan).await?;
        tracing::debug!(elapsed = ?began.elapsed(), "made a physical plan");
        // What is run uncut may be planned already.
        let planned = std::ptr::eq(plan, uncut).then(|| Arc::clone(&single));
        let schema = planned.as_ref().map_or_else(|| nullable(uncut.schema().inner()), announced);
        let plan_uncut = async |state: &SessionState, planned: Option<Arc<dyn ExecutionPlan>>| match planned {
            Some(planned) => Result::Ok(planned),
            None => {
                // What the scans of the other plan have reported, these report again.
                session.scans.take();
                Ok(state.create_physical_plan(uncut).await?)
            }
        };
        if is_small(&single, self.local_query_bytes) {
            return self.run_here(plan_uncut(&session.single, planned).await?, &session.single, schema);
        }
        if !session.one_executor {
            match self.run_in_stages(plan, &single, session).await? {
                Staged::Answer(answer) => return Ok(Ran { rows: answer.rows, how: How::Stages(answer.id) }),
                Staged::Refused(reason) => tracing::info!("a query runs whole: {reason}"),
            }
        }
        let state = session.whole();
        let whole = plan_uncut(&state, planned.filter(|_| session.one_executor)).await?;
        match self.run_whole(whole, state, schema).await {
            Err(e) if e.kind() == ErrorKind::Memory && session.one_executor => {
                match self.run_in_stages(plan, &single, session).await? {
                    Staged::Answer(answer) => {
                        tracing::info!("a query that did not fit the memory of one task ran in stages: {e}");
                        Ok(Ran { rows: answer.rows, how: How::Stages(answer.id) })
                    }
                    Staged::Refused(_) => Err(e),
                }
            }
            done => done,
        }
    }

    /// Runs a plan in this process.
    fn run_here(&self, plan: Arc<dyn ExecutionPlan>, state: &SessionState, schema: SchemaRef) -> Result<Ran> {
        let rows = self.local.execute(plan, state.task_ctx())?;
        Ok(Ran { rows: for_clients(schema, rows), how: How::Local })
    }

    /// Runs a plan on one executor, uncut; here, if it would not arrive there as it is.
    async fn run_whole(&self, whole: Arc<dyn ExecutionPlan>, state: SessionState, schema: SchemaRef) -> Result<Ran> {
        if let Err(e) = self.round_trip.arrived(&whole, Encoding::Whole) {
            tracing::info!("a query runs in the scheduler's process: {}", e.strip_backtrace());
            return self.run_here(whole, &state, schema);
        }
        let whole = WholeQueryExec::try_new(whole, state.config().target_partitions())?;
        let (whole, context) = (Arc::new(whole), Arc::new(SessionContext::new_with_state(state)));
        let submit = |subscriber| {
            self.server.submit_physical_plan("", Arc::clone(&context), Arc::clone(&whole) as _, Some(subscriber))
        };
        match self.until_answered(schema, false, submit).await? {
            Staged::Answer(answer) => Ok(Ran { rows: answer.rows, how: How::Whole(answer.id) }),
            Staged::Refused(reason) => Err(reason),
        }
    }

    /// Runs a plan on the executors, cut where rows change partitions. `single` is the same query planned for one process.
    async fn run_in_stages(
        &self,
        plan: &LogicalPlan,
        single: &Arc<dyn ExecutionPlan>,
        session: &StatementSession,
    ) -> Result<Staged> {
        if let Some(reason) = refused_before_cutting(plan, single, session).await {
            return Ok(Staged::Refused(refusal(reason)));
        }
        let mut state = session.cluster.clone();
        let vcores = state.config().target_partitions();
        state.config_mut().options_mut().execution.target_partitions = partitions(estimated_bytes(single), vcores);
        let context = Arc::new(SessionContext::new_with_state(state));
        let submit = |subscriber| {
            // What the last plan's scans have reported, this one's report again.
            session.scans.take();
            self.server.submit_job("", Arc::clone(&context), plan, Some(subscriber))
        };
        self.until_answered(announced(single), order::is_asked_for(plan), submit).await
    }

    /// Submits a query, and again when it has lost rows, and gives its rows. `is_ordered` says whether stages must keep an order.
    async fn until_answered<F>(
        &self,
        schema: SchemaRef,
        is_ordered: bool,
        submit: impl Fn(mpsc::Sender<JobStatus>) -> F,
    ) -> Result<Staged>
    where
        F: Future<Output = ballista_core::error::Result<JobId>>,
    {
        let mut attempt = 1;
        loop {
            // Subscribe before submitting, so that no status can be missed.
            let (subscriber, statuses) = mpsc::channel(STATUS_BUFFER);
            let id = submit(subscriber).await?;
            match self.answer(&id, statuses, Arc::clone(&schema), is_ordered).await? {
                Outcome::Answer(answer) => return Ok(Staged::Answer(answer)),
                Outcome::Refused(reason) => return Ok(Staged::Refused(reason)),
                Outcome::LostRows if attempt == MAX_ATTEMPTS => return Err(executors_lost(&id)),
                Outcome::LostRows => {}
            }
            tracing::warn!("query {id} lost rows that it had made, with an executor: it restarts");
            attempt += 1;
        }
    }

    /// The rows of a query that was submitted, once it has succeeded.
    async fn answer(
        &self,
        id: &JobId,
        mut statuses: mpsc::Receiver<JobStatus>,
        schema: SchemaRef,
        is_ordered: bool,
    ) -> Result<Outcome> {
        let mut guard = CancelOnDrop { scheduler: Some((self.server.clone(), id.clone())) };
        let lost = self.until_lost(id);
        tokio::pin!(lost);
        let outcome = loop {
            let status = tokio::select! {
                biased;
                status = statuses.recv() => status,
                lost = &mut lost => return match lost? {
                    Loss::Rows => Ok(Outcome::LostRows),
                    Loss::Stages(reason) => Ok(Outcome::Refused(refusal(format!("query {id}: {reason}")))),
                    Loss::Executors => Err(executors_lost(id)),
                },
            };
            let Some(status) = status else {
                return Err(Error::new(ErrorKind::Internal, format!("query {id} ended without a final status")));
            };
            match status.status {
                Some(job_status::Status::Successful(SuccessfulJob { partition_location, .. })) => {
                    break Ok(partition_location);
                }
                Some(job_status::Status::Failed(failed)) => break Err(failed.error),
                // Queued and running are progress, not outcomes.
                _ => {}
            }
        };
        guard.scheduler = None;
        // Perhaps a query that failed would not have, with the rows that it lost.
        if self.loss(id).await?.is_some() {
            return Ok(Outcome::LostRows);
        }
        let locations = match outcome {
            Ok(locations) => locations,
            Err(text) => {
                let e = from_failed_query(id.as_str(), &text);
                // What is wrong with the stages is not wrong with the query.
                return if e.kind() == ErrorKind::Internal { Ok(Outcome::Refused(e)) } else { Err(e) };
            }
        };
        let of: BTreeSet<usize> = locations
            .iter()
            .filter_map(|l| l.partition_id.as_ref())
            .map(|partition| partition.stage_id as usize)
            .collect();
        if let Some(reason) = self.misplaced(id, &of, is_ordered).await? {
            return Ok(Outcome::Refused(refusal(format!("query {id}: {reason}"))));
        }
        // Executors may be lost with the answer too. As long as no row of it was given, that is no worse than before.
        let mut rows = self.results.stream(locations, Arc::clone(&schema));
        let first = match rows.next().await {
            Some(Err(e)) if is_unavailable(&e) => return Ok(Outcome::LostRows),
            first => first,
        };
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(first).chain(rows)));
        Ok(Outcome::Answer(ClusterAnswer { id: id.clone(), rows }))
    }
}

fn refusal(reason: String) -> Error {
    Error::new(ErrorKind::Internal, reason)
}

fn executors_lost(id: &JobId) -> Error {
    let what = format!(
        "query {id}: executors were lost again and again while they ran it. Most often the system has ended them because they took more \
         memory than they may: give executors more memory, or fewer vcores"
    );
    Error::new(ErrorKind::Unavailable, what)
}

fn is_unavailable(e: &DataFusionError) -> bool {
    Error::find(e).is_some_and(|e| e.kind() == ErrorKind::Unavailable)
}

/// Why a query cannot be run in stages, as far as that can be said before it is cut; `None` if it may be tried. `single` is the same
/// query planned for one process.
async fn refused_before_cutting(
    plan: &LogicalPlan,
    single: &Arc<dyn ExecutionPlan>,
    session: &StatementSession,
) -> Option<String> {
    if divisible::check_before_cutting(single, usize::MAX).is_ok() {
        return None;
    }
    match session.cluster.create_physical_plan(plan).await {
        Ok(staged) => divisible::check_before_cutting(&staged, 1).err().map(|reason| reason.to_string()),
        Err(e) => Some(e.strip_backtrace()),
    }
}

/// A client that goes away takes its query with it.
struct CancelOnDrop {
    scheduler: Option<(
        ballista_scheduler::scheduler_server::SchedulerServer<
            datafusion_proto::protobuf::LogicalPlanNode,
            datafusion_proto::protobuf::PhysicalPlanNode,
        >,
        JobId,
    )>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some((server, id)) = self.scheduler.take() {
            tokio::spawn(async move {
                if let Err(e) = server.cancel_job(id.clone()).await {
                    tracing::warn!("query {id} could not be cancelled: {e}");
                }
            });
        }
    }
}

/// The schema of a query's rows as clients get them, from the plan that one process would run: text without views, and every
/// column nullable. Plans disagree about nullability often enough that a promise of NOT NULL would break, and clients that
/// were promised one schema reject another.
pub(crate) fn announced(plan: &Arc<dyn ExecutionPlan>) -> SchemaRef {
    nullable(&plan.schema())
}

/// The schema with every column nullable, and text without views.
pub(crate) fn nullable(schema: &Schema) -> SchemaRef {
    let plain = without_views(schema);
    let fields = plain.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows of this process as clients get them: with the announced schema, and with errors that have the front door's kinds. A panic on
/// the way, as readers of damaged files may have, is an error too, as it is on executors; else the client would see its
/// connection break.
pub(crate) fn for_clients(schema: SchemaRef, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let announced = Arc::clone(&schema);
    let rows = AssertUnwindSafe(rows).catch_unwind().map(move |batch| {
        let batch = batch.unwrap_or_else(|panic| Err(panicked(panic.as_ref()).into()));
        batch.and_then(|b| conform(&announced, &b)).map_err(|e| Error::from(e).into())
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// The batch with the types that were announced. Plans for several processes may compute a decimal wider than the plan for one.
fn conform(schema: &SchemaRef, batch: &RecordBatch) -> datafusion::error::Result<RecordBatch> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let column = |(column, field): (&ArrayRef, &Arc<Field>)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast_with_options(column, field.data_type(), &exact)
    };
    let columns =
        batch.columns().iter().zip(schema.fields()).map(column).collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    Error::new(ErrorKind::Internal, format!("the query panicked: {}", text.unwrap_or("it did not say why")))
}

/// Connections to executors, kept for the next query.
#[derive(Clone, Default)]
pub(crate) struct ResultClients(Arc<Mutex<HashMap<(String, u16), BallistaClient>>>);

impl ResultClients {
    /// The rows of a finished query, partition after partition.
    fn stream(&self, partitions: Vec<PartitionLocation>, schema: SchemaRef) -> SendableRecordBatchStream {
        let clients = self.clone();
        let announced = Arc::clone(&schema);
        let rows = futures::stream::iter(partitions)
            .map(move |p| {
                let clients = clients.clone();
                async move { clients.fetch(p).await }
            })
            .buffered(FETCH_AHEAD)
            .try_flatten()
            .map(move |batch| batch.and_then(|b| conform(&announced, &b)));
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    async fn fetch(&self, location: PartitionLocation) -> datafusion::error::Result<SendableRecordBatchStream> {
        let layout = location.layout();
        let missing = |what: &str| DataFusionError::Internal(format!("a result's location lacks its {what}"));
        let executor = location.executor_meta.ok_or_else(|| missing("executor"))?;
        let partition = location.partition_id.ok_or_else(|| missing("partition"))?.into();
        let port = u16::try_from(executor.port).map_err(|_| missing("port"))?;
        let lost = |e: BallistaError| {
            let what = format!("executor {} cannot be asked for its rows of the answer, ask again: {e}", executor.id);
            DataFusionError::from(Error::new(ErrorKind::Unavailable, what))
        };
        let mut client = self.client(executor.host, port).await.map_err(lost)?;
        client.fetch_partition(&executor.id, &partition, location.file_id, layout, true).await.map_err(lost)
    }

    async fn client(&self, host: String, port: u16) -> ballista_core::error::Result<BallistaClient> {
        let key = (host, port);
        if let Some(client) = self.lock().get(&key) {
            return Ok(client.clone());
        }
        let client = BallistaClient::try_new(&key.0, port, MAX_MESSAGE_BYTES, false, None, 2, 200, 0, 0).await?;
        self.lock().insert(key, client.clone());
        Ok(client)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, u16), BallistaClient>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_query_alone() {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
        let rows = futures::stream::iter([1, 2]).map(|n| panic!("no row {n}"));
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), rows);
        let rows = for_clients(nullable(&schema), Box::pin(rows));
        let answer: Vec<_> = rows.collect().await;
        let [Err(e)] = &answer[..] else { panic!("one error: {answer:?}") };
        let e = Error::find(e).unwrap();
        assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Internal, "the query panicked: no row 1"));
    }
}
