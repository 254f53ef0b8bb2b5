//! Statements that write: executors make the files, one commit makes them visible.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bergmill_catalog::write::{WriteSpec, data_files, delete_leftovers, plan_write};
use bergmill_catalog::{
    Base, Commit, CommitKey, DataFile, IcebergTable, MAIN_BRANCH, NewTable, Operation, Replaced, RowChange, Table,
    TableIdent, bridge, vended_address,
};
use bergmill_engine::{CATALOG, DEFAULT_NAMESPACE, WriteNode, one_stream};
use bergmill_gateway::{CommitTag, IngestMode, IngestTarget};
use datafusion::common::ScalarValue;
use datafusion::common::TableReference;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{DmlStatement, LogicalPlan};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{Partitioning, SendableRecordBatchStream};
use futures::TryStreamExt;

use crate::error::{Error, ErrorKind, Result};
use crate::local::LocalRuntime;
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::statement::{CreateTable, InsertMode};

impl Scheduler {
    /// `INSERT`: writes the input's rows and commits them to a branch; returns how many.
    pub(crate) async fn insert(
        &self,
        table: &TableReference,
        branch: &str,
        mode: InsertMode,
        input: LogicalPlan,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let target = self.target(table, branch, session).await?;
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
        self.fill(Target::Table(&target, branch), input, operation, tag, session).await
    }

    /// A branch of a table that is there, as the statement sees it.
    async fn target(&self, table: &TableReference, branch: &str, session: &StatementSession) -> Result<IcebergTable> {
        let pinned = session.tables.pinned(&identifier(table)?).await?;
        Ok(pinned.at_branch(branch)?)
    }

