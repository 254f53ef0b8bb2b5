//! Rows as the body of a response, encoded batch by batch as the client reads.

use std::collections::HashSet;
use std::io::Write;
use std::mem;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonFormat, LineDelimited, WriterBuilder};
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ErrorKind, Result};
use crate::http::format::Format;
use crate::nested::nested_as_json;

/// A column of a table or of rows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Column {
    /// Its name.
    name: String,
    /// Arrow's name of its type, for example `Int64` or `Timestamp(µs, "UTC")`.
    #[serde(rename = "type")]
    data_type: String,
    /// Whether a value may be NULL.
    nullable: bool,
}

impl Column {
    /// The columns of a schema, in order.
    pub(super) fn of(schema: &Schema) -> Vec<Self> {
        let column = |field: &Arc<Field>| Self {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
            nullable: field.is_nullable(),
        };
        schema.fields().iter().map(column).collect()
    }
}

/// Rows in the format `json`, which is streamed: this only describes it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "for the description of the interface")]
pub(super) struct Rows {
    /// The columns, in order.
    columns: Vec<Column>,
    /// An object for each row. Binary values are in hexadecimal; numbers that are not finite are `null`.
    #[schema(value_type = Vec<Object>)]
    rows: (),
    /// The number of rows.
    row_count: u64,
}

/// Rows as a response. Its status is sent with the first of them, so that a query which fails before is an error; one
/// that fails later ends the connection before the end of the body.
pub(super) async fn rows(rows: SendableRecordBatchStream, format: Format) -> Result<Response> {
    let mut encoder = Encoder::new(format, &rows.schema())?;
    let mut rows = rows.map_err(Error::from).fuse();
    let first = rows.try_next().await?;
    let start = encoder.start()?;
    let batches = stream::iter(first.map(Ok)).chain(rows);
    let encoded = stream::try_unfold(Some((batches, encoder)), |state| async {
        let Some((mut batches, mut encoder)) = state else { return Ok::<_, Error>(None) };
        Ok(Some(match batches.try_next().await? {
            Some(batch) => (encoder.batch(&batch)?, Some((batches, encoder))),
            None => (encoder.end()?, None),
        }))
    });
    let encoded = encoded.inspect_err(|e| tracing::debug!("the rows of a response ended early: {e}"));
    let body = Body::from_stream(stream::iter([Ok(start)]).chain(encoded));
    Ok(([(header::CONTENT_TYPE, format.content_type())], body).into_response())
}

/// Writes rows in a format: what comes before them, each batch, and what comes behind them.
struct Encoder {
    format: Format,
    schema: SchemaRef,
    rows: usize,
    /// Writes an Arrow stream, which has a state.
    arrow: StreamWriter<Vec<u8>>,
}

impl Encoder {
    fn new(format: Format, schema: &SchemaRef) -> Result<Self> {
        if matches!(format, Format::Json | Format::Ndjson) {
            let mut names = HashSet::new();
            if let Some(twice) = schema.fields().iter().find(|field| !names.insert(field.name())) {
                let name = twice.name();
                let message = format!("two columns are named {name:?}, but an object has one value of a name; use AS");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        }
        let arrow = StreamWriter::try_new(Vec::new(), schema)?;
        Ok(Self { format, schema: Arc::clone(schema), rows: 0, arrow })
    }

    fn start(&mut self) -> Result<Vec<u8>> {
        Ok(match self.format {
            Format::Json => {
                let columns = serde_json::to_string(&Column::of(&self.schema));
                let columns = columns.map_err(|e| Error::new(ErrorKind::Internal, format!("columns as JSON: {e}")))?;
                format!("{{\"columns\":{columns},\"rows\":[").into_bytes()
            }
            Format::Ndjson => Vec::new(),
            Format::Csv => csv_of(&RecordBatch::new_empty(Arc::clone(&self.schema)), true)?,
            Format::Arrow => mem::take(self.arrow.get_mut()),
        })
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if batch.num_rows() == 0 {
            return Ok(out);
        }
        let objects = WriterBuilder::new().with_explicit_nulls(true);
        match self.format {
            Format::Json => {
                if self.rows > 0 {
                    out.push(b',');
                }
                objects.build::<_, Elements>(&mut out).write(batch)?;
            }
            Format::Ndjson => objects.build::<_, LineDelimited>(&mut out).write(batch)?,
            Format::Csv => out = csv_of(batch, false)?,
            Format::Arrow => {
                self.arrow.write(batch)?;
                out = mem::take(self.arrow.get_mut());
            }
        }
        self.rows += batch.num_rows();
        Ok(out)
    }

    fn end(&mut self) -> Result<Vec<u8>> {
        Ok(match self.format {
            Format::Json => format!("],\"row_count\":{}}}\n", self.rows).into_bytes(),
            Format::Ndjson | Format::Csv => Vec::new(),
            Format::Arrow => {
                self.arrow.finish()?;
                mem::take(self.arrow.get_mut())
            }
        })
    }
}

/// The elements of an array, without its brackets.
#[derive(Debug, Default)]
struct Elements;

impl JsonFormat for Elements {
    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        if is_first_row { Ok(()) } else { Ok(writer.write_all(b",")?) }
    }
}

