//! From a query's filters to DataFusion's Parquet scan: which files, in which groups, with which statistics.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use iceberg::spec::{DataFileFormat, TableMetadata};

use super::predicate::iceberg_predicate;
use super::provider::IcebergTable;
use super::statistics::file_statistics;
use crate::error::{Error, ErrorKind, Result};
use crate::files::LiveFile;
use crate::location::Location;

/// Below this a byte range is not worth a task of its own.
const MIN_SPLIT_BYTES: u64 = 4 * 1024 * 1024;
/// Footers of our own files are a few KiB a row group; one read of this size gets them without a second request.
const FOOTER_HINT_BYTES: usize = 256 * 1024;

/// What one scan was planned to read, for `EXPLAIN ANALYZE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanReport {
    /// `namespace.table`.
    pub table: String,
    /// Snapshot that is read.
    pub snapshot_id: Option<i64>,
    /// Data files that the query must open.
    pub files_planned: usize,
    /// Data files that partition values or column bounds rule out.
    pub files_pruned: usize,
    /// Size of the planned files in bytes.
    pub bytes_planned: u64,
}

/// Collects the reports of the scans that a session plans; a session without one collects nothing.
#[derive(Debug, Default)]
pub struct ScanLog(Mutex<Vec<ScanReport>>);

impl ScanLog {
    /// Takes the reports gathered since the last call.
    pub fn take(&self) -> Vec<ScanReport> {
        std::mem::take(&mut *self.lock())
    }

