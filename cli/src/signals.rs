//! Ctrl-C and SIGTERM, by which a server is asked to stop.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for requests to stop. Without a listener, such a signal ends the process at once, and its temporary files
/// stay: create it before the server says that it has started.
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// The result of starting a server; `None` if a signal came first, which ends the start.
    pub async fn or_stop<T>(&mut self, start: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        tokio::select! {
            started = start => started.map(Some),
            () = self.received() => Ok(None),
        }
    }

    /// Waits for the next one.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
