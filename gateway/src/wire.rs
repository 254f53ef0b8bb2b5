//! Encodes rows and schemas.
//!
//! A query is planned twice, once to announce its schema and once to run it, and the two schemas may differ in ways
//! that do not change the rows: an optimizer infers that a column has no nulls, or chooses another string layout.
//! Clients such as ADBC reject rows whose schema is not exactly the announced one, so rows are sent in the announced
//! schema.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::bytes::Bytes;
use tonic::{Response, Status};

use crate::error::Result;

type FlightDataStream = Pin<Box<dyn Stream<Item = std::result::Result<FlightData, Status>> + Send>>;

/// The schema that the encoder sends for `schema`: dictionaries become their value types.
pub(crate) fn schema(schema: &SchemaRef) -> SchemaRef {
    let encoder = FlightDataEncoderBuilder::new().with_schema(Arc::clone(schema)).build(stream::empty());
    encoder.known_schema().unwrap_or_else(|| Arc::clone(schema))
}

/// Whether rows of schema `actual` can be sent as `announced` without changing any value.
///
/// They cannot if a table was altered between planning and running. They are then sent unchanged: a client that insists
/// on the announced schema reports the error.
pub(crate) fn can_carry(announced: &SchemaRef, actual: &SchemaRef) -> bool {
    let actual = schema(actual);
    let same_width = announced.fields().len() == actual.fields().len();
    let mut pairs = announced.fields().iter().zip(actual.fields());
    same_width && pairs.all(|(a, b)| a.name() == b.name() && same_values(a.data_type(), b.data_type()))
}

/// Encodes batches as they arrive, in `schema`, without reading ahead of the client.
pub(crate) fn rows(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
) -> Response<FlightDataStream> {
    // Errors become a status here and not behind the encoder, so that kind and message are kept.
    let batches = batches.map_err(|error| FlightError::from(Status::from(error)));
    let data = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
    Response::new(data.map_err(Status::from).boxed())
}

pub(crate) fn encode_schema(schema: &Schema) -> Result<Bytes> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into()?;
    Ok(bytes)
}

pub(crate) fn decode_schema(bytes: impl Into<Bytes>) -> Result<Schema> {
    Ok(Schema::try_from(IpcMessage(bytes.into()))?)
}

fn same_values(a: &DataType, b: &DataType) -> bool {
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let bytes = |t: &DataType| matches!(t, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    a == b || (text(a) && text(b)) || (bytes(a) && bytes(b))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Fields};

    use super::*;

    fn one(name: &str, data_type: DataType, nullable: bool) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(name, data_type, nullable)]))
    }

    #[test]
    fn only_schemas_with_the_same_values_can_be_carried() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let announced = one("a", DataType::Utf8, true);
        for (actual, expected) in [
            (one("a", DataType::Utf8, false), true),
            (one("a", DataType::Utf8View, true), true),
            (one("a", dictionary, true), true),
            (one("b", DataType::Utf8, true), false),
            (one("a", DataType::Int64, true), false),
            (Arc::new(Schema::new(Fields::empty())), false),
        ] {
            assert_eq!(can_carry(&announced, &actual), expected, "{actual:?}");
        }
    }
}
