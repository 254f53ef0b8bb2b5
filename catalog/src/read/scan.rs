//! Plans DataFusion's Parquet scan of a table: which files, in which groups, with which statistics.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arrow::datatypes::{Schema, SchemaRef};
use bergmill_storage::Location;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;
use iceberg::spec::{DataFileFormat, SchemaRef as Columns, SnapshotRef, Type};
use iceberg::table::Table;

use super::data_file::{FOOTER_HINT_BYTES, object_meta};
use super::field_ids::{self, Group};
use super::metadata_columns::{file_fields, file_values};
use super::row_position::RowPositionExec;
use super::statistics::file_statistics;
use crate::bridge;
use crate::error::{Error, ErrorKind, Result};
use crate::table::live_file::LiveFile;
use crate::table::pruning::Numbered;
use crate::table::vended_address;

/// Smallest byte range that is worth a task of its own.
const MIN_SPLIT_BYTES: u64 = 4 * 1024 * 1024;

/// What a scan is planned to read, for `EXPLAIN ANALYZE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanReport {
    /// `namespace.table`.
    pub table: String,
    /// Snapshot that is read.
    pub snapshot_id: Option<i64>,
    /// Number of data files that the query must open.
    pub files_planned: usize,
    /// Number of data files that partition values or column bounds rule out.
    pub files_pruned: usize,
    /// Size of the planned files in bytes.
    pub bytes_planned: u64,
    /// Size of the files that were ruled out in bytes, if the snapshot's summary has the size of all.
    pub bytes_pruned: Option<u64>,
}

/// Collects the reports of the scans that a session plans; a session without one collects nothing.
#[derive(Debug, Default)]
pub struct ScanLog(Mutex<Vec<ScanReport>>);

impl ScanLog {
    /// The reports since the last call of [`clear`](Self::clear).
    pub fn reports(&self) -> Vec<ScanReport> {
        self.lock().clone()
    }

    /// Forgets all reports.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn push(&self, report: ScanReport) {
        self.lock().push(report);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ScanReport>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The size of a snapshot's files, if its summary has it.
fn bytes_of_all(snapshot: &SnapshotRef) -> Option<u64> {
    snapshot.summary().additional_properties.get("total-files-size")?.parse().ok()
}

/// The input of [`plan`].
#[derive(Debug)]
pub(super) struct ScanInput<'a> {
    /// The table, for its metadata and its storage.
    pub(super) table: &'a Table,
    /// The table's own columns, in Iceberg's terms.
    pub(super) columns: &'a Columns,
    /// The same columns with the Arrow types that are read.
    pub(super) own: &'a SchemaRef,
    /// The columns that are offered: the table's own, then the metadata columns if requested.
    pub(super) schema: &'a SchemaRef,
    /// The snapshot that is read.
    pub(super) snapshot: Option<&'a SnapshotRef>,
    /// The files that may have matching rows.
    pub(super) files: Vec<Numbered>,
    /// Number of the other files.
    pub(super) pruned: usize,
}

/// Plans the scan of the files, with the columns at `projection`. The scan may leave out rows that do not match
/// `filters`.
pub(super) async fn plan(
    input: &ScanInput<'_>,
    state: &dyn Session,
    projection: Option<&Vec<usize>>,
    filters: &[Expr],
    limit: Option<usize>,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let planned = &input.files;
    if let Some(log) = state.config().get_extension::<ScanLog>() {
        let bytes_planned = planned.iter().map(|(_, f)| f.data_file.file_size_in_bytes()).sum();
        log.push(ScanReport {
            table: input.table.identifier().to_string(),
            snapshot_id: input.snapshot.map(|s| s.snapshot_id()),
            files_planned: planned.len(),
            files_pruned: input.pruned,
            bytes_planned,
            bytes_pruned: input.snapshot.and_then(|s| bytes_of_all(s)?.checked_sub(bytes_planned)),
        });
    }

    let schema = input.schema;
    if planned.is_empty() {
        let projected = match projection {
            Some(columns) => Arc::new(schema.project(columns)?),
            None => Arc::clone(schema),
        };
        // Not an `EmptyExec`: under a UNION, Ballista 55 loses the status of its task (see `stages/leaves.rs` of the
        // scheduler).
        let nothing = MemorySourceConfig::try_new(&[vec![]], projected, None)?;
        return Ok(DataSourceExec::from_data_source(nothing));
    }
    let partitions = state.config().target_partitions();
    let bytes = |files: &[Numbered]| files.iter().map(|(_, f)| f.data_file.file_size_in_bytes()).sum::<u64>();
    let all_bytes = bytes(planned).max(1);
    let selected = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
    let mut scans = Vec::new();
    for group in field_ids::groups(input.table, input.columns, input.own, planned, state).await? {
        let share = u128::from(bytes(&group.files)) * partitions as u128 / u128::from(all_bytes);
        let share = usize::try_from(share).unwrap_or(partitions).max(1);
        let bounds = if filters.iter().any(is_misread) {
            Bounds::None
        } else if may_hold_nan(input, &group.files, &selected, filters) {
            Bounds::OfManifests
        } else {
            Bounds::All
        };
        scans.push(scan_group(input, state, &group, &selected, limit, share, bounds)?);
    }
    match <[_; 1]>::try_from(scans) {
        Ok([scan]) => Ok(scan),
        Err(scans) => UnionExec::try_new(scans),
    }
}

