//! The files that one task writes: at most one is open at a time, and all are deleted unless the task succeeds.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::async_writer::AsyncFileWriter;
use parquet::errors::ParquetError;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::WriteSpec;
use super::cleanup::{delete, object_path};
use super::metrics::{NanCounts, file_metrics};
use super::metrics_mode::MetricsModes;
use super::partition::{PartitionKey, Partitioner, is_same};
use super::writer_properties::{target_file_bytes, writer_options};
use super::written_file::WrittenFile;
use crate::error::{Error, Result};

/// Part size of an upload in bytes; a smaller file is uploaded in one request.
const PART_BYTES: usize = 8 << 20;
const PARTS_IN_FLIGHT: usize = 4;

/// Minimum bytes of a row group that is closed early under memory pressure; smaller ones would cost readers more than
/// they save.
const SMALLEST_EARLY_GROUP: usize = 8 << 20;

/// Writes one task's rows.
pub(super) struct TaskWriter {
    spec: Arc<WriteSpec>,
    schema: SchemaRef,
    partitioner: Partitioner,
    modes: MetricsModes,
    target_bytes: usize,
    /// `<task>-<write>-<attempt>`; a retried task has a new attempt id, so its files never collide with earlier ones.
    name: String,
    open: Option<OpenFile>,
    finished: Vec<WrittenFile>,
    uncommitted: Uncommitted,
    reservation: MemoryReservation,
    count_nans: bool,
}

struct OpenFile {
    writer: AsyncArrowWriter<Upload>,
    location: String,
    partition: PartitionKey,
    rows: u64,
    nans: NanCounts,
}

impl TaskWriter {
    pub(super) fn try_new(
        spec: Arc<WriteSpec>,
        schema: SchemaRef,
        task: usize,
        store: Arc<dyn ObjectStore>,
        reservation: MemoryReservation,
    ) -> Result<Self> {
        let attempt = Uuid::new_v4().simple().to_string();
        Ok(Self {
            partitioner: Partitioner::try_new(&spec)?,
            modes: MetricsModes::of(&spec)?,
            target_bytes: target_file_bytes(&spec)?,
            name: format!("{task:05}-{}-{}", spec.write_id, &attempt[..12]),
            open: None,
            finished: Vec::new(),
            uncommitted: Uncommitted { store, paths: Vec::new(), upload: None },
            reservation,
            count_nans: NanCounts::needed(&schema),
            spec,
            schema,
        })
    }

    /// Writes rows that have the table's schema.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (partition, rows) in self.partitioner.split(batch)? {
            let rows = if rows.len() == batch.num_rows() { batch.clone() } else { batch.slice(rows.start, rows.len()) };
            self.write_to(partition, &rows).await?;
        }
        Ok(())
    }

    async fn write_to(&mut self, partition: PartitionKey, rows: &RecordBatch) -> Result<()> {
        if self.open.as_ref().is_some_and(|file| !is_same(&file.partition, &partition)) {
            self.close().await?;
        }
        let file = match &mut self.open {
            Some(file) => file,
            None => {
                let file = self.create(partition)?;
                self.open.insert(file)
            }
        };
        if self.count_nans {
            file.nans.add(rows);
        }
        file.rows += rows.num_rows() as u64;
        file.writer.write(rows).await.map_err(|e| storage(&file.location, e))?;

        let size = file.writer.bytes_written() + file.writer.in_progress_size();
        let memory = file.writer.memory_size();
        if size >= self.target_bytes {
            self.close().await?;
        } else if self.reservation.try_resize(memory).is_err() {
            if file.writer.in_progress_size() >= SMALLEST_EARLY_GROUP {
                file.writer.flush().await.map_err(|e| storage(&file.location, e))?;
            }
            self.reservation.resize(file.writer.memory_size());
        }
        Ok(())
    }

    fn create(&mut self, partition: PartitionKey) -> Result<OpenFile> {
        let number = self.uncommitted.paths.len() + 1;
        let folders = self.partitioner.folders(&partition);
        let location = self.spec.file_location(&folders, &format!("{}-{number:05}.parquet", self.name));
        let (_, path) = object_path(&location, None)?;
        let upload = Upload::new(Arc::clone(&self.uncommitted.store), path.clone());
        let options = writer_options(&self.spec, &self.schema)?;
        let writer = AsyncArrowWriter::try_new_with_options(upload, Arc::clone(&self.schema), options)?;
        self.uncommitted.paths.push(path);
        Ok(OpenFile { writer, location, partition, rows: 0, nans: NanCounts::default() })
    }

    async fn close(&mut self) -> Result<()> {
        // The file stays in `self` while it is being closed, so that `drop` deletes it if the close is cancelled.
        let Some(file) = &mut self.open else { return Ok(()) };
        let metadata = file.writer.finish().await.map_err(|e| storage(&file.location, e))?;
        let bytes = file.writer.bytes_written() as u64;
        let Some(file) = self.open.take() else { return Ok(()) };
        let metrics = file_metrics(&self.spec.schema, &self.modes, &metadata, &file.nans)?;
        self.finished.push(WrittenFile::new(&self.spec, file.location, &file.partition, file.rows, bytes, metrics)?);
        self.reservation.free();
        Ok(())
    }

    /// Closes the last file. The files belong to the caller from here on.
    pub(super) async fn finish(mut self) -> Result<Vec<WrittenFile>> {
        if let Err(e) = self.close().await {
            self.discard().await;
            return Err(e);
        }
        self.uncommitted.paths.clear();
        Ok(std::mem::take(&mut self.finished))
    }

    /// Deletes all written files.
    pub(super) async fn discard(mut self) {
        self.uncommitted.upload = self.open.take().map(|file| file.writer.into_inner());
        self.uncommitted.take().delete().await;
    }
}

