//! Statements that write: executors make the files, one commit makes them visible.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bergmill_catalog::write::{WriteSpec, data_files, delete_leftovers, plan_write};
use bergmill_catalog::{Base, Commit, CommitKey, IcebergTable, Operation, Replaced, TableIdent, bridge};
use bergmill_engine::{CATALOG, DEFAULT_NAMESPACE, WriteNode};
use bergmill_gateway::{CommitTag, Error, ErrorKind, IngestMode, IngestTarget, Result};
use datafusion::common::ScalarValue;
use datafusion::common::TableReference;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, Partitioning, SendableRecordBatchStream, execute_stream_partitioned};
use futures::TryStreamExt;

use crate::error::{from_catalog, from_datafusion};
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::statement::{CreateTable, InsertMode};

impl Scheduler {
    /// `INSERT`: writes the input's rows and commits them; returns how many.
    pub(crate) async fn insert(
        &self,
        table: &TableReference,
        mode: InsertMode,
        input: LogicalPlan,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let target = session.tables.pinned(&identifier(table)?).await.map_err(|e| from_catalog(&e))?;
        let operation = match mode {
            InsertMode::Append => Operation::Append,
            InsertMode::Overwrite if target.table().metadata().default_partition_spec().is_unpartitioned() => {
                Operation::Replace(Replaced::All)
            }
            InsertMode::Overwrite => Operation::Replace(Replaced::Touched),
            InsertMode::OverwritePartitions(values) => {
                Operation::Replace(Replaced::Where(values.iter().map(partition_value).collect::<Result<_>>()?))
            }
        };
        self.fill(&target, input, operation, tag, session).await
    }

    /// `CREATE TABLE`, with the rows of its query if it has one. A query that fails leaves no table.
    pub(crate) async fn create_table(
        &self,
        create: CreateTable,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let ident = identifier(&create.name)?;
        let exists = self.warehouse.find(&ident).await.map_err(|e| from_catalog(&e))?.is_some();
        if exists && create.if_not_exists {
            return Ok(0);
        }
        if exists {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("table {ident} already exists")));
        }
        let columns = match create.has_rows {
            true => bridge::optional(create.input.schema().inner()),
            false => create.input.schema().inner().as_ref().clone(),
        };
        let new = create.clauses.new_table(&columns).map_err(|e| from_catalog(&e))?;
        let created = match self.warehouse.create(&ident, new).await {
            Err(e) if create.if_not_exists && e.kind() == bergmill_catalog::ErrorKind::AlreadyExists => return Ok(0),
            other => other.map_err(|e| from_catalog(&e))?,
        };
        if !create.has_rows {
            return Ok(0);
        }
        let target = IcebergTable::current(created).map_err(|e| from_catalog(&e))?;
        let filled = self.fill(&target, create.input, Operation::Append, tag, session).await;
        if filled.is_err() {
            self.forget(&ident).await;
        }
        filled
    }

    /// Writes the input's rows and commits them.
    async fn fill(
        &self,
        target: &IcebergTable,
        input: LogicalPlan,
        operation: Operation,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let spec = WriteSpec::from_metadata(target.table().metadata()).map_err(|e| from_catalog(&e))?;
        let write = WriteNode::plan(spec.clone(), input).map_err(from_datafusion)?;
        let rows = self.run(&write, session).await?;
        let written: Vec<RecordBatch> = rows.try_collect().await.map_err(from_datafusion)?;
        self.commit(target, spec, &written, operation, tag).await
    }

    async fn forget(&self, ident: &TableIdent) {
        if let Err(e) = self.warehouse.drop_table(ident).await {
            tracing::warn!("table {ident}, whose query failed, could not be dropped: {e}");
        }
    }

    pub(crate) async fn drop_table(&self, name: &TableReference, if_exists: bool) -> Result<u64> {
        match self.warehouse.drop_table(&identifier(name)?).await {
            Err(e) if if_exists && e.kind() == bergmill_catalog::ErrorKind::NotFound => Ok(0),
            other => other.map(|()| 0).map_err(|e| from_catalog(&e)),
        }
    }

    /// Writes a stream of batches, in this process and on all its cores, and commits it.
    pub(crate) async fn ingest_stream(&self, target: &IngestTarget, input: SendableRecordBatchStream) -> Result<u64> {
        let namespace = target.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let ident = TableIdent::from_strs([namespace, &target.table]).map_err(|e| from_catalog(&e.into()))?;
        let found = self.warehouse.find(&ident).await.map_err(|e| from_catalog(&e))?;
        let created = found.is_none();
        let table = match (found, target.mode) {
            (Some(_), IngestMode::Create) => {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("table {ident} already exists")));
            }
            (Some(table), _) => table,
            (None, IngestMode::Append) => self.warehouse.load(&ident).await.map_err(|e| from_catalog(&e))?,
            (None, _) => {
                let new = bergmill_catalog::TableClauses::default().new_table(&input.schema());
                self.warehouse.create(&ident, new.map_err(|e| from_catalog(&e))?).await.map_err(|e| from_catalog(&e))?
            }
        };
        let pinned = IcebergTable::current(table).map_err(|e| from_catalog(&e))?;
        let done = self.ingest_into(&pinned, target, input).await;
        if done.is_err() && created {
            self.forget(&ident).await;
        }
        done
    }

    async fn ingest_into(
        &self,
        table: &IcebergTable,
        target: &IngestTarget,
        input: SendableRecordBatchStream,
    ) -> Result<u64> {
        let session = self.session().await?;
        let spec = WriteSpec::from_metadata(table.table().metadata()).map_err(|e| from_catalog(&e))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let input = one_stream(input).map_err(from_datafusion)?;
        let spread = RepartitionExec::try_new(input, Partitioning::RoundRobinBatch(cores)).map_err(from_datafusion)?;
        let plan = plan_write(Arc::new(spread), &spec, session.local.config_options()).map_err(|e| from_catalog(&e))?;
        let parts = execute_stream_partitioned(plan, session.local.task_ctx()).map_err(from_datafusion)?;
        let tasks: Vec<_> = parts
            .into_iter()
            .map(|part| tokio::spawn(async move { part.try_collect::<Vec<RecordBatch>>().await }))
            .map(AbortOnDrop)
            .collect();
        let mut written = Vec::new();
        for mut task in tasks {
            let done = (&mut task.0).await.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
            written.extend(done.map_err(from_datafusion)?);
        }
        let operation = match target.mode {
            IngestMode::Replace => Operation::Replace(Replaced::All),
            _ => Operation::Append,
        };
        self.commit(table, spec, &written, operation, target.tag.as_ref()).await
    }

    /// Commits the files of a write, and removes those that did not become part of the table.
    async fn commit(
        &self,
        table: &IcebergTable,
        spec: WriteSpec,
        written: &[RecordBatch],
        operation: Operation,
        tag: Option<&CommitTag>,
    ) -> Result<u64> {
        let metadata = table.table().metadata();
        let added = data_files(written, metadata).map_err(|e| from_catalog(&e))?;
        let rows = added.iter().map(|f| f.record_count()).sum();
        let (key, summary) = match tag {
            Some(tag) => (CommitKey::new(&tag.key), tag.summary.clone()),
            None => (CommitKey::unique(), BTreeMap::new()),
        };
        let commit = Commit {
            table: table.table().identifier().clone(),
            base: Base::of(table.table()),
            added: added.clone(),
            operation,
            key,
            summary,
        };
        let (warehouse, runtime) = (self.warehouse.clone(), Arc::clone(&self.runtime));
        // A task of its own, so that a client that goes away leaves neither a half-done commit nor files of nobody.
        let committing = tokio::spawn(async move {
            let done = warehouse.commit(commit).await;
            let kept = match &done {
                Ok(done) if !done.already => added.as_slice(),
                // Whether the files are part of the table cannot be known, so they must stay.
                Err(e) if e.kind() == bergmill_catalog::ErrorKind::Unknown => added.as_slice(),
                _ => &[],
            };
            if let Err(e) = delete_leftovers(&runtime, &spec, kept).await {
                tracing::warn!("files that no snapshot names could not be removed: {e}");
            }
            done
        });
        let done = committing.await.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let done = done.map_err(|e| from_catalog(&e))?;
        Ok(if done.already { 0 } else { rows })
    }
}

