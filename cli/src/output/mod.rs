//! Rows on standard output or in a file: aligned for people, or in a format for programs.

mod cells;
mod markdown;
mod table;
mod vertical;

use std::io::{self, Write};

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::csv;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder};
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use bergmill_gateway::{Rows, nested_as_json};
use clap::ValueEnum;
use console::Term;
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;

pub use table::fitted;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns; on a terminal with types, cut to its width
    Table,
    /// A line for each value
    Vertical,
    /// A table in Markdown
    Markdown,
    /// Comma-separated values with a header
    Csv,
    /// One JSON array of objects
    Json,
    /// One JSON object a line
    Ndjson,
    /// An Arrow IPC stream
    Arrow,
    /// A Parquet file
    Parquet,
}

impl Format {
    /// Whether it is not text.
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }
}

/// Maximum rows of a table; aligning needs all of them in memory.
const TABLE_ROWS: usize = 10_000;

/// Prints all rows and returns their number. All formats stream except tables, which show the first ten thousand rows.
/// A table is cut to `width`, if given.
pub async fn print(mut rows: Rows, format: Format, width: Option<usize>, out: &mut (impl Write + Send)) -> Result<u64> {
    let schema = rows.schema();
    let mut printed = 0u64;
    match format {
        Format::Table => {
            let (mut shown, mut kept) = (vec![RecordBatch::new_empty(schema.clone())], 0);
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                let take = batch.num_rows().min(TABLE_ROWS - kept);
                kept += take;
                shown.push(batch.slice(0, take));
            }
            match width {
                Some(width) => out.write_all(fitted(&schema, &shown, width)?.as_bytes())?,
                None => {
                    let options = FormatOptions::new().with_null("NULL");
                    writeln!(out, "{}", pretty_format_batches_with_options(&shown, &options)?)?;
                }
            }
            if printed > kept as u64 {
                writeln!(out, "... the first {kept} of {printed} rows; --format csv prints all")?;
            }
        }
        Format::Vertical => {
            while let Some(batch) = rows.try_next().await? {
                out.write_all(vertical::records(&batch, printed)?.as_bytes())?;
                printed += batch.num_rows() as u64;
            }
        }
        Format::Markdown => {
            out.write_all(markdown::header(&schema).as_bytes())?;
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                out.write_all(markdown::lines(&batch)?.as_bytes())?;
            }
        }
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new().with_header(true).build(&mut *out);
            writer.write(&nested_as_json(&RecordBatch::new_empty(schema))?)?;
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                writer.write(&nested_as_json(&batch)?)?;
            }
        }
        Format::Json => {
            let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut *out);
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                writer.write(&batch)?;
            }
            writer.finish()?;
            writeln!(out)?;
        }
        Format::Ndjson => {
            let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut *out);
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                writer.write(&batch)?;
            }
            writer.finish()?;
        }
        Format::Arrow => {
            let mut writer = StreamWriter::try_new(&mut *out, &schema)?;
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                writer.write(&batch)?;
            }
            writer.finish()?;
        }
        Format::Parquet => {
            let mut writer = ArrowWriter::try_new(&mut *out, schema, None)?;
            while let Some(batch) = rows.try_next().await? {
                printed += batch.num_rows() as u64;
                writer.write(&batch)?;
            }
            writer.close()?;
        }
    }
    out.flush()?;
    Ok(printed)
}

/// Columns of the terminal that standard output is, if it is one.
pub fn terminal_width() -> Option<usize> {
    let terminal = Term::stdout();
    terminal.is_term().then(|| usize::from(terminal.size().1))
}

/// Standard output, buffered.
pub fn stdout() -> io::BufWriter<io::Stdout> {
    io::BufWriter::new(io::stdout())
}
