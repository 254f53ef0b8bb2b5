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