impl Drop for TaskWriter {
    /// A cancelled task is only dropped: deletes its files in the background if there is a runtime.
    fn drop(&mut self) {
        self.uncommitted.upload = self.open.take().map(|file| file.writer.into_inner());
        if self.uncommitted.paths.is_empty() {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(self.uncommitted.take().delete())),
            Err(_) => tracing::warn!(files = ?self.uncommitted.paths, "data files of a cancelled write remain"),
        }
    }
}

/// Files that are not committed yet.
struct Uncommitted {
    store: Arc<dyn ObjectStore>,
    paths: Vec<Path>,
    upload: Option<Upload>,
}

impl Uncommitted {
    fn take(&mut self) -> Self {
        Self { store: Arc::clone(&self.store), paths: std::mem::take(&mut self.paths), upload: self.upload.take() }
    }

    async fn delete(self) {
        if let Some(upload) = self.upload {
            upload.abort().await;
        }
        for path in &self.paths {
            if let Err(e) = delete(self.store.as_ref(), path).await {
                tracing::warn!(%path, error = %e, "a data file of a failed write remains");
            }
        }
    }
}

/// A streaming upload that can be aborted at any time.
struct Upload {
    buffer: BufWriter,
    progress: Progress,
}

#[derive(PartialEq)]
enum Progress {
    Writing,
    /// A request that creates the object may be in flight.
    Completing,
    /// The object exists, or creating it has failed. `BufWriter` must not be used again: it would panic.
    Ended,
}

impl Upload {
    fn new(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        let buffer = BufWriter::with_capacity(store, path, PART_BYTES).with_max_concurrency(PARTS_IN_FLIGHT);
        Self { buffer, progress: Progress::Writing }
    }

    async fn abort(mut self) {
        // Wait for a request that may create the object; otherwise the object could appear after it was deleted. Both
        // outcomes are fine, and an object that exists is deleted next.
        let result = match self.progress {
            Progress::Writing => self.buffer.abort().await.map_err(std::io::Error::other),
            Progress::Completing => self.buffer.shutdown().await,
            Progress::Ended => Ok(()),
        };
        if let Err(e) = result {
            tracing::debug!(error = %e, "aborting an upload failed");
        }
    }
}

impl AsyncFileWriter for Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, parquet::errors::Result<()>> {
        async move { self.buffer.put(bytes).await.map_err(|e| ParquetError::External(Box::new(e))) }.boxed()
    }

    fn complete(&mut self) -> BoxFuture<'_, parquet::errors::Result<()>> {
        async move {
            self.progress = Progress::Completing;
            let result = self.buffer.shutdown().await;
            self.progress = Progress::Ended;
            result.map_err(|e| ParquetError::External(Box::new(e)))
        }
        .boxed()
    }
}

fn storage(location: &str, e: ParquetError) -> Error {
    Error::from(e).context(format_args!("writing {location}"))
}
