//! Rows on standard output: as a table for people, as CSV or JSON lines for programs.

use std::io::{self, Write};

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
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

/// Rows that a table shows; aligning needs all of them in memory.
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
            writer.write(&RecordBatch::new_empty(schema))?;
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                writer.write(&batch)?;
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