/// The bounds by which DataFusion may skip rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bounds {
    All,
    /// Without those in Parquet files.
    OfManifests,
    None,
}

/// Whether a floating-point column that the scan returns or filters by may hold NaN.
///
/// Bounds in Parquet files exclude NaN, but DataFusion 55 compares with them as if they did not (its issue 15812): it
/// would skip row groups and pages with matching rows.
fn may_hold_nan(input: &ScanInput<'_>, files: &[Numbered], selected: &[usize], filters: &[Expr]) -> bool {
    let filtered = filters.iter().flat_map(Expr::column_refs).map(|c| c.name.as_str());
    let mut names = selected.iter().map(|at| input.schema.field(*at).name().as_str()).chain(filtered);
    let is_float = |ty: &Type| ty.as_primitive_type().is_some_and(bridge::is_float);
    let has_none = |file: &LiveFile, id: i32| file.data_file.nan_value_counts().get(&id) == Some(&0);
    names.any(|name| match input.columns.field_by_name(name) {
        Some(field) => is_float(&field.field_type) && !files.iter().all(|(_, file)| has_none(file, field.id)),
        None => false,
    })
}

/// Whether DataFusion 55 misinterprets part of the filter when it compares with bounds.
///
/// `-c < 9` is not `c > -9` for the least integer, which is its own negative. A list of more than three values
/// distinguishes the zeros by their bits, but comparisons do not. TRY_CAST turns values that are not NULL into NULL.
fn is_misread(filter: &Expr) -> bool {
    let is_zero = |e: &Expr| match e {
        Expr::Literal(ScalarValue::Float32(Some(v)), _) => *v == 0.0,
        Expr::Literal(ScalarValue::Float64(Some(v)), _) => *v == 0.0,
        _ => false,
    };
    let misread = |e: &Expr| match e {
        Expr::Negative(_) | Expr::TryCast(_) => true,
        Expr::InList(list) => list.list.iter().any(is_zero),
        _ => false,
    };
    filter.exists(|e| Ok(misread(e))).unwrap_or(true)
}

/// Scans the files of a group for the columns at `selected` of the table, in about `partitions` partitions. `bounds`
/// decides which parts of the files may be skipped.
fn scan_group(
    input: &ScanInput<'_>,
    state: &dyn Session,
    group: &Group,
    selected: &[usize],
    limit: Option<usize>,
    partitions: usize,
    bounds: Bounds,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let (metadata, schema) = (input.table.metadata(), input.schema);
    let own = &group.schema;
    let has_metadata_columns = schema.fields().len() > own.fields().len();
    let of_files = if has_metadata_columns { file_fields() } else { Vec::new() };
    let columns = TableSchema::builder(Arc::clone(own)).with_table_partition_cols(of_files).build();
    let mut files = Vec::with_capacity(group.files.len());
    for (number, file) in &group.files {
        let values = if has_metadata_columns { file_values(*number, file, metadata) } else { Vec::new() };
        let mut file = partitioned_file(input, file, values, own)?;
        if bounds == Bounds::None {
            file = without_bounds(file);
        }
        files.push(file);
    }
    let of_files = files.iter().filter_map(|f| f.statistics.as_deref());
    let statistics = Statistics::try_merge_iter(of_files, columns.table_schema())?;
    let store = ObjectStoreUrl::parse(only_store(input.table, &group.files)?)?;
    let mut options =
        TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
    options.global.pruning &= bounds == Bounds::All;
    options.global.enable_page_index &= bounds == Bounds::All;
    let object_store = state.runtime_env().object_store(&store)?;
    let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let source = ParquetSource::new(columns.clone())
        .with_table_parquet_options(options)
        .with_metadata_size_hint(FOOTER_HINT_BYTES)
        .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(object_store, cache)));
    // The position is not in the files: it is the table's last column, and is added after the others.
    let position = columns.table_schema().fields().len();
    let mut read: Vec<usize> = selected.iter().copied().filter(|at| *at != position).collect();
    let numbered = read.len() < selected.len();
    let config = FileScanConfigBuilder::new(store, Arc::new(source))
        .with_file_groups(split(files, partitions))
        .with_statistics(of_columns(statistics, &read))
        .with_projection_indices(Some(read.clone()))?
        .with_limit(limit)
        .build();
    let mut scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
    if numbered {
        scan = Arc::new(RowPositionExec::try_new(scan)?);
        read.push(position);
    }
    let metadata_columns = schema.fields().iter().skip(own.fields().len());
    let named = Schema::new(group.named.fields().iter().chain(metadata_columns).cloned().collect::<Vec<_>>());
    in_order(field_ids::as_table(scan, &named.project(&read)?, &schema.project(&read)?)?, schema, selected)
}

