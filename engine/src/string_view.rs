//! Text as others expect it. Inside one process columns of text are views (`Utf8View`): 16 bytes a value that point
//! into buffers shared by many rows. A batch of twenty rows may keep megabytes alive so, and would carry them all along
//! to another process; and clients know plain text better. At the border views become text with its own bytes.

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

/// The batch with the columns of `schema`, which has no views; other differences between the two are of names and
/// nullability.
pub fn plain_text(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let plain = |(column, field): (&ArrayRef, &Arc<Field>)| match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => cast(column, field.data_type()),
        _ => Ok(Arc::clone(column)),
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(plain).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
