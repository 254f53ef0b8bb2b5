//! Statements that write: executors make the files, one commit makes them visible.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bergmill_catalog::write::{WriteSpec, data_files, plan_write, remove_orphan_files};
use bergmill_catalog::{
    Commit, CommitKey, Destination, IcebergTable, MAIN_BRANCH, NewTable, Operation, QualifiedName, Replaced, RowChange,
    bridge, vended_address,
};
use bergmill_engine::{DEFAULT_NAMESPACE, once_stream};
use bergmill_gateway::{CommitTag, IngestMode, IngestTarget};
use bergmill_statement::{CATALOG, TableClauses};
use datafusion::common::TableReference;
use datafusion::logical_expr::{DmlStatement, LogicalPlan};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{Partitioning, SendableRecordBatchStream};
use futures::TryStreamExt;

use crate::error::{Error, ErrorKind, Result};
use crate::local::LocalRuntime;
use crate::planner::WriteNode;
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::statement::{CreateTable, Insert, InsertMode};

/// A statement's write: what it is for, and what it does about the rows that are there.
pub(crate) struct WriteJob<'a> {
    /// The table as the statement sees it, or as it is to be.
    table: IcebergTable,
    branch: &'a str,
    destination: Destination,
    operation: Operation,
    /// Names the work in the snapshot, if the client has given it a name.
    tag: Option<&'a CommitTag>,
    session: &'a StatementSession,
}

impl<'a> WriteJob<'a> {
    /// A change of a branch of a table that is there.
    fn in_branch(
        table: IcebergTable,
        branch: &'a str,
        operation: Operation,
        tag: Option<&'a CommitTag>,
        session: &'a StatementSession,
    ) -> Self {
        Self { table, branch, destination: Destination::Branch, operation, tag, session }
    }

    /// The first rows of a table, or of another definition of a table.
    fn first_rows(
        table: IcebergTable,
        destination: Destination,
        tag: Option<&'a CommitTag>,
        session: &'a StatementSession,
    ) -> Self {
        Self { table, branch: MAIN_BRANCH, destination, operation: Operation::Append, tag, session }
    }

    /// Where it goes, and the commit, yet without files.
    fn into_commit(self) -> (Destination, Commit) {
        let key = self.tag.map_or_else(CommitKey::unique, |tag| CommitKey::new(&tag.key));
        let summary = self.tag.map(|tag| tag.summary.clone()).unwrap_or_default();
        let commit = Commit::new(self.table.table(), self.branch, self.operation, key);
        (self.destination, Commit { summary, ..commit })
    }

    /// Whether only this process was lent what opens the files: those of a table that the catalog does not know yet.
    fn is_written_here(&self) -> bool {
        matches!(self.destination, Destination::Draft(_)) && vended_address(self.table.table()).is_some()
    }
}

impl Scheduler {
    /// `INSERT`: writes the input's rows and commits them to a branch; returns how many.
    pub(crate) async fn insert(
        &self,
        insert: Insert,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let branch = branch_or_main(&insert.branch);
        let table = self.target(&insert.table, branch, session).await?;
        let operation = match insert.mode {
            InsertMode::Append => Operation::Append,
            InsertMode::Overwrite if table.is_partitioned() => Operation::Replace(Replaced::Touched),
            InsertMode::Overwrite => Operation::Replace(Replaced::All),
            InsertMode::OverwritePartitions(values) => Operation::Replace(Replaced::by_values(&values)?),
        };
        self.fill(WriteJob::in_branch(table, branch, operation, tag, session), insert.input).await
    }

    /// A branch of a table that is there, as the statement sees it.
    async fn target(&self, table: &TableReference, branch: &str, session: &StatementSession) -> Result<IcebergTable> {
        let name = identifier(table)?;
        let pinned = session.tables.pinned(&name).await?;
        Ok(pinned.at_branch(branch)?)
    }