    /// `CREATE TABLE`, with the rows of its query if it has one. A query that fails leaves no table.
    pub(crate) async fn create_table(
        &self,
        create: CreateTable,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let ident = identifier(&create.name)?;
        let exists = self.warehouse.find(&ident).await?.is_some();
        if exists && create.if_not_exists {
            return Ok(0);
        }
        if exists && !create.or_replace {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("table {ident} already exists")));
        }
        let columns = match create.has_rows {
            true => bridge::optional(create.input.schema().inner()),
            false => create.input.schema().inner().as_ref().clone(),
        };
        let new = create.clauses.new_table(&columns)?;
        let created = match (create.has_rows, exists) {
            (true, _) => self.create_filled(&ident, new, exists, create.input, tag, session).await,
            (false, true) => self.warehouse.replace(&ident, &new).await.map(|_| 0).map_err(Error::from),
            (false, false) => {
                let create = || self.warehouse.create(&ident, new.clone());
                self.in_namespace(&ident, create).await.map(|_| 0).map_err(Error::from)
            }
        };
        match created {
            Err(e) if create.if_not_exists && e.kind() == ErrorKind::AlreadyExists => Ok(0),
            other => other,
        }
    }

    /// `CREATE TABLE AS`: the table appears, or changes if it is replaced, together with its rows.
    async fn create_filled(
        &self,
        ident: &TableIdent,
        new: NewTable,
        replaces: bool,
        input: LogicalPlan,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let draft = match replaces {
            true => self.warehouse.replaced(ident, &new).await,
            false => self.in_namespace(ident, || self.warehouse.draft(ident, new.clone())).await.map(Some),
        };
        let Some(draft) = draft? else {
            return Err(Error::new(ErrorKind::Conflict, format!("table {ident} was dropped; run the statement again")));
        };
        let draft = IcebergTable::current(draft)?;
        let target = if replaces { Target::Replacement(&draft, &new) } else { Target::Draft(&draft) };
        self.fill(target, input, Operation::Append, tag, session).await
    }

    /// Writes the input's rows and commits them.
    async fn fill(
        &self,
        target: Target<'_>,
        input: LogicalPlan,
        operation: Operation,
        tag: Option<&CommitTag>,
        session: &StatementSession,
    ) -> Result<u64> {
        let spec = WriteSpec::of(target.table())?;
        let written = match target {
            // Nobody but this process was lent what opens the files of a table that the catalog does not know yet.
            Target::Draft(draft) if vended_address(draft.table()).is_some() => match self.run(&input, session).await {
                Ok(rows) => write_here(&spec, rows, session, &self.local).await,
                Err(e) => Err(e),
            },
            _ => self.write(&spec, input, session).await,
        };
        Ok(self.land(target, Some(spec), written, operation, tag).await?.unwrap_or(0))
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
        let operation = change.operation(&found)?;
        let target = Target::Table(&table, branch);
        let landed = match change.rewrite(&found)? {
            Some(rows) => {
                let spec = WriteSpec::of(table.table())?;
                let written = self.write(&spec, rows, session).await;
                self.land(target, Some(spec), written, operation, tag).await?
            }
            None => self.land(target, None, Ok(Vec::new()), operation, tag).await?,
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
        let commit = commit_of(table.table(), branch, Vec::new(), Operation::Truncate, tag);
        let done = self.warehouse.commit(commit).await?;
        Ok(if done.already { 0 } else { done.removed.rows })
    }

    pub(crate) async fn drop_table(&self, name: &TableReference, if_exists: bool) -> Result<u64> {
        match self.warehouse.drop_table(&identifier(name)?).await {
            Err(e) if if_exists && e.kind() == bergmill_catalog::ErrorKind::NotFound => Ok(0),
            other => Ok(other.map(|()| 0)?),
        }
    }

    /// Writes a stream of batches, in this process and on all its cores, and commits it.
    pub(crate) async fn ingest_stream(&self, target: &IngestTarget, input: SendableRecordBatchStream) -> Result<u64> {
        let namespace = target.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let ident = TableIdent::from_strs([namespace, &target.table]).map_err(bergmill_catalog::Error::from)?;
        let found = self.warehouse.find(&ident).await?;
        let (table, is_new) = match (found, target.mode) {
            (Some(_), IngestMode::Create) => {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("table {ident} already exists")));
            }
            (Some(table), _) => (table, false),
            (None, IngestMode::Append) => (self.warehouse.load(&ident).await?, false),
            (None, _) => {
                let new = bergmill_catalog::TableClauses::default().new_table(&input.schema());
                let new = new?;
                let draft = self.in_namespace(&ident, || self.warehouse.draft(&ident, new.clone())).await;
                (draft?, true)
            }
        };
        let pinned = IcebergTable::current(table)?;
        let table = if is_new { Target::Draft(&pinned) } else { Target::Table(&pinned, MAIN_BRANCH) };
        let session = self.session().await?;
        let spec = WriteSpec::of(pinned.table())?;
        let written = write_here(&spec, input, &session, &self.local).await;
        let operation = match (table, target.mode) {
            (Target::Table(..), IngestMode::Replace) => Operation::Replace(Replaced::All),
            _ => Operation::Append,
        };
        Ok(self.land(table, Some(spec), written, operation, target.tag.as_ref()).await?.unwrap_or(0))
    }

    /// Commits the files of a write, and removes those that did not become part of the table; `spec` says where they are, if
    /// any were to be written. Returns how many rows were written; `None` if the same work had been committed before.
    async fn land(
        &self,
        target: Target<'_>,
        spec: Option<WriteSpec>,
        written: Result<Vec<RecordBatch>>,
        operation: Operation,
        tag: Option<&CommitTag>,
    ) -> Result<Option<u64>> {
        let metadata = target.table().metadata();
        let added = written.and_then(|batches| Ok(data_files(&batches, metadata)?));
        let added = match added {
            Ok(added) => added,
            Err(e) => {
                // Tasks that had ended well have left whole files.
                remove_leftovers(&self.runtime, spec.as_ref(), &[]).await;
                return Err(e);
            }
        };
        let rows = added.iter().map(|f| f.record_count()).sum();
        let commit = commit_of(target.table(), target.branch(), added.clone(), operation, tag);
        let (draft, definition) = match target {
            Target::Draft(draft) => (Some(draft.table().clone()), None),
            Target::Replacement(draft, new) => (Some(draft.table().clone()), Some(new.clone())),
            Target::Table(..) => (None, None),
        };
        let (warehouse, runtime) = (self.warehouse.clone(), Arc::clone(&self.runtime));
        // A task of its own, so that a client that goes away leaves neither a half-done commit nor files of nobody.
        let committing = tokio::spawn(async move {
            let done = match (draft, definition) {
                (Some(draft), None) => warehouse.create_with(draft, commit).await,
                (Some(draft), Some(new)) => warehouse.replace_with(draft, new, commit).await,
                (None, _) => warehouse.commit(commit).await,
            };
            let kept = match &done {
                Ok(done) if !done.already => added.as_slice(),
                // Whether the files are part of the table cannot be known, so they must stay.
                Err(e) if e.kind() == bergmill_catalog::ErrorKind::Unknown => added.as_slice(),
                _ => &[],
            };
            remove_leftovers(&runtime, spec.as_ref(), kept).await;
            done
        });
        let done = committing.await.map_err(|e| {
            Error::new(ErrorKind::OutcomeUnknown, format!("it is unknown whether the commit happened: {e}"))
        })?;
        let done = done?;
        Ok(if done.already { None } else { Some(rows) })
    }
}

