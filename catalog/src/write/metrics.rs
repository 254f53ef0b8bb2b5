//! Column metrics of a data file in its manifest: sizes, counts and bounds, by which readers skip the file.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema as ArrowSchema};
use iceberg::spec::{Datum, PrimitiveType, Schema};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use super::metrics_mode::{MetricsMode, MetricsModes};
use super::writer_properties::leaf_id;
use crate::error::Result;
use crate::table::transform::above_all_with;

/// Metrics of one file, by field id.
#[derive(Debug, Default)]
pub(super) struct FileMetrics {
    pub(super) column_sizes: BTreeMap<i32, u64>,
    pub(super) value_counts: BTreeMap<i32, u64>,
    pub(super) null_value_counts: BTreeMap<i32, u64>,
    pub(super) nan_value_counts: BTreeMap<i32, u64>,
    pub(super) lower_bounds: BTreeMap<i32, Datum>,
    pub(super) upper_bounds: BTreeMap<i32, Datum>,
    pub(super) split_offsets: Vec<i64>,
}

/// The metrics of a closed file.
pub(super) fn file_metrics(
    schema: &Schema,
    modes: &MetricsModes,
    file: &ParquetMetaData,
    nans: &NanCounts,
) -> Result<FileMetrics> {
    let mut metrics = FileMetrics::default();
    let columns = file.file_metadata().schema_descr().columns();
    for (index, leaf) in columns.iter().enumerate() {
        let Some(id) = leaf_id(leaf.self_type()) else { continue };
        let Some(ty) = schema.field_by_id(id).and_then(|f| f.field_type.as_primitive_type()) else { continue };
        let chunks = || file.row_groups().iter().map(move |group| group.column(index));

        let size: i64 = chunks().map(|c| c.compressed_size()).sum();
        metrics.column_sizes.insert(id, size.unsigned_abs());
        let mode = modes.of_column(id);
        if mode == MetricsMode::None {
            continue;
        }
        let values: i64 = chunks().map(|c| c.num_values()).sum();
        metrics.value_counts.insert(id, values.unsigned_abs());
        let nulls: Option<u64> = chunks().map(|c| c.statistics().and_then(Statistics::null_count_opt)).sum();
        if let Some(nulls) = nulls {
            metrics.null_value_counts.insert(id, nulls);
        }
        if let Some(count) = nans.counts.get(&id) {
            metrics.nan_value_counts.insert(id, *count);
        }
        // Bounds of a list's elements say nothing about its rows.
        if mode != MetricsMode::Counts && leaf.max_rep_level() == 0 {
            let (lower, upper) = bounds(ty, mode, chunks().map(|c| c.statistics()));
            metrics.lower_bounds.extend(lower.map(|bound| (id, bound)));
            metrics.upper_bounds.extend(upper.map(|bound| (id, bound)));
        }
    }
    metrics.split_offsets = file.row_groups().iter().filter_map(|group| offset(group.columns().first()?)).collect();
    Ok(metrics)
}

fn offset(chunk: &parquet::file::metadata::ColumnChunkMetaData) -> Option<i64> {
    i64::try_from(chunk.byte_range().0).ok()
}

/// Bounds of a column over all its row groups; row groups with only nulls have no bounds and are skipped.
fn bounds<'a>(
    ty: &PrimitiveType,
    mode: MetricsMode,
    groups: impl Iterator<Item = Option<&'a Statistics>>,
) -> (Option<Datum>, Option<Datum>) {
    let (mut lower, mut upper): (Option<Datum>, Option<Datum>) = (None, None);
    for statistics in groups {
        let Some(statistics) = statistics else { return (None, None) };
        let (min, max) = (datum(ty, statistics, false), datum(ty, statistics, true));
        let (Some(min), Some(max)) = (min, max) else {
            if has_only_nulls_or_nans(statistics) {
                continue;
            }
            return (None, None);
        };
        if lower.as_ref().is_none_or(|l| min < *l) {
            lower = Some(min);
        }
        if upper.as_ref().is_none_or(|u| max > *u) {
            upper = Some(max);
        }
    }
    match mode {
        MetricsMode::Truncate(width) => {
            (lower.map(|bound| truncate_lower(bound, width)), upper.and_then(|bound| truncate_upper(bound, width)))
        }
        _ => (lower, upper),
    }
}

/// Parquet omits minimum and maximum when there is no value to compare; NaN does not count.
fn has_only_nulls_or_nans(statistics: &Statistics) -> bool {
    statistics.min_bytes_opt().is_none() && statistics.max_bytes_opt().is_none()
}

