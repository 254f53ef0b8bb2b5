//! Statements that write: executors write the files, one commit makes them visible.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bergmill_catalog::write::{WriteSpec, data_files, plan_write, remove_orphan_files};
use bergmill_catalog::{
    Commit, CommitKey, Destination, IcebergTable, MAIN_BRANCH, NewTable, Operation, QualifiedName, Replaced, RowChange,
    bridge, vended_address,
};
use bergmill_engine::{DEFAULT_NAMESPACE, once_stream};
use bergmill_gateway::{Caller, CommitTag, IngestMode, IngestTarget};
use bergmill_statement::{CATALOG, TableClauses};
use datafusion::common::TableReference;
use datafusion::logical_expr::{DmlStatement, LogicalPlan};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{Partitioning, SendableRecordBatchStream};
use futures::TryStreamExt;

use crate::error::{Error, ErrorKind, Result};
use crate::local::LocalRuntime;
use crate::parameters::Parameters;
use crate::planner::WriteNode;
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::settings::Settings;
use crate::stages::order;
use crate::statement::{CreateTable, Insert, InsertMode};
use crate::system::{Execution, Record};
use crate::touched::in_sql;

/// A statement's write: its target, and how it treats existing rows.
pub(crate) struct WriteJob<'a> {
    /// The table as the statement sees it, or as it will be created.
    table: IcebergTable,
    branch: &'a str,
    destination: Destination,
    operation: Operation,
    /// Names the commit in the snapshot, if the client sent a tag.
    tag: Option<&'a CommitTag>,
    session: &'a StatementSession,
}

impl<'a> WriteJob<'a> {
    /// A change of a branch of an existing table.
    fn in_branch(
        table: IcebergTable,
        branch: &'a str,
        operation: Operation,
        tag: Option<&'a CommitTag>,
        session: &'a StatementSession,
    ) -> Self {
        Self { table, branch, destination: Destination::Branch, operation, tag, session }
    }

    /// The first rows of a new table, or of a new definition of a table.
    fn first_rows(
        table: IcebergTable,
        destination: Destination,
        tag: Option<&'a CommitTag>,
        session: &'a StatementSession,
    ) -> Self {
        Self { table, branch: MAIN_BRANCH, destination, operation: Operation::Append, tag, session }
    }

    /// The destination, and the commit without files.
    fn into_commit(self) -> (Destination, Commit) {
        let key = self.tag.map_or_else(CommitKey::unique, |tag| CommitKey::new(&tag.key));
        let summary = self.tag.map(|tag| tag.summary.clone()).unwrap_or_default();
        let commit = Commit::new(self.table.table(), self.branch, self.operation, key);
        (self.destination, Commit { summary, ..commit })
    }

    /// Whether credentials for the files were vended only to this process, because the table is not in the catalog yet.
    fn is_written_here(&self) -> bool {
        matches!(self.destination, Destination::Draft(_)) && vended_address(self.table.table()).is_some()
    }
}

impl Scheduler {
    /// `INSERT`: writes the input's rows, commits them to a branch and returns their number.
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

