//! The rows of a query, with their announced schema.

use anyhow::{Result, ensure};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bergmill_gateway::Rows;
use futures::TryStreamExt;

/// The result of a query.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The schema that was announced before the first row.
    pub schema: SchemaRef,
    /// The rows, in the order in which they were received.
    pub batches: Vec<RecordBatch>,
}

impl Answer {
    /// Reads all rows.
    ///
    /// # Errors
    /// When the query fails, and when a batch has other columns or types than announced, or a null in a column that was
    /// announced without.
    pub async fn read(rows: Rows) -> Result<Self> {
        let schema = rows.schema();
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        for batch in &batches {
            for (announced, sent) in schema.fields().iter().zip(batch.schema().fields()) {
                let is_same = announced.name() == sent.name() && announced.data_type() == sent.data_type();
                ensure!(is_same, "the rows have {sent:?} where {announced:?} was announced");
            }
            ensure!(
                batch.num_columns() == schema.fields().len(),
                "{} columns were announced and {} sent",
                schema.fields().len(),
                batch.num_columns()
            );
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                let is_kept = field.is_nullable() || column.null_count() == 0;
                ensure!(is_kept, "column {} is announced without nulls and has one", field.name());
            }
        }
        Ok(Self { schema, batches })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}