/// One end of a column chunk's statistics as an Iceberg value.
fn datum(ty: &PrimitiveType, statistics: &Statistics, max: bool) -> Option<Datum> {
    fn end<'a, T>(min: Option<&'a T>, max: Option<&'a T>, want_max: bool) -> Option<&'a T> {
        if want_max { max } else { min }
    }
    let bytes = match statistics {
        Statistics::Boolean(s) => vec![u8::from(*end(s.min_opt(), s.max_opt(), max)?)],
        Statistics::Int32(s) => {
            let v = *end(s.min_opt(), s.max_opt(), max)?;
            match ty {
                PrimitiveType::Decimal { .. } => i128::from(v).to_be_bytes().to_vec(),
                _ => v.to_le_bytes().to_vec(),
            }
        }
        Statistics::Int64(s) => {
            let v = *end(s.min_opt(), s.max_opt(), max)?;
            match ty {
                PrimitiveType::Decimal { .. } => i128::from(v).to_be_bytes().to_vec(),
                _ => v.to_le_bytes().to_vec(),
            }
        }
        Statistics::Float(s) => end(s.min_opt(), s.max_opt(), max)?.to_le_bytes().to_vec(),
        Statistics::Double(s) => end(s.min_opt(), s.max_opt(), max)?.to_le_bytes().to_vec(),
        Statistics::ByteArray(s) => end(s.min_opt(), s.max_opt(), max)?.data().to_vec(),
        Statistics::FixedLenByteArray(s) => {
            // A truncated bound would not be a value of the type.
            let exact = if max { s.max_is_exact() } else { s.min_is_exact() };
            if !exact {
                return None;
            }
            end(s.min_opt(), s.max_opt(), max)?.data().to_vec()
        }
        Statistics::Int96(_) => return None,
    };
    Datum::try_from_bytes(&bytes, ty.clone()).ok()
}

fn truncate_lower(bound: Datum, width: usize) -> Datum {
    use iceberg::spec::PrimitiveLiteral as L;
    match (bound.data_type(), bound.literal()) {
        (PrimitiveType::String, L::String(text)) => Datum::string(text.chars().take(width).collect::<String>()),
        (PrimitiveType::Binary, L::Binary(bytes)) => Datum::binary(bytes.iter().copied().take(width)),
        _ => bound,
    }
}

/// The least text (or bytes) of at most `width` characters that is above all values with the same first `width`
/// characters as `bound`; `None` if there is none.
fn truncate_upper(bound: Datum, width: usize) -> Option<Datum> {
    use iceberg::spec::PrimitiveLiteral as L;
    match (bound.data_type(), bound.literal()) {
        (PrimitiveType::String, L::String(text)) if text.chars().count() > width => {
            above_all_with(text.chars().take(width)).map(Datum::string)
        }
        (PrimitiveType::Binary, L::Binary(bytes)) if bytes.len() > width => {
            let mut kept = bytes[..width].to_vec();
            while let Some(last) = kept.pop() {
                if let Some(next) = last.checked_add(1) {
                    kept.push(next);
                    return Some(Datum::binary(kept));
                }
            }
            None
        }
        _ => Some(bound),
    }
}

/// Number of NaNs written so far, by field id: Parquet does not count them.
#[derive(Debug, Default)]
pub(super) struct NanCounts {
    counts: HashMap<i32, u64>,
}

impl NanCounts {
    /// Counts the NaNs of a batch that has field ids in its schema.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            self.add_column(field, column, None);
        }
    }

    fn add_column(&mut self, field: &arrow::datatypes::Field, column: &ArrayRef, parent: Option<&NullBuffer>) {
        let valid = NullBuffer::union(column.nulls(), parent);
        let is_valid = |row: usize| valid.as_ref().is_none_or(|v| v.is_valid(row));
        let nans = match column.data_type() {
            DataType::Float32 => {
                let values = column.as_primitive::<Float32Type>().values();
                values.iter().enumerate().filter(|(row, v)| v.is_nan() && is_valid(*row)).count()
            }
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>().values();
                values.iter().enumerate().filter(|(row, v)| v.is_nan() && is_valid(*row)).count()
            }
            DataType::Struct(fields) => {
                for (field, child) in fields.iter().zip(column.as_struct().columns()) {
                    self.add_column(field, child, valid.as_ref());
                }
                return;
            }
            // Counts of repeated values are of no use to a reader.
            _ => return,
        };
        let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY).and_then(|id| id.parse().ok());
        if let Some(id) = id {
            *self.counts.entry(id).or_default() += nans as u64;
        }
    }

    /// Whether a schema has columns to count NaNs in.
    pub(super) fn needed(schema: &ArrowSchema) -> bool {
        fn has_floats(ty: &DataType) -> bool {
            match ty {
                DataType::Float32 | DataType::Float64 => true,
                DataType::Struct(fields) => fields.iter().any(|f| has_floats(f.data_type())),
                _ => false,
            }
        }
        schema.fields().iter().any(|f| has_floats(f.data_type()))
    }
}
