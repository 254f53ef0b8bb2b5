//! Rows for clients: with the announced schema, and with errors that have a kind.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, Schema, SchemaRef};
use bergmill_engine::without_views;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;

use crate::error::{Error, ErrorKind};

/// The schema of a query's rows for clients, from the plan for a single process: strings without views, and every
/// column nullable. Plans differ in nullability often enough that NOT NULL could not be guaranteed, and clients reject
/// rows of another schema than the announced one.
pub(crate) fn announced(plan: &Arc<dyn ExecutionPlan>) -> SchemaRef {
    nullable(&plan.schema())
}

/// The schema with every column nullable, and strings without views.
pub(crate) fn nullable(schema: &Schema) -> SchemaRef {
    let plain = without_views(schema);
    let fields = plain.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Converts rows of this process for clients: to the announced schema, and with errors that have the front door's
/// kinds. A panic, for example of a reader of a damaged file, becomes an error, as on executors. Otherwise the
/// connection of the client would break.
pub(crate) fn for_clients(schema: SchemaRef, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let announced = Arc::clone(&schema);
    let rows = AssertUnwindSafe(rows).catch_unwind().map(move |batch| {
        let batch = batch.unwrap_or_else(|panic| Err(panicked(panic.as_ref()).into()));
        batch.and_then(|b| coerce(&announced, &b)).map_err(|e| Error::from(e).into())
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// Casts the batch to the announced types. A plan for several processes may compute wider decimals than the plan for a
/// single one.
pub(crate) fn coerce(schema: &SchemaRef, batch: &RecordBatch) -> datafusion::error::Result<RecordBatch> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let column = |(column, field): (&ArrayRef, &Arc<Field>)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast_with_options(column, field.data_type(), &exact)
    };
    let columns =
        batch.columns().iter().zip(schema.fields()).map(column).collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    Error::new(ErrorKind::Internal, format!("the query panicked: {}", text.unwrap_or("no message")))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_query_alone() {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
        let rows = futures::stream::iter([1, 2]).map(|n| panic!("no row {n}"));
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), rows);
        let rows = for_clients(nullable(&schema), Box::pin(rows));
        let answer: Vec<_> = rows.collect().await;
        let [Err(e)] = &answer[..] else { panic!("one error: {answer:?}") };
        let e = Error::find(e).unwrap();
        assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Internal, "the query panicked: no row 1"));
    }
}
