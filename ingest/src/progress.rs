//! The progress of a load, which another thread can display.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one [`Opened`](crate::Opened), shared by all clones. They are final once the stream has ended.
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

// Relaxed is sufficient: the counters order nothing else, and the end of the stream synchronises its consumer.
impl Progress {
    pub(crate) fn new(bytes_total: u64) -> Self {
        Self { bytes_total, counters: Arc::default() }
    }

    /// Bytes of all files at the time they were opened.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Bytes converted to rows so far. The additional reads of inference are not counted.
    pub fn bytes_read(&self) -> u64 {
        self.counters.bytes_read.load(Ordering::Relaxed)
    }

    /// Rows in batches so far.
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

    /// A file is done, which makes `bytes` in total, including skipped ones.
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