/// The table that a name in SQL stands for.
pub(crate) fn identifier(name: &TableReference) -> Result<TableIdent> {
    if let Some(catalog) = name.catalog().filter(|c| *c != CATALOG) {
        let what = format!("catalog {catalog} not found; there is {CATALOG}");
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    let namespace = name.schema().unwrap_or(DEFAULT_NAMESPACE);
    TableIdent::from_strs([namespace, name.table()]).map_err(|e| from_catalog(&e.into()))
}

/// A value of a `PARTITION` clause in the catalog's terms.
fn partition_value((column, value): &(String, ScalarValue)) -> Result<(String, Option<bridge::Datum>)> {
    if value.is_null() {
        return Ok((column.clone(), None));
    }
    match bridge::datum(value) {
        Some(datum) => Ok((column.clone(), Some(datum))),
        None => {
            let what = format!("PARTITION ({column} = {value}): a {} is no partition value", value.data_type());
            Err(Error::new(ErrorKind::InvalidInput, what))
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A plan that gives the batches of one stream, once.
fn one_stream(input: SendableRecordBatchStream) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
    let schema = input.schema();
    let stream = Arc::new(OneStream { schema: Arc::clone(&schema), input: std::sync::Mutex::new(Some(input)) });
    Ok(Arc::new(StreamingTableExec::try_new(schema, vec![stream], None, Vec::new(), false, None)?))
}

struct OneStream {
    schema: arrow::datatypes::SchemaRef,
    input: std::sync::Mutex<Option<SendableRecordBatchStream>>,
}

impl std::fmt::Debug for OneStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneStream")
    }
}

impl PartitionStream for OneStream {
    fn schema(&self) -> &arrow::datatypes::SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let taken = self.input.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match taken {
            Some(input) => input,
            None => {
                let e = datafusion::error::DataFusionError::Internal("an input stream is read once".to_string());
                let once = futures::stream::once(std::future::ready(Err(e)));
                Box::pin(datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(
                    Arc::clone(&self.schema),
                    once,
                ))
            }
        }
    }
}