    fn push(&self, report: ScanReport) {
        self.lock().push(report);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ScanReport>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(super) async fn plan(
    table: &IcebergTable,
    state: &dyn Session,
    projection: Option<&Vec<usize>>,
    filters: &[Expr],
    limit: Option<usize>,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let metadata = table.table().metadata();
    let all = table.files().await?;
    let planned = prune(table, &all.data, filters).await?;
    if let Some(log) = state.config().get_extension::<ScanLog>() {
        log.push(ScanReport {
            table: table.table().identifier().to_string(),
            snapshot_id: table.snapshot().map(|s| s.snapshot_id()),
            files_planned: planned.len(),
            files_pruned: all.data.len() - planned.len(),
            bytes_planned: planned.iter().map(|f| f.data_file.file_size_in_bytes()).sum(),
        });
    }

    let schema = datafusion::catalog::TableProvider::schema(table);
    if planned.is_empty() {
        let projected = match projection {
            Some(columns) => Arc::new(schema.project(columns)?),
            None => schema,
        };
        // Not an `EmptyExec`: under a UNION, Ballista 55 loses the status of its task (see `engine`'s `union_leaves`).
        let nothing = MemorySourceConfig::try_new(&[vec![]], projected, None)?;
        return Ok(DataSourceExec::from_data_source(nothing));
    }
    check_names(metadata, &planned)?;
    let store = only_store(table, &planned)?;
    let mut files = Vec::with_capacity(planned.len());
    for file in &planned {
        files.push(partitioned_file(table, file, &schema)?);
    }
    let statistics = Statistics::try_merge_iter(files.iter().filter_map(|f| f.statistics.as_deref()), &schema)?;
    let store = ObjectStoreUrl::parse(store)?;
    let options =
        TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
    let object_store = state.runtime_env().object_store(&store)?;
    let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let source = ParquetSource::new(Arc::clone(&schema))
        .with_table_parquet_options(options)
        .with_metadata_size_hint(FOOTER_HINT_BYTES)
        .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(object_store, cache)));
    let groups = split(files, state.config().target_partitions());
    let config = FileScanConfigBuilder::new(store, Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_projection_indices(projection.cloned())?
        .with_limit(limit)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// The store of all the files. `write.data.path` may have named another bucket than the table's, which is as good, but a scan has one.
fn only_store(table: &IcebergTable, files: &[Arc<LiveFile>]) -> Result<String> {
    let mut stores = BTreeSet::new();
    for file in files {
        stores.insert(Location::parse(file.data_file.file_path())?.store_url().to_string());
    }
    match stores.pop_first() {
        Some(only) if stores.is_empty() => Ok(only),
        first => {
            let all: Vec<String> = first.into_iter().chain(stores).collect();
            let what = format!("table {} has data files in {}", table.table().identifier(), all.join(" and "));
            Err(Error::new(ErrorKind::Unsupported, format!("{what}; a query that needs more than one cannot run yet")))
        }
    }
}

/// The files that the filters leave, in manifest order.
async fn prune(table: &IcebergTable, all: &[Arc<LiveFile>], filters: &[Expr]) -> Result<Vec<Arc<LiveFile>>> {
    let predicate = iceberg_predicate(filters, table.table().metadata().current_schema());
    let (Some(predicate), Some(snapshot)) = (predicate, table.snapshot()) else { return Ok(all.to_vec()) };
    let scan =
        table.table().scan().snapshot_id(snapshot.snapshot_id()).with_filter(predicate).select_empty().build()?;
    let keep: HashSet<String> =
        scan.plan_files().await?.map_ok(|task| task.data_file_path).try_collect().await.map_err(Error::from)?;
    Ok(all.iter().filter(|f| keep.contains(f.data_file.file_path())).cloned().collect())
}

/// Refuses files in which a column has another name than in the table now: columns are found by name in a file, so such a
/// column would read as NULL.
fn check_names(metadata: &TableMetadata, files: &[Arc<LiveFile>]) -> Result<()> {
    let current = metadata.current_schema();
    let written: BTreeSet<i32> = files.iter().map(|f| f.schema_id).filter(|id| *id != current.schema_id()).collect();
    for schema in written.iter().filter_map(|id| metadata.schema_by_id(*id)) {
        for (id, name) in current.field_id_to_name_map().iter().collect::<BTreeMap<_, _>>() {
            let renamed = schema.name_by_field_id(*id).is_some_and(|old| old != name);
            let reused = schema.field_id_by_name(name).is_some_and(|old| old != *id);
            if renamed || reused {
                let what =
                    format!("column {name} was renamed, or replaced by another of its name, after files were written");
                return Err(Error::new(ErrorKind::Unsupported, format!("{what}; such files cannot be read yet")));
            }
        }
    }
    Ok(())
}

fn partitioned_file(table: &IcebergTable, file: &LiveFile, schema: &Schema) -> Result<PartitionedFile> {
    let data = &file.data_file;
    if data.file_format() != DataFileFormat::Parquet {
        let what = format!("{} is a {} file; only Parquet is read", data.file_path(), data.file_format());
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let metadata = table.table().metadata();
    let spec = metadata.partition_spec_by_id(file.spec_id);
    let statistics = file_statistics(data, metadata.current_schema(), spec.map(AsRef::as_ref), schema);
    let path = Location::parse(data.file_path())?.path()?;
    let meta = object_store::ObjectMeta {
        location: path,
        // Data files never change, so any fixed time is a sound version for the footer cache.
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: data.file_size_in_bytes(),
        e_tag: None,
        version: None,
    };
    Ok(PartitionedFile::new_from_meta(meta).with_statistics(Arc::new(statistics)))
}

/// Spreads the files over `partitions` groups of about equal bytes, cutting files into byte ranges where that is needed.
/// A row group belongs to the range in which it begins.
fn split(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let total: u64 = files.iter().map(|f| f.object_meta.size).sum();
    let wanted = total.div_ceil(u64::try_from(partitions.max(1)).unwrap_or(1)).max(MIN_SPLIT_BYTES);
    let mut groups = Vec::new();
    let (mut group, mut room) = (Vec::new(), wanted);
    for file in files {
        let size = file.object_meta.size;
        let mut start = 0;
        while start < size {
            // A rest that is too small for a range of its own stays with what stands before it.
            let left = size - start;
            let take = if left <= room + MIN_SPLIT_BYTES / 2 { left } else { room };
            let whole = take == size;
            let part = if whole { file.clone() } else { range(&file, start, start + take) };
            group.push(part);
            start += take;
            room = room.saturating_sub(take);
            if room == 0 {
                groups.push(FileGroup::new(std::mem::take(&mut group)));
                room = wanted;
            }
        }
    }
    if !group.is_empty() {
        groups.push(FileGroup::new(group));
    }
    groups
}

fn range(file: &PartitionedFile, start: u64, end: u64) -> PartitionedFile {
    let as_offset = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut part = file.clone().with_range(as_offset(start), as_offset(end));
    // The file's counts say nothing exact about a part of it.
    part.statistics = part.statistics.map(|s| Arc::new(s.as_ref().clone().to_inexact()));
    part
}
