//! The values of a statement's parameters: as clients send them, and as handles and tickets hold them.

use std::panic::catch_unwind;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, UInt64Array,
};
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::sql::server::PeekableFlightDataStream;
use futures::TryStreamExt;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::ingest;
use crate::upload::UploadEnd;

/// The values that follow a command as batches, a column for each parameter. `None` if there is no schema, or one
/// without columns: then none are bound.
pub(crate) async fn bound(mut upload: PeekableFlightDataStream, end: UploadEnd) -> Result<Option<RecordBatch>> {
    let first = upload.peek().await.cloned().transpose()?;
    if first.is_none_or(|data| data.data_header.is_empty()) {
        return Ok(None);
    }
    let rows = ingest::input(upload, end).await?;
    let schema = rows.schema();
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    if schema.fields().is_empty() {
        return Ok(None);
    }
    Ok(Some(concat_batches(&schema, &batches)?))
}

/// The values of a JSON array as one row, a column for each. `None` if there are none: then none are bound.
pub(crate) fn of_json(values: &[Value]) -> Result<Option<RecordBatch>> {
    if values.is_empty() {
        return Ok(None);
    }
    let mut columns = Vec::with_capacity(values.len());
    for (n, value) in values.iter().enumerate() {
        columns.push((format!("${}", n + 1), column(value)?, true));
    }
    Ok(Some(RecordBatch::try_from_iter_with_nullable(columns)?))
}

/// One value, as a column.
fn column(value: &Value) -> Result<ArrayRef> {
    let column: ArrayRef = match value {
        Value::Null => Arc::new(NullArray::new(1)),
        Value::Bool(value) => Arc::new(BooleanArray::from(vec![*value])),
        Value::String(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Arc::new(Int64Array::from(vec![value])),
            (None, Some(value)) => Arc::new(UInt64Array::from(vec![value])),
            (None, None) => Arc::new(Float64Array::from(vec![number.as_f64()])),
        },
        Value::Array(_) | Value::Object(_) => {
            let what = "the value of a parameter is a number, a text, a boolean or null";
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
    };
    Ok(column)
}

/// The values as a stream of IPC messages.
pub(crate) fn encode(values: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &values.schema())?;
    writer.write(values)?;
    Ok(writer.into_inner()?)
}

/// The reverse of [`encode`], for bytes that a client may have changed.
pub(crate) fn decode(bytes: &[u8]) -> Result<RecordBatch> {
    let wrong = |why: &str| {
        let what = format!("this server did not issue these values of parameters: {why}");
        Error::new(ErrorKind::InvalidInput, what)
    };
    // Not by a reader, which reserves as much memory as a message says it has. Arrow panics where the lengths in a
    // message do not agree.
    let decoded = catch_unwind(|| {
        let (mut decoder, mut bytes) = (StreamDecoder::new(), Buffer::from(bytes));
        while !bytes.is_empty() {
            if let Some(batch) = decoder.decode(&mut bytes)? {
                return Ok(Some(batch));
            }
        }
        Ok::<_, ArrowError>(None)
    });
    match decoded {
        Ok(Ok(Some(batch))) => Ok(batch),
        Ok(Ok(None)) => Err(wrong("they are not complete")),
        Ok(Err(e)) => Err(wrong(&e.to_string())),
        Err(_) => Err(wrong("their lengths do not agree")),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{DataType, UInt64Type};
    use serde_json::json;

    use super::*;

    #[test]
    fn values_round_trip() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![None, Some("김민지")]));
        let values = RecordBatch::try_from_iter_with_nullable([("1", ids, true), ("2", names, true)]).unwrap();
        for values in [values.clone(), values.slice(1, 0)] {
            let bytes = encode(&values).unwrap();
            assert_eq!(decode(&bytes).unwrap(), values);
            for cut in [0, 4, bytes.len() / 2] {
                assert_eq!(decode(&bytes[..cut]).unwrap_err().kind(), ErrorKind::InvalidInput, "{cut}");
            }
        }
    }

    #[test]
    fn values_of_json_keep_their_types() {
        let values = [json!(-7), json!(u64::MAX), json!(0.5), json!("커피"), json!(true), json!(null)];
        let row = of_json(&values).unwrap().unwrap();
        let types: Vec<_> = row.columns().iter().map(|column| column.data_type().clone()).collect();
        let expected =
            [DataType::Int64, DataType::UInt64, DataType::Float64, DataType::Utf8, DataType::Boolean, DataType::Null];
        assert_eq!((row.num_rows(), types.as_slice()), (1, expected.as_slice()));
        assert_eq!(row.column(1).as_primitive::<UInt64Type>().value(0), u64::MAX);
        assert_eq!(row.schema().field(5).name(), "$6");
        assert_eq!(of_json(&[]).unwrap(), None);
        for value in [json!([1]), json!({"a": 1})] {
            assert_eq!(of_json(&[value]).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
