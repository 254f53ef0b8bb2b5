//! A table pinned to one snapshot, as DataFusion sees it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use iceberg::spec::{MAIN_BRANCH, SchemaRef as Columns, SnapshotRef};
use iceberg::table::Table;
use tokio::sync::OnceCell;

use super::metadata_columns;
use super::scan::{self, ScanInput};
use crate::bridge;
use crate::error::{Error, Result};
use crate::table::commit::ReadFilter;
use crate::table::files::{SnapshotFiles, SnapshotFilesCache, StatementFiles, has_deletes};
use crate::table::live_file::LiveFile;
use crate::table::pruning::{self, FileChoice, Numbered, Predicate, is_decided_by_partition};
use crate::table::references::References;
use crate::table::version::{State, Version};

/// Rows of a snapshot, in its summary (the Iceberg specification, appendix F).
const TOTAL_RECORDS: &str = "total-records";

/// The Arrow type that text is read as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TextType {
    /// Each value with its own bytes, which is compact to send between processes.
    #[default]
    Utf8,
    /// Views of shared buffers: joins, sorts and aggregates copy 16 bytes per value. A batch keeps the whole buffers
    /// of its views alive, and would send all of them.
    Utf8View,
}

/// An Iceberg table at the snapshot it had when the statement was planned, or at the one that the statement names.
/// Concurrent commits are not seen.
#[derive(Debug, Clone)]
pub struct IcebergTable {
    table: Table,
    snapshot: Option<SnapshotRef>,
    /// The table's own columns, in Iceberg's terms.
    columns: Columns,
    text: TextType,
    /// The table's own columns.
    own: SchemaRef,
    /// The columns that are offered: the table's own, then the metadata columns if requested.
    schema: SchemaRef,
    /// The numbers of the files to read; `None` reads all files.
    only: Option<Arc<BTreeSet<usize>>>,
    files: OnceCell<Arc<SnapshotFiles>>,
    /// Whether `files` is a given list rather than the files of the snapshot.
    is_listed: bool,
    read: Arc<StatementFiles>,
}

impl IcebergTable {
    /// Pins `table` to its current snapshot.
    pub fn current(table: Table) -> Result<Self> {
        let state = State::current(table.metadata());
        Self::pinned(table, state)
    }

    fn pinned(table: Table, State { snapshot, columns }: State) -> Result<Self> {
        let own = Arc::new(bridge::plain_arrow_schema(&columns)?);
        let (text, schema, files, read) = (TextType::Utf8, Arc::clone(&own), OnceCell::new(), Arc::default());
        Ok(Self { table, snapshot, columns, text, own, schema, only: None, files, is_listed: false, read })
    }

    /// The table at another version, by the same metadata.
    ///
    /// # Errors
    /// `NotFound` if there is no such snapshot, branch or tag.
    pub fn at(&self, version: &Version) -> Result<Self> {
        self.with_state(version.state(self.table.metadata())?)
    }

    fn with_state(&self, state: State) -> Result<Self> {
        let at = Self { read: Arc::clone(&self.read), ..Self::pinned(self.table.clone(), state)? }.with_text(self.text);
        Ok(if self.offers_metadata_columns() { at.with_metadata_columns() } else { at })
    }

    /// Caches the snapshot's files in `cache`.
    pub(crate) fn with_files_cache(self, cache: Arc<SnapshotFilesCache>) -> Self {
        Self { read: Arc::new(StatementFiles::new(cache)), ..self }
    }

    /// Reads text columns as `text`; text inside nested columns is always `Utf8`.
    pub fn with_text(self, text: TextType) -> Self {
        if text == TextType::Utf8 {
            return self;
        }
        let view = |f: &Arc<Field>| match f.data_type() {
            DataType::Utf8 => Arc::new(f.as_ref().clone().with_data_type(DataType::Utf8View)),
            _ => Arc::clone(f),
        };
        let schema = |all: &Schema| Arc::new(Schema::new(all.fields().iter().map(view).collect::<Vec<_>>()));
        Self { text, schema: schema(&self.schema), own: schema(&self.own), ..self }
    }

    /// The same table with the metadata columns after its own columns.
    pub fn with_metadata_columns(&self) -> Self {
        let own = self.own.fields().iter().cloned();
        let fields =
            own.chain(metadata_columns::file_fields()).chain([metadata_columns::position_field()]).collect::<Vec<_>>();
        Self { schema: Arc::new(Schema::new(fields)), ..self.clone() }
    }

    fn offers_metadata_columns(&self) -> bool {
        self.schema.fields().len() > self.own.fields().len()
    }

    /// The same table restricted to these files, by their numbers as in column `$file`.
    pub fn with_files(&self, numbers: BTreeSet<usize>) -> Self {
        Self { only: Some(Arc::new(numbers)), ..self.clone() }
    }

    /// The same table as if it consisted of these files, which may be of any snapshots.
    pub(crate) fn with_list(&self, files: SnapshotFiles) -> Self {
        Self { files: OnceCell::new_with(Some(Arc::new(files))), is_listed: true, ..self.clone() }
    }

    /// The rows that a statement with these filters reads, for the conflict check of its commit.
    pub(crate) fn read_filter(&self, filters: &[Expr]) -> ReadFilter {
        ReadFilter::new(Predicate::all(filters, &self.columns))
    }