fn csv_of(batch: &RecordBatch, header: bool) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    csv::WriterBuilder::new().with_header(header).build(&mut out).write(&nested_as_json(batch)?)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::ipc::reader::StreamReader;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    use super::*;

    fn batch(ids: &[i64], names: &[Option<&str>]) -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
        let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
        RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("name", names, true)]).unwrap()
    }

    fn stream_of(batches: Vec<Result<RecordBatch>>) -> SendableRecordBatchStream {
        let schema = batch(&[], &[]).schema();
        let batches = stream::iter(batches).map_err(Into::into);
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    async fn sent(batches: Vec<Result<RecordBatch>>, format: Format) -> Result<Vec<u8>> {
        let response = rows(stream_of(batches), format).await?;
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        Ok(body.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?.to_vec())
    }

    #[tokio::test]
    async fn batches_become_one_body() {
        let batches = || {
            vec![
                Ok(batch(&[1, 2], &[Some("a \"b\""), None])),
                Ok(batch(&[], &[])),
                Ok(batch(&[3], &[Some("커피, 차")])),
            ]
        };
        let text = async |format| String::from_utf8(sent(batches(), format).await.unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text(Format::Json).await).unwrap();
        let expected = serde_json::json!({
            "columns": [
                {"name": "id", "type": "Int64", "nullable": false},
                {"name": "name", "type": "Utf8", "nullable": true},
            ],
            "rows": [{"id": 1, "name": "a \"b\""}, {"id": 2, "name": null}, {"id": 3, "name": "커피, 차"}],
            "row_count": 3,
        });
        assert_eq!(json, expected);
        let lines = "{\"id\":1,\"name\":\"a \\\"b\\\"\"}\n{\"id\":2,\"name\":null}\n{\"id\":3,\"name\":\"커피, 차\"}\n";
        assert_eq!(text(Format::Ndjson).await, lines);
        assert_eq!(text(Format::Csv).await, "id,name\n1,\"a \"\"b\"\"\"\n2,\n3,\"커피, 차\"\n");
        let stream = sent(batches(), Format::Arrow).await.unwrap();
        let read: Vec<_> = StreamReader::try_new(&stream[..], None).unwrap().map(|batch| batch.unwrap()).collect();
        assert_eq!(read, [batch(&[1, 2], &[Some("a \"b\""), None]), batch(&[3], &[Some("커피, 차")])]);
    }

    #[tokio::test]
    async fn no_rows_are_a_whole_body_too() {
        let text = async |format| String::from_utf8(sent(Vec::new(), format).await.unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text(Format::Json).await).unwrap();
        assert_eq!((json["rows"].clone(), json["row_count"].clone()), (serde_json::json!([]), serde_json::json!(0)));
        assert_eq!(text(Format::Ndjson).await, "");
        assert_eq!(text(Format::Csv).await, "id,name\n");
        let stream = sent(Vec::new(), Format::Arrow).await.unwrap();
        assert_eq!(StreamReader::try_new(&stream[..], None).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_error_is_a_response_before_the_first_rows_and_a_broken_body_after_them() {
        let failed = || Err(Error::new(ErrorKind::Unavailable, "an executor is gone"));
        let before = rows(stream_of(vec![failed()]), Format::Json).await.unwrap_err();
        assert_eq!((before.kind(), before.to_string()), (ErrorKind::Unavailable, "an executor is gone".to_string()));
        let after = rows(stream_of(vec![Ok(batch(&[1], &[None])), failed()]), Format::Json).await.unwrap();
        let body = axum::body::to_bytes(after.into_body(), usize::MAX).await;
        assert!(body.is_err());
    }

    #[tokio::test]
    async fn objects_need_different_names() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let twice = RecordBatch::try_from_iter([("x", Arc::clone(&ids)), ("x", ids)]).unwrap();
        let stream = || {
            let batches = stream::iter([Ok(twice.clone())]);
            Box::pin(RecordBatchStreamAdapter::new(twice.schema(), batches)) as SendableRecordBatchStream
        };
        for (format, works) in
            [(Format::Json, false), (Format::Ndjson, false), (Format::Csv, true), (Format::Arrow, true)]
        {
            assert_eq!(rows(stream(), format).await.is_ok(), works, "{format:?}");
        }
    }
}
