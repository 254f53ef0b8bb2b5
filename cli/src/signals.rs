//! Ctrl-C and SIGTERM, by which a server is asked to stop.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for requests to stop. Without a listener, such a signal ends the process at once, and its temporary files
/// stay: create it before the server says that it has started.
pub struct StopSignals {
    /// `None` if Ctrl-C is for something else.
    interrupt: Option<Signal>,
    terminate: Signal,
}

impl StopSignals {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        Ok(Self { interrupt: Some(interrupts()?), ..Self::without_interrupt()? })
    }

    /// Listens for SIGTERM only.
    pub fn without_interrupt() -> Result<Self> {
        Ok(Self { interrupt: None, terminate: listen(SignalKind::terminate())? })
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
        let interrupt = async {
            match &mut self.interrupt {
                Some(interrupt) => interrupt.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens for Ctrl-C, which from now on does not end the process.
pub fn interrupts() -> Result<Signal> {
    listen(SignalKind::interrupt())
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("cannot listen for signals")
}
