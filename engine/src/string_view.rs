//! Converts string views to plain strings. Inside one process string columns are views (`Utf8View`): 16 bytes per value
//! that point into buffers shared by many rows. A batch of twenty rows may keep megabytes alive and would carry them
//! all to another process, and clients support plain strings better. So views are converted before rows leave the
//! process.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::Result;

/// The schema without views.
pub fn without_views(schema: &Schema) -> SchemaRef {
    let plain = |f: &Arc<Field>| match f.data_type() {
        DataType::Utf8View => Arc::new(f.as_ref().clone().with_data_type(DataType::Utf8)),
        DataType::BinaryView => Arc::new(f.as_ref().clone().with_data_type(DataType::Binary)),
        _ => Arc::clone(f),
    };
    let fields: Vec<_> = schema.fields().iter().map(plain).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Converts the columns of `batch` to those of `schema`, which has no views. Otherwise the two may differ only in names
/// and nullability.
pub fn plain_text(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let plain = |(column, field): (&ArrayRef, &Arc<Field>)| match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => cast(column, field.data_type()),
        _ => Ok(Arc::clone(column)),
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(plain).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
