//! Rows on standard output: as a table for people, as CSV or JSON lines for programs.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Array, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::FormatOptions;
use bergmill_gateway::Rows;
use clap::ValueEnum;
use futures::TryStreamExt;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns with borders
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line
    Json,
}

/// Maximum rows of a table; aligning needs all of them in memory.
const TABLE_ROWS: usize = 10_000;

/// Prints all rows and returns their number. CSV and JSON stream; a table shows the first ten thousand rows.
pub async fn print(mut rows: Rows, format: Format, out: &mut (impl Write + Send)) -> Result<u64> {
    let schema = rows.schema();
    let mut printed = 0u64;
    match format {
        Format::Table => {
            let (mut shown, mut kept) = (Vec::new(), 0);
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                let take = batch.num_rows().min(TABLE_ROWS - kept);
                kept += take;
                shown.push(batch.slice(0, take));
            }
            write!(out, "{}", table(&schema, &shown)?)?;
            if printed > kept as u64 {
                writeln!(out, "... the first {kept} of {printed} rows; --format csv prints all")?;
            }
        }
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(&mut *out);
            writer.write(&flat(&RecordBatch::new_empty(schema))?)?;
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                writer.write(&flat(&batch)?)?;
            }
        }
        Format::Json => {
            let mut writer = arrow::json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, arrow::json::writer::LineDelimited>(&mut *out);
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                writer.write(&batch)?;
            }
            writer.finish()?;
        }
    }
    out.flush()?;
    Ok(printed)
}

/// The batch with nested columns as JSON text, since CSV has no nesting.
fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let mut encoder = make_encoder(field, column, &options)?;
        let mut texts = StringBuilder::new();
        for row in 0..column.len() {
            if encoder.is_null(row) {
                texts.append_null();
                continue;
            }
            let mut text = Vec::new();
            encoder.encode(row, &mut text);
            texts.append_value(String::from_utf8(text)?);
        }
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        columns.push(Arc::new(texts.finish()));
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)?)
}

fn table(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<String> {
    let options = FormatOptions::new().with_null("NULL");
    let text = match batches {
        [] => arrow::util::pretty::pretty_format_batches_with_options(
            &[RecordBatch::new_empty(schema.clone())],
            &options,
        )?,
        some => arrow::util::pretty::pretty_format_batches_with_options(some, &options)?,
    };
    Ok(format!("{text}\n"))
}

/// Standard output, buffered.
pub fn stdout() -> io::BufWriter<io::Stdout> {
    io::BufWriter::new(io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::Int64Type;

    #[test]
    fn nested_columns_are_json_in_csv() {
        let kinds: ArrayRef = Arc::new(StringArray::from(vec![Some("say \"hi\""), None]));
        let device = StructArray::from(vec![(Arc::new(Field::new("type", DataType::Utf8, true)), kinds)]);
        let numbers = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let columns: [(_, ArrayRef); 3] = [("id", ids), ("device", Arc::new(device)), ("n", Arc::new(numbers))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut out = Vec::new();
        arrow::csv::Writer::new(&mut out).write(&flat(&batch).unwrap()).unwrap();
        let expected =
            "id,device,n\n1,\"{\"\"type\"\":\"\"say \\\"\"hi\\\"\"\"\"}\",\"[1,null]\"\n2,\"{\"\"type\"\":null}\",\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
