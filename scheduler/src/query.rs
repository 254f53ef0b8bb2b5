//! Running a plan: in this process when it reads little, else on the executors.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{Field, Schema, SchemaRef};
use ballista_core::JobId;
use ballista_core::client::BallistaClient;
use ballista_core::serde::protobuf::{JobStatus, PartitionLocation, SuccessfulJob, job_status};
use bergmill_engine::MAX_MESSAGE_BYTES;
use bergmill_gateway::{Error, ErrorKind, Result};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use crate::error::{from_ballista, from_datafusion, from_failed_query};
use crate::process::Scheduler;
use crate::session::StatementSession;

/// Statuses of one query that may wait; they are read as they come.
const STATUS_BUFFER: usize = 16;
/// Result partitions that are fetched ahead of the one being read.
const FETCH_AHEAD: usize = 2;

/// A query that ran on the executors: its rows, and its id while Ballista remembers it.
pub(crate) struct ClusterAnswer {
    pub id: JobId,
    pub rows: SendableRecordBatchStream,
}

impl Scheduler {
    /// Runs an optimised plan where it belongs, and streams its rows.
    pub(crate) async fn run(
        &self,
        plan: &LogicalPlan,
        session: &StatementSession,
    ) -> Result<SendableRecordBatchStream> {
        let local = session.local.create_physical_plan(plan).await.map_err(from_datafusion)?;
        if bytes_read(&local) <= self.local_query_bytes {
            let rows = execute_stream(local, session.local.task_ctx()).map_err(from_datafusion)?;
            return Ok(all_nullable(rows));
        }
        Ok(self.run_on_cluster(plan, &session.cluster).await?.rows)
    }

    /// Runs an optimised plan on the executors.
    pub(crate) async fn run_on_cluster(&self, plan: &LogicalPlan, state: &SessionState) -> Result<ClusterAnswer> {
        let context = Arc::new(SessionContext::new_with_state(state.clone()));
        // Subscribe before submitting, so that no status can be missed.
        let (subscriber, mut statuses) = mpsc::channel::<JobStatus>(STATUS_BUFFER);
        let id = self.server.submit_job("", context, plan, Some(subscriber)).await.map_err(from_ballista)?;
        let mut guard = CancelOnDrop { scheduler: Some((self.server.clone(), id.clone())) };
        while let Some(status) = statuses.recv().await {
            match status.status {
                Some(job_status::Status::Successful(SuccessfulJob { partition_location, .. })) => {
                    guard.scheduler = None;
                    let schema = nullable(plan.schema().inner());
                    let rows = self.results.stream(partition_location, schema);
                    return Ok(ClusterAnswer { id, rows });
                }
                Some(job_status::Status::Failed(failed)) => {
                    guard.scheduler = None;
                    return Err(from_failed_query(id.as_str(), &failed.error));
                }
                // Queued and running are progress, not outcomes.
                _ => {}
            }
        }
        Err(Error::new(ErrorKind::Internal, format!("query {id} ended without a final status")))
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

/// Bytes of data files that a plan opens. What does not come from files counts nothing.
pub(crate) fn bytes_read(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let mut bytes = 0u64;
    let counted = plan.apply(|node| {
        let scan = node.downcast_ref::<DataSourceExec>().and_then(|s| s.data_source().downcast_ref::<FileScanConfig>());
        if let Some(scan) = scan {
            let files = scan.file_groups.iter().flat_map(|g| g.iter());
            bytes = bytes.saturating_add(files.map(|f| f.effective_size()).sum());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if counted.is_ok() { bytes } else { u64::MAX }
}

/// The schema that clients are told: every column nullable. Logical and physical plans disagree about nullability
/// often enough that a promise of NOT NULL would break, and clients that were promised one schema reject another.
pub(crate) fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> =
        schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

pub(crate) fn all_nullable(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = nullable(&rows.schema());
    let told = Arc::clone(&schema);
    let rows = rows.map(move |batch| batch.and_then(|b| relabel(&told, b)));
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

fn relabel(
    schema: &SchemaRef,
    batch: arrow::array::RecordBatch,
) -> datafusion::error::Result<arrow::array::RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    arrow::array::RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(DataFusionError::from)
}

/// Connections to executors, kept for the next query.
#[derive(Clone, Default)]
pub(crate) struct ResultClients(Arc<Mutex<HashMap<(String, u16), BallistaClient>>>);

impl ResultClients {
    /// The rows of a finished query, partition after partition.
    fn stream(&self, partitions: Vec<PartitionLocation>, schema: SchemaRef) -> SendableRecordBatchStream {
        let clients = self.clone();
        let told = Arc::clone(&schema);
        let rows = futures::stream::iter(partitions)
            .map(move |p| {
                let clients = clients.clone();
                async move { clients.fetch(p).await }
            })
            .buffered(FETCH_AHEAD)
            .try_flatten()
            .map(move |batch| batch.and_then(|b| relabel(&told, b)));
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    async fn fetch(&self, location: PartitionLocation) -> datafusion::error::Result<SendableRecordBatchStream> {
        let layout = location.layout();
        let missing = |what: &str| DataFusionError::Internal(format!("a result's location lacks its {what}"));
        let executor = location.executor_meta.ok_or_else(|| missing("executor"))?;
        let partition = location.partition_id.ok_or_else(|| missing("partition"))?.into();
        let port = u16::try_from(executor.port).map_err(|_| missing("port"))?;
        let mut client = self.client(executor.host, port).await.map_err(|e| e.into_datafusion())?;
        client
            .fetch_partition(&executor.id, &partition, location.file_id, layout, true)
            .await
            .map_err(|e| e.into_datafusion())
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