    /// `CREATE TABLE`, with the rows of its query if it has one. A query that fails leaves no table.
    pub(crate) async fn create_table(
        &self,
        create: CreateTable,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let name = identifier(&create.name)?;
        let exists = self.warehouse.find(&name).await?.is_some();
        if exists && create.if_not_exists {
            return Ok(0);
        }
        if exists && !create.or_replace {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("table {name} already exists")));
        }
        let columns = match create.has_rows {
            true => bridge::optional(create.input.schema().inner()),
            false => create.input.schema().inner().as_ref().clone(),
        };
        let new = NewTable::define(&columns, &create.clauses)?;
        let created = match (create.has_rows, exists) {
            (true, _) => match self.destination(&name, new, exists).await {
                Ok((table, to)) => self.fill(WriteJob::first_rows(table, to, tag, session), create.input).await,
                Err(e) => Err(e),
            },
            (false, true) => self.warehouse.replace(&name, &new).await.map(|_| 0).map_err(Error::from),
            (false, false) => {
                let create = || self.warehouse.create(&name, new.clone());
                self.in_namespace(&name, create).await.map(|_| 0).map_err(Error::from)
            }
        };
        match created {
            Err(e) if create.if_not_exists && e.kind() == ErrorKind::AlreadyExists => Ok(0),
            other => other,
        }
    }

    /// Where the rows of a `CREATE TABLE AS` go: the table appears, or changes if it `exists`, together with them.
    async fn destination(
        &self,
        name: &QualifiedName,
        new: NewTable,
        exists: bool,
    ) -> Result<(IcebergTable, Destination)> {
        if !exists {
            let draft = self.in_namespace(name, || self.warehouse.draft(name, new.clone())).await?;
            return Ok((IcebergTable::current(draft.clone())?, Destination::Draft(draft)));
        }
        let Some(draft) = self.warehouse.replaced(name, &new).await? else {
            return Err(Error::new(ErrorKind::Conflict, format!("table {name} was dropped; run the statement again")));
        };
        let table = IcebergTable::current(draft.clone())?;
        Ok((table, Destination::Replacement { draft, definition: Box::new(new) }))
    }

    /// Writes the input's rows and commits them; returns how many.
    async fn fill(&self, job: WriteJob<'_>, input: LogicalPlan) -> Result<u64> {
        let spec = WriteSpec::of(job.table.table())?;
        let written = match job.is_written_here() {
            true => match self.run(&input, job.session).await {
                Ok(rows) => write_here(&spec, rows, job.session, &self.local).await,
                Err(e) => Err(e),
            },
            false => self.write(&spec, input, job.session).await,
        };
        Ok(self.land(job, Some(spec), written).await?.unwrap_or(0))
    }

    /// Writes the input's rows into data files that nobody sees yet.
    async fn write(
        &self,
        spec: &WriteSpec,
        input: LogicalPlan,
        session: &StatementSession,
    ) -> Result<Vec<RecordBatch>> {
        let write = WriteNode::plan(spec.clone(), input)?;
        Ok(self.run(&write, session).await?.try_collect().await?)
    }

    /// `DELETE`, `UPDATE` and `MERGE` of the rows of a branch; returns how many were deleted, updated and inserted.
    pub(crate) async fn change_rows(
        &self,
        statement: &DmlStatement,
        branch: &str,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let table = self.target(&statement.table_name, branch, session).await?;
        let change = RowChange::new(statement, &table)?;
        let mut found = change.begin().await?;
        if let Some(search) = change.search(&found)? {
            let mut rows = self.run(&search, session).await?;
            while let Some(batch) = rows.try_next().await? {
                found.add(&batch)?;
            }
        }
        let job = WriteJob::in_branch(table, branch, change.operation(&found)?, tag, session);
        let landed = match change.rewrite(&found)? {
            Some(rows) => {
                let spec = WriteSpec::of(job.table.table())?;
                let written = self.write(&spec, rows, session).await;
                self.land(job, Some(spec), written).await?
            }
            None => self.land(job, None, Ok(Vec::new())).await?,
        };
        Ok(landed.map_or(0, |written| found.changed_rows() + written.saturating_sub(found.kept_rows())))
    }

    /// `TRUNCATE` of a branch; returns how many rows there were.
    pub(crate) async fn truncate(
        &self,
        table: &TableReference,
        branch: &str,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let table = self.target(table, branch, session).await?;
        let job = WriteJob::in_branch(table, branch, Operation::Truncate, tag, session);
        let (destination, commit) = job.into_commit();
        let done = self.warehouse.land(destination, commit).await?;
        Ok(if done.already { 0 } else { done.removed.rows })
    }

    pub(crate) async fn drop_table(&self, name: &TableReference, if_exists: bool) -> Result<u64> {
        let name = identifier(name)?;
        match self.warehouse.drop_table(&name).await {
            Err(e) if if_exists && e.kind() == bergmill_catalog::ErrorKind::NotFound => Ok(0),
            other => Ok(other.map(|()| 0)?),
        }
    }

    /// Writes a stream of batches, in this process and on all its cores, and commits it.
    pub(crate) async fn ingest_stream(&self, target: &IngestTarget, input: SendableRecordBatchStream) -> Result<u64> {
        let namespace = target.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let name = QualifiedName::new(namespace, &target.table);
        let table = match (self.warehouse.find(&name).await?, target.mode) {
            (Some(_), IngestMode::Create) => {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("table {name} already exists")));
            }
            (Some(table), _) => Some(table),
            (None, IngestMode::Append) => Some(self.warehouse.load(&name).await?),
            (None, _) => None,
        };
        let (table, destination) = match table {
            Some(table) => (IcebergTable::current(table)?, Destination::Branch),
            None => {
                let new = NewTable::define(&input.schema(), &TableClauses::default())?;
                self.destination(&name, new, false).await?
            }
        };
        let session = self.session().await?;
        let tag = target.tag.as_ref();
        let job = match (destination, target.mode) {
            (Destination::Branch, IngestMode::Replace) => {
                WriteJob::in_branch(table, MAIN_BRANCH, Operation::Replace(Replaced::All), tag, &session)
            }
            (destination, _) => WriteJob::first_rows(table, destination, tag, &session),
        };
        let spec = WriteSpec::of(job.table.table())?;
        let written = write_here(&spec, input, &session, &self.local).await;
        Ok(self.land(job, Some(spec), written).await?.unwrap_or(0))
    }

    /// Commits the files of a write, and removes those that did not become part of the table; `spec` says where they
    /// are, if any were to be written. Returns how many rows were written; `None` if the same work had been committed
    /// before.
    async fn land(
        &self,
        job: WriteJob<'_>,
        spec: Option<WriteSpec>,
        written: Result<Vec<RecordBatch>>,
    ) -> Result<Option<u64>> {
        let added = written.and_then(|batches| Ok(data_files(&batches, job.table.table())?));
        let added = match added {
            Ok(added) => added,
            Err(e) => {
                // Tasks that had ended well have left whole files.
                remove_orphan_files(&self.runtime, spec.as_ref(), &[]).await;
                return Err(e);
            }
        };
        let (destination, commit) = job.into_commit();
        let commit = Commit { added: added.clone(), ..commit };
        let (warehouse, runtime) = (self.warehouse.clone(), Arc::clone(&self.runtime));
        // A task of its own, so that a client that goes away leaves neither a half-done commit nor files of nobody.
        let committing = tokio::spawn(async move {
            let done = warehouse.land(destination, commit).await;
            let kept = match &done {
                Ok(done) if !done.already => added.as_slice(),
                // Whether the files are part of the table cannot be known, so they must stay.
                Err(e) if e.kind() == bergmill_catalog::ErrorKind::Unknown => added.as_slice(),
                _ => &[],
            };
            remove_orphan_files(&runtime, spec.as_ref(), kept).await;
            done
        });
        let done = committing.await.map_err(|e| {
            Error::new(ErrorKind::OutcomeUnknown, format!("it is unknown whether the commit happened: {e}"))
        })??;
        Ok(if done.already { None } else { Some(done.added.rows) })
    }
}

