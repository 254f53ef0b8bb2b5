//! Counts the attempts to change a table, by their outcome.

use std::sync::atomic::{AtomicU64, Ordering};

/// Attempts of this process to move a table's pointer to new metadata. An attempt that lost to a concurrent commit is
/// usually followed by another.
#[derive(Debug, Default)]
pub struct CommitCounts {
    committed: AtomicU64,
    lost: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attempt {
    Committed,
    Lost,
    Failed,
    Unknown,
}

impl CommitCounts {
    pub(crate) fn count(&self, attempt: Attempt) {
        let counter = match attempt {
            Attempt::Committed => &self.committed,
            Attempt::Lost => &self.lost,
            Attempt::Failed => &self.failed,
            Attempt::Unknown => &self.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Attempts that changed a table.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Attempts that changed nothing, because another commit won.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Attempts that failed and changed nothing.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Attempts whose commit state is unknown.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }
}
