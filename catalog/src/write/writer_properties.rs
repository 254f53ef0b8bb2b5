//! Settings of the Parquet writer: from the table's properties, and the file's schema.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::Schema as ArrowSchema;
use iceberg::spec::{NestedFieldRef, NullOrder, PrimitiveType, SortDirection, Transform, Type as IcebergType};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, LogicalType, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnPath, SchemaDescriptor, Type, TypePtr};

use super::WriteSpec;
use super::metrics_mode::statistics_bytes;
use crate::error::{Error, ErrorKind, Result};

/// Rows in a row group, unless its bytes fill up first.
///
/// A row group is DataFusion's unit of work for a vcore and its first unit of pruning, so a day's file of some hundred
/// thousand rows should have several; beyond about this many rows, dictionaries and compression gain nothing more.
const ROW_GROUP_ROWS: usize = 262_144;
const ROW_GROUP_BYTES: usize = 128 << 20;
const PAGE_ROWS: usize = 20_000;
const PAGE_BYTES: usize = 1 << 20;
const DICTIONARY_BYTES: usize = 2 << 20;
const BLOOM_FILTER_FPP: f64 = 0.01;
const BLOOM_FILTER_BYTES: usize = 1 << 20;

/// Target size of a file in bytes, after which the next one starts.
const FILE_BYTES: usize = 512 << 20;

/// Checks the properties; fails for the first invalid value.
pub(super) fn check(spec: &WriteSpec) -> Result<()> {
    target_file_bytes(spec)?;
    writer_options(spec, &crate::bridge::arrow_schema(&spec.schema)?).map(|_| ())
}

pub(super) fn target_file_bytes(spec: &WriteSpec) -> Result<usize> {
    spec.parsed("write.target-file-size-bytes", FILE_BYTES)
}

pub(super) fn writer_options(spec: &WriteSpec, schema: &ArrowSchema) -> Result<ArrowWriterOptions> {
    let descriptor = parquet_schema(spec, schema)?;
    let properties = writer_properties(spec, &descriptor)?;
    Ok(ArrowWriterOptions::new()
        .with_properties(properties)
        // Readers use field ids and Iceberg's schema; an embedded Arrow schema could only contradict them.
        .with_skip_arrow_metadata(true)
        .with_parquet_schema(descriptor))
}

fn writer_properties(spec: &WriteSpec, descriptor: &SchemaDescriptor) -> Result<WriterProperties> {
    let group_rows = spec.parsed("write.parquet.row-group-limit", ROW_GROUP_ROWS)?.max(1);
    let group_bytes = spec.parsed("write.parquet.row-group-size-bytes", ROW_GROUP_BYTES)?.max(1);
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("bergmill version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(compression(spec)?)
        .set_max_row_group_row_count(Some(group_rows))
        .set_max_row_group_bytes(Some(group_bytes))
        .set_data_page_row_count_limit(spec.parsed("write.parquet.page-row-limit", PAGE_ROWS)?.max(1))
        .set_data_page_size_limit(spec.parsed("write.parquet.page-size-bytes", PAGE_BYTES)?)
        .set_dictionary_page_size_limit(spec.parsed("write.parquet.dict-size-bytes", DICTIONARY_BYTES)?)
        .set_dictionary_enabled(spec.parsed("write.parquet.dictionary-enabled", true)?)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(statistics_bytes(spec)?)
        .set_sorting_columns(sorting_columns(spec, descriptor));

    for (column, enabled) in spec.column_properties("write.parquet.bloom-filter-enabled.column.") {
        let Some(path) = leaf_path(spec, descriptor, column) else { continue };
        let enabled = enabled.trim().to_lowercase().parse().map_err(|_| {
            Error::new(ErrorKind::Invalid, format!("the bloom filter property of {column} is neither true nor false"))
        })?;
        let fpp: f64 = spec.parsed(&format!("write.parquet.bloom-filter-fpp.column.{column}"), BLOOM_FILTER_FPP)?;
        if !(fpp > 0.0 && fpp < 1.0) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("bloom filter of {column}: {fpp} is not a probability"),
            ));
        }
        let bytes = spec.parsed("write.parquet.bloom-filter-max-bytes", BLOOM_FILTER_BYTES)?;
        builder = builder.set_column_bloom_filter_enabled(path.clone(), enabled);
        if enabled {
            builder = builder.set_column_bloom_filter_fpp(path.clone(), fpp).set_column_bloom_filter_max_ndv(
                path,
                (distinct_values(bytes, fpp) as u64).min(group_rows as u64).max(1),
            );
        }
    }
    Ok(builder.build())
}

/// Distinct values that a split block bloom filter of `bytes` holds at a false positive probability.
fn distinct_values(bytes: usize, fpp: f64) -> f64 {
    bytes as f64 * 8.0 * -(1.0 - fpp.powf(1.0 / 8.0)).ln() / 8.0
}

