//! The rows that a write returns, one per data file, and their conversion to data files.
//!
//! The iceberg crate's own JSON of a data file loses decimal, binary and UUID partition values, so the rows have their
//! own format: JSON with values as the specification's single-value bytes in hexadecimal.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, Schema, Struct, TableMetadata,
};
use iceberg::table::Table;
use serde::{Deserialize, Serialize};

use super::WriteSpec;
use super::metrics::FileMetrics;
use super::partition::PartitionKey;
use crate::error::{Error, ErrorKind, Result};
use crate::table::partition_value::{hex, literal_bytes};

/// Name of the only column that a write returns.
pub const DATA_FILE_COLUMN: &str = "data_file";

static RESULT_SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(ArrowSchema::new(vec![Field::new(DATA_FILE_COLUMN, DataType::Utf8, false)])));

/// The schema of the rows that a write returns: one column, one row per data file.
pub fn output_schema() -> SchemaRef {
    Arc::clone(&RESULT_SCHEMA)
}

/// One written file, as sent from a task to the scheduler.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct WrittenFile {
    path: String,
    records: u64,
    pub(super) bytes: u64,
    schema_id: i32,
    spec_id: i32,
    sort_order_id: i32,
    partition: Vec<Option<String>>,
    split_offsets: Vec<i64>,
    column_sizes: BTreeMap<i32, u64>,
    value_counts: BTreeMap<i32, u64>,
    null_value_counts: BTreeMap<i32, u64>,
    nan_value_counts: BTreeMap<i32, u64>,
    lower_bounds: BTreeMap<i32, String>,
    upper_bounds: BTreeMap<i32, String>,
}

impl WrittenFile {
    pub(super) fn new(
        spec: &WriteSpec,
        path: String,
        partition: &PartitionKey,
        records: u64,
        bytes: u64,
        metrics: FileMetrics,
    ) -> Result<Self> {
        let bounds = |bounds: BTreeMap<i32, Datum>| -> Result<BTreeMap<i32, String>> {
            bounds.into_iter().map(|(id, bound)| Ok((id, hex(&bound.to_bytes()?)))).collect()
        };
        let sort_order_id = i32::try_from(spec.sort_order.order_id)
            .map_err(|_| Error::new(ErrorKind::Corrupt, "the id of the table's sort order is too large"))?;
        Ok(Self {
            path,
            records,
            bytes,
            schema_id: spec.schema.schema_id(),
            spec_id: spec.partition_spec.spec_id(),
            sort_order_id,
            partition: partition.iter().map(|v| v.as_ref().map(|v| hex(&literal_bytes(v)))).collect(),
            split_offsets: metrics.split_offsets,
            column_sizes: metrics.column_sizes,
            value_counts: metrics.value_counts,
            null_value_counts: metrics.null_value_counts,
            nan_value_counts: metrics.nan_value_counts,
            lower_bounds: bounds(metrics.lower_bounds)?,
            upper_bounds: bounds(metrics.upper_bounds)?,
        })
    }

    fn into_data_file(self, metadata: &TableMetadata) -> Result<DataFile> {
        let corrupt = |what: &str| Error::new(ErrorKind::Internal, format!("data file {}: {what}", self.path));
        let schema = metadata.schema_by_id(self.schema_id).ok_or_else(|| corrupt("its schema is unknown"))?;
        let spec =
            metadata.partition_spec_by_id(self.spec_id).ok_or_else(|| corrupt("its partition spec is unknown"))?;
        let types = spec.partition_type(schema)?;
        if types.fields().len() != self.partition.len() {
            return Err(corrupt("its partition does not match the partition spec"));
        }
        let partition = self
            .partition
            .iter()
            .zip(types.fields())
            .map(|(value, field)| {
                let Some(value) = value else { return Ok(None) };
                let ty = field.field_type.as_primitive_type().ok_or_else(|| corrupt("its partition is nested"))?;
                let bytes = unhex(value).ok_or_else(|| corrupt("its partition is not hexadecimal"))?;
                Ok(Some(Literal::from(Datum::try_from_bytes(&bytes, ty.clone())?)))
            })
            .collect::<Result<Vec<_>>>()?;
        let counts =
            |counts: &BTreeMap<i32, u64>| -> HashMap<i32, u64> { counts.iter().map(|(k, v)| (*k, *v)).collect() };
        DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(self.path.clone())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::from_iter(partition))
            .partition_spec_id(self.spec_id)
            .record_count(self.records)
            .file_size_in_bytes(self.bytes)
            .column_sizes(counts(&self.column_sizes))
            .value_counts(counts(&self.value_counts))
            .null_value_counts(counts(&self.null_value_counts))
            .nan_value_counts(counts(&self.nan_value_counts))
            .lower_bounds(bounds(schema, &self.lower_bounds)?)
            .upper_bounds(bounds(schema, &self.upper_bounds)?)
            .split_offsets(Some(self.split_offsets.clone()))
            .sort_order_id(self.sort_order_id)
            .build()
            .map_err(|e| corrupt(&e.to_string()))
    }
}

fn bounds(schema: &Schema, bounds: &BTreeMap<i32, String>) -> Result<HashMap<i32, Datum>> {
    let wrong = |id: &i32| Error::new(ErrorKind::Internal, format!("bound of field {id} does not match the schema"));
    bounds
        .iter()
        .map(|(id, value)| {
            let ty = schema.field_by_id(*id).and_then(|f| f.field_type.as_primitive_type()).ok_or_else(|| wrong(id))?;
            let bytes = unhex(value).ok_or_else(|| wrong(id))?;
            Ok((*id, Datum::try_from_bytes(&bytes, ty.clone())?))
        })
        .collect()
}

/// The rows for the files that a task wrote.
pub(super) fn result_batch(files: &[WrittenFile]) -> Result<RecordBatch> {
    let rows = files
        .iter()
        .map(|f| {
            serde_json::to_string(f).map_err(|e| Error::new(ErrorKind::Internal, "encoding a data file").with_source(e))
        })
        .collect::<Result<Vec<_>>>()?;
    let column: ArrayRef = Arc::new(StringArray::from(rows));
    RecordBatch::try_new(output_schema(), vec![column])
        .map_err(|e| Error::new(ErrorKind::Internal, "encoding data files").with_source(e))
}

/// The data files of a write's result rows. `table` is the table that the write was planned with, or a later version of
/// it.
pub fn data_files(batches: &[RecordBatch], table: &Table) -> Result<Vec<DataFile>> {
    files_of(batches, table.metadata())
}

/// `metadata` must know the schema and partition spec that the files were written with.
pub(super) fn files_of(batches: &[RecordBatch], metadata: &TableMetadata) -> Result<Vec<DataFile>> {
    let mut files = Vec::new();
    for batch in batches {
        let Some(rows) = batch.column_by_name(DATA_FILE_COLUMN).and_then(|c| c.as_string_opt::<i32>()) else {
            return Err(Error::new(ErrorKind::Internal, "these rows are not the result of a write"));
        };
        for row in rows.iter().flatten() {
            let file: WrittenFile = serde_json::from_str(row)
                .map_err(|e| Error::new(ErrorKind::Internal, "a row is not a data file").with_source(e))?;
            files.push(file.into_data_file(metadata)?);
        }
    }
    Ok(files)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