/// Statistics whose total size is that of the columns at `read`.
///
/// A projection of DataFusion 55 recomputes the total only if all columns have a fixed width; otherwise joins and
/// exchanges would be planned for the bytes of the whole table.
fn of_columns(mut statistics: Statistics, read: &[usize]) -> Statistics {
    let size = |at: &usize| statistics.column_statistics.get(*at)?.byte_size.get_value().copied();
    if let Some(total) = read.iter().map(size).try_fold(0, |sum: usize, size| Some(sum.saturating_add(size?))) {
        statistics.total_byte_size = Precision::Inexact(total);
    }
    statistics
}

/// The columns at `selected` of `schema`, in that order.
fn in_order(
    scan: Arc<dyn ExecutionPlan>,
    schema: &Schema,
    selected: &[usize],
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let has = scan.schema();
    let is_so = selected.iter().zip(has.fields()).all(|(at, f)| schema.field(*at).name() == f.name());
    if is_so {
        return Ok(scan);
    }
    let column = |at: &usize| -> DataFusionResult<ProjectionExpr> {
        let name = schema.field(*at).name();
        Ok(ProjectionExpr::new(Arc::new(Column::new(name, has.index_of(name)?)), name.clone()))
    };
    let columns = selected.iter().map(column).collect::<DataFusionResult<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
}

/// The store of all the files. `write.data.path` may name another bucket than the table's, but a scan reads from one
/// store only.
fn only_store(table: &Table, files: &[Numbered]) -> Result<String> {
    let mut stores = BTreeSet::new();
    for (_, file) in files {
        stores.insert(Location::parse(file.data_file.file_path())?.store_url_for(vended_address(table)));
    }
    match stores.pop_first() {
        Some(only) if stores.is_empty() => Ok(only),
        first => {
            let all: Vec<String> = first.into_iter().chain(stores).collect();
            let what = format!("table {} has data files in {}", table.identifier(), all.join(" and "));
            Err(Error::new(ErrorKind::Unsupported, format!("{what}; a query that needs more than one cannot run yet")))
        }
    }
}

/// `values` are those of the metadata columns that are constant within the file.
fn partitioned_file(
    input: &ScanInput<'_>,
    file: &LiveFile,
    values: Vec<ScalarValue>,
    schema: &Schema,
) -> Result<PartitionedFile> {
    let data = &file.data_file;
    if data.file_format() != DataFileFormat::Parquet {
        let what = format!("{} is a {} file; only Parquet is read", data.file_path(), data.file_format());
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let spec = input.table.metadata().partition_spec_by_id(file.spec_id);
    let statistics = file_statistics(data, input.columns, spec.map(AsRef::as_ref), schema);
    // In this order, because `with_statistics` adds the statistics of the partition values.
    let file = PartitionedFile::new_from_meta(object_meta(file)?).with_partition_values(values);
    Ok(file.with_statistics(Arc::new(statistics)))
}

/// Distributes the files over `partitions` groups of about equal bytes, splitting files into byte ranges where needed.
/// A row group belongs to the range in which it starts.
fn split(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let total: u64 = files.iter().map(|f| f.object_meta.size).sum();
    let wanted = total.div_ceil(u64::try_from(partitions.max(1)).unwrap_or(1)).max(MIN_SPLIT_BYTES);
    let mut groups = Vec::new();
    let (mut group, mut room) = (Vec::new(), wanted);
    for file in files {
        let size = file.object_meta.size;
        let mut start = 0;
        while start < size {
            // A remainder that is too small for a range of its own stays with the range before it.
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
    // The file's counts are not exact for a part of it.
    without_bounds(file.clone().with_range(as_offset(start), as_offset(end)))
}

/// The file with inexact statistics, which guide planning but do not skip rows.
fn without_bounds(mut file: PartitionedFile) -> PartitionedFile {
    file.statistics = file.statistics.map(|s| Arc::new(s.as_ref().clone().to_inexact()));
    file
}

#[cfg(test)]
mod tests {
    use datafusion::common::ColumnStatistics;

    use super::*;

    #[test]
    fn the_size_of_a_scan_is_that_of_its_columns() {
        let check = |sizes: &[Option<usize>], read: &[usize], expected: usize| {
            let column = |size: &Option<usize>| ColumnStatistics {
                byte_size: size.map_or(Precision::Absent, Precision::Inexact),
                ..ColumnStatistics::new_unknown()
            };
            let table = Statistics {
                num_rows: Precision::Exact(10),
                total_byte_size: Precision::Inexact(1000),
                column_statistics: sizes.iter().map(column).collect(),
            };
            let of_scan = of_columns(table, read).total_byte_size;
            assert_eq!(of_scan, Precision::Inexact(expected), "{sizes:?} {read:?}");
        };
        check(&[Some(80), Some(900), Some(20)], &[0, 2], 100);
        check(&[Some(80), Some(900), Some(20)], &[], 0);
        check(&[Some(80), Some(usize::MAX), Some(20)], &[1, 2], usize::MAX);
        // Of a column of unknown size, the table's.
        check(&[Some(80), None], &[0, 1], 1000);
        check(&[Some(80), None], &[0], 80);
    }
}
