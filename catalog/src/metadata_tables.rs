//! What the metadata of a table says, as rows: `raw."events$snapshots"` and `raw."events$files"`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;

use crate::bridge::UTC;
use crate::error::{Error, ErrorKind, Result};
use crate::read::IcebergTable;

/// The metadata tables that every table has.
pub const METADATA_TABLES: [&str; 2] = ["snapshots", "files"];

/// The metadata table `kind` of `table`; `None` when there is no such kind.
pub async fn metadata_table(table: &IcebergTable, kind: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let batch = match kind {
        "snapshots" => snapshots(table)?,
        "files" => files(table).await?,
        _ => return Ok(None),
    };
    let provider = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(internal)?;
    Ok(Some(Arc::new(provider)))
}

/// One row a snapshot, oldest first: snapshot_id, parent_id, committed_at, operation, summary (a JSON object).
fn snapshots(table: &IcebergTable) -> Result<RecordBatch> {
    let schema = schema(vec![
        Field::new("snapshot_id", DataType::Int64, false),
        Field::new("parent_id", DataType::Int64, true),
        Field::new("committed_at", DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())), false),
        Field::new("operation", DataType::Utf8, false),
        Field::new("summary", DataType::Utf8, false),
    ]);
    let mut ids = Int64Builder::new();
    let mut parents = Int64Builder::new();
    let mut times = TimestampMicrosecondBuilder::new().with_timezone(UTC);
    let mut operations = StringBuilder::new();
    let mut summaries = StringBuilder::new();
    let mut all: Vec<_> = table.table().metadata().snapshots().collect();
    all.sort_by_key(|s| s.sequence_number());
    for snapshot in all {
        ids.append_value(snapshot.snapshot_id());
        parents.append_option(snapshot.parent_snapshot_id());
        times.append_value(snapshot.timestamp_ms().saturating_mul(1000));
        operations.append_value(snapshot.summary().operation.as_str());
        let summary: std::collections::BTreeMap<_, _> = snapshot.summary().additional_properties.iter().collect();
        summaries.append_value(serde_json::to_string(&summary).map_err(internal)?);
    }
    batch(
        schema,
        vec![
            Arc::new(ids.finish()),
            Arc::new(parents.finish()),
            Arc::new(times.finish()),
            Arc::new(operations.finish()),
            Arc::new(summaries.finish()),
        ],
    )
}

/// One row a live data file: file_path, spec_id, partition, record_count, file_size_in_bytes, sequence_number.
async fn files(table: &IcebergTable) -> Result<RecordBatch> {
    let schema = schema(vec![
        Field::new("file_path", DataType::Utf8, false),
        Field::new("spec_id", DataType::Int32, false),
        Field::new("partition", DataType::Utf8, true),
        Field::new("record_count", DataType::Int64, false),
        Field::new("file_size_in_bytes", DataType::Int64, false),
    ]);
    let metadata = table.table().metadata();
    let mut paths = StringBuilder::new();
    let mut specs = Int32Builder::new();
    let mut partitions = StringBuilder::new();
    let mut rows = Int64Builder::new();
    let mut sizes = Int64Builder::new();
    for file in &table.files().await?.data {
        let data = &file.data_file;
        paths.append_value(data.file_path());
        specs.append_value(file.spec_id);
        let spec = metadata.partition_spec_by_id(file.spec_id).filter(|s| !s.is_unpartitioned());
        partitions
            .append_option(spec.map(|s| s.partition_to_path(data.partition(), metadata.current_schema().clone())));
        rows.append_value(i64::try_from(data.record_count()).unwrap_or(i64::MAX));
        sizes.append_value(i64::try_from(data.file_size_in_bytes()).unwrap_or(i64::MAX));
    }
    batch(
        schema,
        vec![
            Arc::new(paths.finish()),
            Arc::new(specs.finish()),
            Arc::new(partitions.finish()),
            Arc::new(rows.finish()),
            Arc::new(sizes.finish()),
        ],
    )
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(internal)
}

fn internal(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "building a metadata table").with_source(e)
}