    /// A branch of an existing table, as the statement sees it.
    async fn target(&self, table: &TableReference, branch: &str, session: &StatementSession) -> Result<IcebergTable> {
        let name = identifier(table, &session.settings.namespace)?;
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
        let name = identifier(&create.name, &session.settings.namespace)?;
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
                Ok((table, to)) => {
                    let id = table.id();
                    let filled = self.fill(WriteJob::first_rows(table, to, tag, session), create.input).await;
                    filled.map(|rows| (rows, id))
                }
                Err(e) => Err(e),
            },
            (false, true) => {
                let replaced = self.warehouse.replace(&name, &new).await.and_then(IcebergTable::current);
                replaced.map(|table| (0, table.id())).map_err(Error::from)
            }
            (false, false) => {
                let create = || self.warehouse.create(&name, new.clone());
                let created = self.in_namespace(&name, create).await.and_then(IcebergTable::current);
                created.map(|table| (0, table.id())).map_err(Error::from)
            }
        };
        match created {
            Err(e) if create.if_not_exists && e.kind() == ErrorKind::AlreadyExists => Ok(0),
            Ok((rows, id)) if !exists => self.own(&name, id, session).await.map(|()| rows),
            other => other.map(|(rows, _)| rows),
        }
    }

    /// The destination of the rows of a `CREATE TABLE AS`: the commit that adds them also creates the table, or
    /// replaces it if it `exists`.
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

    /// Writes the input's rows, commits them and returns their number.
    async fn fill(&self, job: WriteJob<'_>, input: LogicalPlan) -> Result<u64> {
        let spec = WriteSpec::of(job.table.table())?;
        let written = match job.is_written_here() {
            true => {
                let in_order = spec.partition_spec.is_unpartitioned() && order::is_requested(&input);
                let tasks = if in_order { 1 } else { cores() };
                match self.run(&input, job.session).await {
                    Ok(rows) => write_here(&spec, rows, tasks, job.session, &self.local).await,
                    Err(e) => Err(e),
                }
            }
            false => self.write(&spec, input, job.session).await,
        };
        Ok(self.land(job, Some(spec), written).await?.unwrap_or(0))
    }

    /// Writes the input's rows into data files that are not committed yet.
    async fn write(
        &self,
        spec: &WriteSpec,
        input: LogicalPlan,
        session: &StatementSession,
    ) -> Result<Vec<RecordBatch>> {
        let write = WriteNode::plan(spec.clone(), input)?;
        Ok(self.run(&write, session).await?.try_collect().await?)
    }

    /// `DELETE`, `UPDATE` and `MERGE` of the rows of a branch; returns the number of rows deleted, updated and
    /// inserted.
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

    /// `TRUNCATE` of a branch; returns the number of rows removed.
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

    pub(crate) async fn drop_table(
        &self,
        name: &TableReference,
        if_exists: bool,
        session: &StatementSession,
    ) -> Result<u64> {
        let name = identifier(name, &session.settings.namespace)?;
        let granted = self.granted_on(&name, session).await;
        match self.warehouse.drop_table(&name).await {
            Ok(()) => {
                self.dropped(granted.as_ref()).await;
                Ok(0)
            }
            Err(e) if if_exists && e.kind() == bergmill_catalog::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    /// Writes a stream of batches, in this process and on all its cores, and commits it.
    pub(crate) async fn ingest_stream(
        &self,
        target: &IngestTarget,
        caller: Option<&Caller>,
        input: SendableRecordBatchStream,
        record: Record,
    ) -> Result<u64> {
        let namespace = target.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let name = QualifiedName::new(namespace, &target.table);
        record.touches(Vec::new(), vec![in_sql(&name)]);
        let session = self.session(record, Parameters::default(), Settings::default(), None, caller).await?;
        let mode = session.admit_ingest(&name, target.mode).await?;
        let table = match (self.warehouse.find(&name).await?, mode) {
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
        let input = session.record.until_cancelled(input);
        session.record.runs(Execution::Local);
        let is_new = matches!(destination, Destination::Draft(_));
        let (tag, id) = (target.tag.as_ref(), table.id());
        let job = match (destination, mode) {
            (Destination::Branch, IngestMode::Replace) => {
                WriteJob::in_branch(table, MAIN_BRANCH, Operation::Replace(Replaced::All), tag, &session)
            }
            (destination, _) => WriteJob::first_rows(table, destination, tag, &session),
        };
        let spec = WriteSpec::of(job.table.table())?;
        let written = write_here(&spec, input, cores(), &session, &self.local).await;
        let rows = self.land(job, Some(spec), written).await?.unwrap_or(0);
        if is_new {
            self.own(&name, id, &session).await?;
        }
        Ok(rows)
    }

    /// Commits the files of a write, and removes those that did not become part of the table; `spec` has their
    /// location, if any were written. Returns the number of rows written, or `None` if the same work was already
    /// committed.
    async fn land(
        &self,
        job: WriteJob<'_>,
        spec: Option<WriteSpec>,
        written: Result<Vec<RecordBatch>>,
    ) -> Result<Option<u64>> {
        let added = written.and_then(|batches| {
            job.session.record.begin_commit()?;
            Ok(data_files(&batches, job.table.table())?)
        });
        let added = match added {
            Ok(added) => added,
            Err(e) => {
                // Tasks that succeeded have left complete files.
                remove_orphan_files(&self.runtime, spec.as_ref(), &[]).await;
                return Err(e);
            }
        };
        let (destination, commit) = job.into_commit();
        let commit = Commit { added: added.clone(), ..commit };
        let (warehouse, runtime) = (self.warehouse.clone(), Arc::clone(&self.runtime));
        // A separate task, so that a client that disconnects leaves neither a partial commit nor orphan files.
        let committing = tokio::spawn(async move {
            let done = warehouse.land(destination, commit).await;
            let kept = match &done {
                Ok(done) if !done.already => added.as_slice(),
                // The commit state is unknown: the files may be part of the table, so they must stay.
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

/// The branch that a statement names, or the main branch.
pub(crate) fn branch_or_main(branch: &Option<String>) -> &str {
    branch.as_deref().unwrap_or(MAIN_BRANCH)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Writes a stream of batches in this process, by as many tasks; a single one keeps the order of the rows.
async fn write_here(
    spec: &WriteSpec,
    input: SendableRecordBatchStream,
    tasks: usize,
    session: &StatementSession,
    local: &LocalRuntime,
) -> Result<Vec<RecordBatch>> {
    let input = once_stream(input)?;
    let spread = RepartitionExec::try_new(input, Partitioning::RoundRobinBatch(tasks))?;
    let mut options = session.single.config_options().as_ref().clone();
    options.execution.target_partitions = tasks;
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

/// The table to which a name in SQL refers; one without a namespace is in `default`.
pub(crate) fn identifier(name: &TableReference, default: &str) -> Result<QualifiedName> {
    if let Some(catalog) = name.catalog().filter(|c| *c != CATALOG) {
        let what = format!("catalog {catalog} not found; there is {CATALOG}");
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    let namespace = name.schema().unwrap_or(default);
    Ok(QualifiedName::new(namespace, name.table()))
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
