//! Runs a query on the executors until there is a result.
//!
//! A result is accepted only from a query that has lost no rows and whose stages are known to be correct; a query that
//! has lost rows restarts.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use ballista_core::JobId;
use ballista_core::serde::protobuf::{JobStatus, SuccessfulJob, job_status};
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};
use crate::process::Scheduler;
use crate::stages::failed_task::from_failed_query;
use crate::stages::recovery::{Loss, MAX_ATTEMPTS};
use crate::system::Record;

/// Capacity for unread statuses of one query; they are read as they arrive.
const STATUS_BUFFER: usize = 16;

/// A query that ran on the executors: its rows, and its id while Ballista remembers it.
pub(crate) struct ClusterAnswer {
    pub id: JobId,
    pub rows: SendableRecordBatchStream,
}

/// The outcome of a query on the executors.
enum Outcome {
    Answer(ClusterAnswer),
    /// It lost rows with an executor, and has been stopped.
    LostRows,
    /// It cannot run this way, for this reason, and has been stopped.
    Refused(Error),
}

/// The outcome of a query in stages.
pub(crate) enum Staged {
    Answer(ClusterAnswer),
    /// It cannot run in stages, for this reason.
    Refused(Error),
}

impl Scheduler {
    /// Submits a query, again if it has lost rows, and returns its rows. `is_ordered` says whether stages must keep an
    /// order. `record` receives the stages of the query.
    pub(crate) async fn until_answered<F>(
        &self,
        schema: SchemaRef,
        is_ordered: bool,
        record: &Record,
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
            record.runs_job(&id);
            let outcome = self.answer(&id, statuses, Arc::clone(&schema), is_ordered).await;
            if matches!(&outcome, Ok(Outcome::Answer(_)) | Err(_))
                && let Some(graph) = self.jobs.get_execution_graph(&id).await?
            {
                record.add_stages(&id, &graph);
            }
            match outcome? {
                Outcome::Answer(answer) => return Ok(Staged::Answer(answer)),
                Outcome::Refused(reason) => return Ok(Staged::Refused(reason)),
                Outcome::LostRows if attempt == MAX_ATTEMPTS => return Err(executors_lost(&id)),
                Outcome::LostRows => {}
            }
            tracing::warn!("query {id} lost rows with an executor and restarts");
            record.restarts();
            attempt += 1;
        }
    }

    /// The rows of a submitted query, once it has succeeded.
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
                    Loss::Reports => Err(reports_lost(id)),
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
        // A query that failed may have failed because it lost rows.
        if self.loss(id).await?.is_some() {
            return Ok(Outcome::LostRows);
        }
        let locations = match outcome {
            Ok(locations) => locations,
            Err(text) => {
                let e = from_failed_query(id.as_str(), &text);
                // An error of the stages is not an error of the query.
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
        // Executors may be lost with the result too. As long as no row was returned, the query can restart.
        let mut rows = self.results.stream(locations, Arc::clone(&schema));
        let first = match rows.next().await {
            Some(Err(e)) if is_unavailable(&e) => return Ok(Outcome::LostRows),
            first => first,
        };
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(first).chain(rows)));
        Ok(Outcome::Answer(ClusterAnswer { id: id.clone(), rows }))
    }
}

pub(crate) fn refusal(reason: String) -> Error {
    Error::new(ErrorKind::Internal, reason)
}

fn executors_lost(id: &JobId) -> Error {
    let what = format!(
        "query {id}: executors were lost again and again while running it, most often because the system killed them for exceeding \
         their memory limit: give executors more memory, or fewer vcores"
    );
    Error::new(ErrorKind::Unavailable, what)
}

fn reports_lost(id: &JobId) -> Error {
    let what = format!(
        "query {id}: executors ended a task again and again, but their reports did not arrive: check that executors can connect to \
         the address that the scheduler advertises"
    );
    Error::new(ErrorKind::Unavailable, what)
}

fn is_unavailable(e: &DataFusionError) -> bool {
    Error::find(e).is_some_and(|e| e.kind() == ErrorKind::Unavailable)
}

/// Cancels the query if the client disconnects.
struct CancelOnDrop {
    scheduler: Option<(SchedulerServer<LogicalPlanNode, PhysicalPlanNode>, JobId)>,
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
