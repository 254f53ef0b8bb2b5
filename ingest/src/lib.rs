//! Reads CSV, JSON lines and Parquet files as record batches, for `bergmill load`.
//!
//! [`open`] checks every file before the first row is read, determines the columns (those of the table, or inferred
//! ones) and returns a stream of batches.
//!
//! Guarantees:
//! - Nothing is dropped or changed silently. A line whose values do not fit the columns stops the load with the file,
//!   the line number, the column and the value; or, if there is a reject file, is kept there unchanged and counted. A
//!   number is never rounded to fit a DECIMAL or truncated to fit an integer. Only digits of a second that are finer
//!   than the column's unit are dropped.
//! - Memory does not grow with the files: a batch has at most [`BATCH_ROWS`] rows, only a few batches are buffered, and
//!   a file is read as fast as its rows are consumed.
//! - Inference reads text files to their end, so no line can contradict the inferred type.
//!
//! Writing the rows, and doing so atomically, is up to the caller.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::datatypes::{DataType, Field, Schema};
//! use bergmill_ingest::{Source, open};
//! use futures::TryStreamExt;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("prices.csv");
//! std::fs::write(&file, "id,price\n1,9.90\n2,12.345\n")?;
//!
//! let source = Source { files: vec![file], ..Source::default() };
//! let opened = open(source.clone()).await?;
//! assert_eq!(opened.schema.field(0).data_type(), &DataType::Int64);
//! let batches: Vec<_> = opened.batches.try_collect().await?;
//! assert_eq!(batches[0].num_rows(), 2);
//!
//! // Into a table with prices of two decimals it cannot go without losing one.
//! let price = Field::new("price", DataType::Decimal128(10, 2), true);
//! let columns = Schema::new(vec![Field::new("id", DataType::Int64, true), price]);
//! let opened = open(Source { schema: Some(Arc::new(columns)), ..source }).await?;
//! let e = opened.batches.try_collect::<Vec<_>>().await.unwrap_err();
//! assert!(e.to_string().contains("prices.csv line 3, column price"), "{e}");
//! # Ok(())
//! # }
//! ```

mod column;
mod csv;
mod delimiter;
mod describe;
mod error;
mod infer;
mod json;
mod lines;
mod open;
mod parquet;
mod progress;
mod rejects;
mod stream;
#[cfg(test)]
mod tests;
mod value;

pub use error::{Error, Result};
pub use open::{Format, Opened, Source, open};
pub use progress::Progress;

/// The maximum number of rows of a batch.
pub const BATCH_ROWS: usize = 8192;

/// A batch ends once its lines have this many bytes, however few they are, since rows can be large.
const BATCH_BYTES: usize = 8 << 20;

/// The maximum bytes of a line, or of a CSV record with line breaks in quotes. A longer one is a file of another kind
/// or an unclosed quote, and must not fill the memory.
const MAX_LINE_BYTES: usize = 16 << 20;
