//! How far a load is, for another thread to show.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one [`Opened`](crate::Opened), shared by its clones. They are final when the stream has ended.
#[derive(Debug, Clone)]
pub struct Progress {
    bytes_total: u64,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    bytes_read: AtomicU64,
    rows: AtomicU64,
    rejected: AtomicU64,
}

// The counters order nothing else, and whoever waited for the end of the stream is synchronised by it: Relaxed will do.
impl Progress {
    pub(crate) fn new(bytes_total: u64) -> Self {
        Self { bytes_total, counters: Arc::default() }
    }

    /// Bytes of all files, when they were opened.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Bytes turned into rows so far. Inference, which reads text files once more before, is not counted.
    pub fn bytes_read(&self) -> u64 {
        self.counters.bytes_read.load(Ordering::Relaxed)
    }

    /// Rows put into batches so far.
    pub fn rows(&self) -> u64 {
        self.counters.rows.load(Ordering::Relaxed)
    }

    /// Lines written to the reject file so far.
    pub fn rejected(&self) -> u64 {
        self.counters.rejected.load(Ordering::Relaxed)
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.counters.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A file is done, and with it `bytes` in all: what was skipped in it counts as well.
    pub(crate) fn file_done(&self, bytes: u64) {
        self.counters.bytes_read.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.counters.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_rejected(&self) {
        self.counters.rejected.fetch_add(1, Ordering::Relaxed);
    }
}
