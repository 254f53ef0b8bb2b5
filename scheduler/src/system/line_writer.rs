//! Writes lines to a file from a thread of its own: no statement waits for a disk, or fails with it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};

/// Lines that may wait for a slow disk. Further ones are lost.
const WAITING: usize = 50_000;

/// The thread of a file. Clones share it.
#[derive(Debug)]
pub(super) struct LineWriter<T> {
    lines: SyncSender<T>,
    lost: Arc<AtomicU64>,
}

impl<T> Clone for LineWriter<T> {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), lost: Arc::clone(&self.lost) }
    }
}

impl<T: Send + 'static> LineWriter<T> {
    /// Starts a thread that calls `write` for each line. Messages name the file at `path`: one when it cannot be
    /// written, and one when it can be written again.
    pub(super) fn start(path: &Path, mut write: impl FnMut(&T) -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel::<T>(WAITING);
        let (path, lost) = (path.display().to_string(), Arc::<AtomicU64>::default());
        let counted = Arc::clone(&lost);
        std::thread::Builder::new().name("line-writer".to_string()).spawn(move || {
            let mut fails = false;
            for line in waiting {
                match write(&line) {
                    Ok(()) if fails => {
                        fails = false;
                        tracing::warn!(
                            "{path} is written again; {} lines are missing",
                            counted.load(Ordering::Relaxed)
                        );
                    }
                    Ok(()) => {}
                    Err(e) => {
                        counted.fetch_add(1, Ordering::Relaxed);
                        if !std::mem::replace(&mut fails, true) {
                            tracing::error!("{path} cannot be written, and lines are missing until it can be: {e}");
                        }
                    }
                }
            }
        })?;
        Ok(Self { lines, lost })
    }

    /// Writes a line, soon.
    pub(super) fn write(&self, line: T) {
        // The thread ends only with the last sender, so this is about a disk that does not keep up.
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were not written.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
