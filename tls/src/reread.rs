//! What files hold, reread when they change.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::files::FileVersion;

/// How often the files are checked, at most. Connections in between use what is known.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What was read from files that belong together. While they are not valid, for example because only one of them has
/// been replaced, what was read before stays in use.
pub(crate) struct Reread<T> {
    files: Vec<PathBuf>,
    read: Box<dyn Fn() -> Result<T> + Send + Sync>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    /// The version of the files that was last read, whether it is valid or not; `None` if a file was not there.
    version: Option<Vec<FileVersion>>,
    checked: Instant,
}

impl<T> Reread<T> {
    /// Reads `files`, of which the first names them in the log.
    ///
    /// # Errors
    /// Those of `read`, and if a file is missing.
    pub(crate) fn open(files: Vec<PathBuf>, read: impl Fn() -> Result<T> + Send + Sync + 'static) -> Result<Self> {
        // Before the content: a change in between is then noticed at the next check.
        let version = versions(&files)?;
        let current = Arc::new(read()?);
        let state = State { current, version: Some(version), checked: Instant::now() };
        Ok(Self { files, read: Box::new(read), state: Mutex::new(state) })
    }

    pub(crate) fn current(&self) -> Arc<T> {
        self.at(Instant::now())
    }

    pub(crate) fn at(&self, now: Instant) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.checked) >= CHECK_INTERVAL {
            state.checked = now;
            let version = versions(&self.files).ok();
            if version != state.version {
                state.version = version;
                match (self.read)() {
                    Ok(read) => {
                        state.current = Arc::new(read);
                        tracing::info!("reread the certificate {}", self.files[0].display());
                    }
                    Err(e) => tracing::warn!("the previous certificate stays in use: {e}"),
                }
            }
        }
        Arc::clone(&state.current)
    }
}

impl<T> std::fmt::Debug for Reread<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reread").field("files", &self.files).finish_non_exhaustive()
    }
}

fn versions(files: &[PathBuf]) -> Result<Vec<FileVersion>> {
    files.iter().map(|file| FileVersion::of(file)).collect()
}