fn commit_of(
    table: &Table,
    branch: &str,
    added: Vec<DataFile>,
    operation: Operation,
    tag: Option<&CommitTag>,
) -> Commit {
    let (key, summary) = match tag {
        Some(tag) => (CommitKey::new(&tag.key), tag.summary.clone()),
        None => (CommitKey::unique(), BTreeMap::new()),
    };
    let (ident, branch, base) = (table.identifier().clone(), branch.to_string(), Base::of(table, branch));
    Commit { table: ident, branch, base, operation, added, key, summary }
}

/// What a write is for.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// A branch of a table that is there.
    Table(&'a IcebergTable, &'a str),
    /// One that nobody sees until its rows are there.
    Draft(&'a IcebergTable),
    /// Another definition of a table that is there, which nobody sees until its rows are there.
    Replacement(&'a IcebergTable, &'a NewTable),
}

impl Target<'_> {
    fn table(&self) -> &Table {
        match self {
            Self::Table(table, _) | Self::Draft(table) | Self::Replacement(table, _) => table.table(),
        }
    }

    fn branch(&self) -> &str {
        match self {
            Self::Table(_, branch) => branch,
            Self::Draft(_) | Self::Replacement(..) => MAIN_BRANCH,
        }
    }
}

/// Removes the files of a write that no snapshot names. What cannot be removed is in nobody's way.
async fn remove_leftovers(runtime: &RuntimeEnv, spec: Option<&WriteSpec>, kept: &[DataFile]) {
    // Without a write there is nothing to look for, and looking is a listing of the bucket.
    let Some(spec) = spec else { return };
    if let Err(e) = delete_leftovers(runtime, spec, kept).await {
        tracing::warn!("files that no snapshot names could not be removed: {e}");
    }
}

/// Writes a stream of batches in this process, on all its cores.
async fn write_here(
    spec: &WriteSpec,
    input: SendableRecordBatchStream,
    session: &StatementSession,
    local: &LocalRuntime,
) -> Result<Vec<RecordBatch>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let input = one_stream(input)?;
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
pub(crate) fn identifier(name: &TableReference) -> Result<TableIdent> {
    if let Some(catalog) = name.catalog().filter(|c| *c != CATALOG) {
        let what = format!("catalog {catalog} not found; there is {CATALOG}");
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    let namespace = name.schema().unwrap_or(DEFAULT_NAMESPACE);
    Ok(TableIdent::from_strs([namespace, name.table()]).map_err(bergmill_catalog::Error::from)?)
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