fn compression(spec: &WriteSpec) -> Result<Compression> {
    let codec = spec.property("write.parquet.compression-codec").unwrap_or("zstd").to_lowercase();
    let level = |default: i32| spec.parsed("write.parquet.compression-level", default);
    let wrong = |e: parquet::errors::ParquetError| {
        Error::new(ErrorKind::Invalid, "table property write.parquet.compression-level").with_source(e)
    };
    let unsigned = |level: i32| u32::try_from(level).unwrap_or(u32::MAX);
    Ok(match codec.as_str() {
        "zstd" => Compression::ZSTD(ZstdLevel::try_new(level(3)?).map_err(wrong)?),
        "gzip" => Compression::GZIP(GzipLevel::try_new(unsigned(level(6)?)).map_err(wrong)?),
        "brotli" => Compression::BROTLI(BrotliLevel::try_new(unsigned(level(1)?)).map_err(wrong)?),
        "snappy" => Compression::SNAPPY,
        "lz4" | "lz4_raw" => Compression::LZ4_RAW,
        "uncompressed" | "none" => Compression::UNCOMPRESSED,
        other => {
            let message = format!("table property write.parquet.compression-codec has a wrong value: {other}");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    })
}

/// Path in the file of a column by its name in the table; `None` if the column does not exist, because properties may
/// outlive it.
fn leaf_path(spec: &WriteSpec, descriptor: &SchemaDescriptor, column: &str) -> Option<ColumnPath> {
    let id = spec.schema.field_by_name(column)?.id;
    descriptor.columns().iter().find(|leaf| leaf_id(leaf.self_type()) == Some(id)).map(|leaf| leaf.path().clone())
}

pub(super) fn leaf_id(ty: &Type) -> Option<i32> {
    let info = ty.get_basic_info();
    info.has_id().then(|| info.id())
}

/// The sort order of the file up to the first transformed column, because Parquet only records plain columns.
fn sorting_columns(spec: &WriteSpec, descriptor: &SchemaDescriptor) -> Option<Vec<SortingColumn>> {
    let columns: Vec<_> = spec
        .sort_order
        .fields
        .iter()
        .map_while(|field| {
            let index =
                descriptor.columns().iter().position(|leaf| leaf_id(leaf.self_type()) == Some(field.source_id))?;
            (field.transform == Transform::Identity).then_some(SortingColumn {
                column_idx: i32::try_from(index).ok()?,
                descending: field.direction == SortDirection::Descending,
                nulls_first: field.null_order == NullOrder::First,
            })
        })
        .collect();
    (!columns.is_empty()).then_some(columns)
}

/// The file's schema: Arrow's conversion has the field ids, names and types that Iceberg requires, except for UUIDs,
/// which it does not distinguish from other 16-byte values.
fn parquet_schema(spec: &WriteSpec, schema: &ArrowSchema) -> Result<SchemaDescriptor> {
    let descriptor = ArrowSchemaConverter::new().schema_root("table").convert(schema)?;
    let mut uuids = HashSet::new();
    spec.schema.as_struct().fields().iter().for_each(|field| collect_uuids(field, &mut uuids));
    if uuids.is_empty() {
        return Ok(descriptor);
    }
    Ok(SchemaDescriptor::new(with_uuids(&descriptor.root_schema_ptr(), &uuids)?))
}

fn collect_uuids(field: &NestedFieldRef, ids: &mut HashSet<i32>) {
    match field.field_type.as_ref() {
        IcebergType::Primitive(PrimitiveType::Uuid) => {
            ids.insert(field.id);
        }
        IcebergType::Primitive(_) => {}
        IcebergType::Struct(inner) => inner.fields().iter().for_each(|f| collect_uuids(f, ids)),
        IcebergType::List(list) => collect_uuids(&list.element_field, ids),
        IcebergType::Map(map) => {
            collect_uuids(&map.key_field, ids);
            collect_uuids(&map.value_field, ids);
        }
    }
}

fn with_uuids(ty: &TypePtr, ids: &HashSet<i32>) -> Result<TypePtr> {
    let info = ty.get_basic_info();
    let id = leaf_id(ty);
    if ty.is_primitive() {
        if id.is_none_or(|id| !ids.contains(&id)) {
            return Ok(Arc::clone(ty));
        }
        let uuid = Type::primitive_type_builder(info.name(), ty.get_physical_type())
            .with_repetition(info.repetition())
            .with_length(16)
            .with_logical_type(Some(LogicalType::Uuid))
            .with_id(id)
            .build()?;
        return Ok(Arc::new(uuid));
    }
    let fields = ty.get_fields().iter().map(|f| with_uuids(f, ids)).collect::<Result<_>>()?;
    let mut group = Type::group_type_builder(info.name())
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_fields(fields)
        .with_id(id);
    if info.has_repetition() {
        group = group.with_repetition(info.repetition());
    }
    Ok(Arc::new(group.build()?))
}