    /// The live data files that may have a row that matches the condition (inclusive projection on the manifests), each
    /// with its number and whether the condition fully matches it (strict projection). Without a condition, all files
    /// fully match.
    pub(crate) async fn files_for(&self, condition: Option<&Expr>) -> Result<Vec<(usize, Arc<LiveFile>, bool)>> {
        let metadata = self.table.metadata();
        let predicate = Predicate::all(condition.map_or(&[], std::slice::from_ref), &self.columns);
        let (files, _) = self.files_that_may_match(&predicate, true).await?;
        let fully_matches = |file: &LiveFile| {
            condition.is_none() || pruning::fully_matches(&predicate, &file.data_file, file.spec_id, metadata)
        };
        Ok(files.into_iter().map(|(number, file)| (number, Arc::clone(&file), fully_matches(&file))).collect())
    }

    /// The live data files that may have a row that matches the predicate, in manifest order, and the total number of
    /// data files. With `needs_numbers`, the files' numbers are guaranteed to be the same in each scan.
    async fn files_that_may_match(&self, predicate: &Predicate, needs_numbers: bool) -> Result<(Vec<Numbered>, usize)> {
        let (metadata, only) = (self.table.metadata(), self.only.as_deref());
        let choice = FileChoice { predicate, metadata, only, needs_numbers };
        let Some(snapshot) = self.snapshot.as_ref().filter(|_| !self.is_listed) else {
            let all = self.files().await?;
            return Ok((choice.of(&all.data, 0), all.data.len()));
        };
        let (files, count) = self.read.chosen(&self.table, snapshot, &choice).await?;
        Ok((files, only.map_or(count, BTreeSet::len)))
    }

    /// The same table at a branch to write to.
    ///
    /// # Errors
    /// `NotFound` if the table has no such branch, `Invalid` if it is a tag.
    pub fn at_branch(&self, branch: &str) -> Result<Self> {
        let with_context = |e: Error| e.context(format_args!("table {}", self.table.identifier()));
        if branch != MAIN_BRANCH {
            References::of(self.table.metadata())?.branch(branch).map_err(with_context)?;
        }
        self.with_state(State::of_branch(self.table.metadata(), branch))
    }

    /// The table's metadata and location.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The table's identity, which it keeps when it is renamed, and which no other table ever has.
    pub fn id(&self) -> String {
        self.table.metadata().uuid().to_string()
    }

    /// Whether new files are divided by partition.
    pub fn is_partitioned(&self) -> bool {
        !self.table().metadata().default_partition_spec().is_unpartitioned()
    }

    /// The snapshot that is read; `None` for a table without snapshots.
    pub fn snapshot(&self) -> Option<&SnapshotRef> {
        self.snapshot.as_ref()
    }

    /// All live files of the snapshot, including those of row-level deletes.
    pub(crate) async fn all_files(&self) -> Result<Arc<SnapshotFiles>> {
        let load = || async {
            match &self.snapshot {
                Some(snapshot) => self.read.load(&self.table, snapshot).await,
                None => Ok(Arc::default()),
            }
        };
        Ok(Arc::clone(self.files.get_or_try_init(load).await?))
    }

    /// All live files of the snapshot.
    ///
    /// # Errors
    /// `Unsupported` if the snapshot has row-level deletes.
    pub async fn files(&self) -> Result<Arc<SnapshotFiles>> {
        let files = self.all_files().await?;
        if !files.deletes.is_empty() {
            return Err(has_deletes(&self.table));
        }
        Ok(files)
    }
}

#[async_trait]
impl TableProvider for IcebergTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let predicate = Predicate::all(filters, &self.columns);
        let (files, count) = self.files_that_may_match(&predicate, self.offers_metadata_columns()).await?;
        let input = ScanInput {
            table: &self.table,
            columns: &self.columns,
            own: &self.own,
            schema: &self.schema,
            snapshot: self.snapshot.as_ref(),
            pruned: count - files.len(),
            files,
        };
        scan::plan(&input, state, projection, filters, limit).await
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let (metadata, columns) = (self.table.metadata(), &self.columns);
        let decide = |f: &&Expr| match is_decided_by_partition(f, metadata, columns) {
            // FALSE stays in the plan, where the optimizer finds that there are no rows.
            _ if f.column_refs().is_empty() => TableProviderFilterPushDown::Unsupported,
            true => TableProviderFilterPushDown::Exact,
            // Prunes files; DataFusion pushes the filter itself into the Parquet reader later, if worthwhile.
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(decide).collect())
    }

    /// Reports only empty tables, by the snapshot's summary; the statistics of a scan are computed when it is planned.
    fn statistics(&self) -> Option<Statistics> {
        let records = |snapshot: &SnapshotRef| snapshot.summary().additional_properties.get(TOTAL_RECORDS).cloned();
        let is_empty = !self.is_listed
            && match &self.snapshot {
                Some(snapshot) => records(snapshot).is_some_and(|count| count == "0"),
                None => true,
            };
        is_empty.then(|| Statistics { num_rows: Precision::Exact(0), ..Statistics::new_unknown(&self.schema) })
    }
}
