//! The reading thread and the stream it feeds.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::csv::CsvReader;
use crate::error::{Error, Result};
use crate::json::JsonReader;
use crate::open::{Format, Input};
use crate::parquet::ParquetReader;
use crate::progress::Progress;
use crate::rejects::Rejects;

/// Buffered batches: enough that neither side waits while the other works on one.
const WAITING_BATCHES: usize = 2;

/// The input of the reading thread.
pub(crate) struct Job {
    pub(crate) inputs: Vec<Input>,
    pub(crate) schema: SchemaRef,
    pub(crate) rejects: Rejects,
    pub(crate) progress: Progress,
}

enum State {
    /// Nothing is read before the first poll.
    Waiting(Box<Job>),
    Reading(mpsc::Receiver<RecordBatch>, JoinHandle<Result<()>>),
    Ended,
}

/// The batches of all files in order. The stream ends after the first error. Dropping it stops the thread.
pub(crate) fn batches(job: Job) -> BoxStream<'static, Result<RecordBatch>> {
    stream::unfold(State::Waiting(Box::new(job)), |state| async {
        let (mut receiver, thread) = match state {
            State::Waiting(job) => {
                let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
                (receiver, tokio::task::spawn_blocking(move || job.run(&sender)))
            }
            State::Reading(receiver, thread) => (receiver, thread),
            State::Ended => return None,
        };
        if let Some(batch) = receiver.recv().await {
            return Some((Ok(batch), State::Reading(receiver, thread)));
        }
        // The sender was dropped: at the end, after an error, or in a panic, which must not look like the end.
        match thread.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((Err(error), State::Ended)),
            Err(error) => Some((Err(internal(error)), State::Ended)),
        }
    })
    .boxed()
}

impl Job {
    fn run(mut self, sender: &mpsc::Sender<RecordBatch>) -> Result<()> {
        let mut bytes = 0;
        for input in &self.inputs {
            bytes += std::fs::metadata(&input.file).map_or(0, |m| m.len());
            let schema = Arc::clone(&self.schema);
            let mut reader = Reader::open(input, schema)?;
            while let Some(batch) = reader.next(&mut self.rejects, &self.progress)? {
                if batch.num_rows() > 0 && sender.blocking_send(batch).is_err() {
                    return self.rejects.finish();
                }
            }
            self.progress.file_done(bytes);
        }
        self.rejects.finish()
    }
}

/// One file being read.
pub(crate) enum Reader {
    Csv(CsvReader),
    Json(JsonReader),
    Parquet(ParquetReader),
}

impl Reader {
    /// Opens the file and checks its columns before any row is read.
    pub(crate) fn open(input: &Input, schema: SchemaRef) -> Result<Self> {
        let file = &input.file;
        Ok(match input.format {
            Format::Csv | Format::Tsv => Self::Csv(CsvReader::open(file, input.delimiter, schema)?),
            Format::JsonLines => Self::Json(JsonReader::open(file, schema)?),
            Format::Parquet => Self::Parquet(ParquetReader::open(file, schema)?),
        })
    }

    fn next(&mut self, rejects: &mut Rejects, progress: &Progress) -> Result<Option<RecordBatch>> {
        match self {
            Self::Csv(reader) => reader.next(rejects, progress),
            Self::Json(reader) => reader.next(rejects, progress),
            Self::Parquet(reader) => reader.next(progress),
        }
    }
}

/// A batch of `rows` rows; the number is explicit for a schema without columns.
pub(crate) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(internal)
}

pub(crate) fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal { reason: error.to_string() }
}
