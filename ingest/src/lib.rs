//! Files as record batches: what `bergmill load` reads CSV, JSON lines and Parquet with.
//!
//! [`open`] looks at every file before the first row is read, settles the columns (those of the table, or inferred
//! ones) and gives a stream of batches.
//!
//! Promises:
//! - Nothing is dropped or bent in silence. A line that does not say what its column needs stops the load with the
//!   file, the line's number, the column and the value; or, when a reject file was named, is kept there word for word
//!   and counted. A number is never rounded to fit a DECIMAL or cut to fit an integer. Only digits of a second that are
//!   finer than the column's unit are left out.
//! - Memory does not grow with the files: a batch has at most [`BATCH_ROWS`] rows, a few batches wait, and a file is
//!   read as fast as its rows are taken.
//! - Inference reads text files to their end, so a line read later cannot contradict the inferred type.
//!
//! Where rows go, and that they get there all or not at all, is left to whoever takes the batches.

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

/// Most rows of a batch.
pub const BATCH_ROWS: usize = 8192;

/// A batch is given out when its lines have this many bytes, however few they are: rows can be large.
const BATCH_BYTES: usize = 8 << 20;

/// Most bytes of a line, or of a CSV record with line breaks in quotes. More is a file of another kind, or a quote that
/// nobody closed, and must not fill the memory.
const MAX_LINE_BYTES: usize = 16 << 20;