/// The branch that a statement names, or the one that it means.
pub(crate) fn branch_or_main(branch: &Option<String>) -> &str {
    branch.as_deref().unwrap_or(MAIN_BRANCH)
}

/// Writes a stream of batches in this process, on all its cores.
async fn write_here(
    spec: &WriteSpec,
    input: SendableRecordBatchStream,
    session: &StatementSession,
    local: &LocalRuntime,
) -> Result<Vec<RecordBatch>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let input = once_stream(input)?;
    let spread = RepartitionExec::try_new(input, Partitioning::RoundRobinBatch(cores))?;
    let mut options = session.single.config_options().as_ref().clone();
    options.execution.target_partitions = cores;
    let plan = plan_write(Arc::new(spread), spec, &options)?;
    let parts = local.execute_partitioned(plan, session.single.task_ctx())?;
    let tasks: Vec<_> = parts
        .into_iter()
        .map(|part| local.spawn(async move { part.try_collect::<Vec<RecordBatch>>().await }))
        .map(AbortOnDrop)
        .collect();
    let mut written = Vec::new();
    for mut task in tasks {
        let done = (&mut task.0).await.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        written.extend(done?);
    }
    Ok(written)
}

/// The table that a name in SQL stands for.
pub(crate) fn identifier(name: &TableReference) -> Result<QualifiedName> {
    if let Some(catalog) = name.catalog().filter(|c| *c != CATALOG) {
        let what = format!("catalog {catalog} not found; there is {CATALOG}");
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    let namespace = name.schema().unwrap_or(DEFAULT_NAMESPACE);
    Ok(QualifiedName::new(namespace, name.table()))
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
