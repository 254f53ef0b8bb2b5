//! The front door for clients of Postgres: its protocol, by the same [`Backend`], login and TLS.
//!
//! Statements are Bergmill's SQL; only what clients send on their own account, such as `BEGIN` and questions about
//! settings, is answered here. Rows are sent as they come, and a query ends when its client disconnects or cancels it.
//! A password is sent as text, so a server with TLS takes no connection without it.

mod catalog;
mod client;
mod connection;
mod failure;
mod oid;
mod rows;
mod script;
mod statements;
mod values;
mod whole;
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::backend::Backend;
use crate::error::Result;
use crate::login::Sender;
use crate::server::{Security, refused};

/// Connections at a time. Further ones wait until one of these is closed.
const CONNECTIONS: usize = 10_000;

/// What all connections share.
struct Door {
    backend: Arc<dyn Backend>,
    security: Security,
    cancels: Cancels,
}

/// Serves the protocol of Postgres on `listener` until `shutdown` completes and the connections have ended, which end
/// their statement first.
pub async fn serve_postgres(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    security: Security,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let door = Arc::new(Door { backend, security, cancels: Cancels::default() });
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let (stop, stopping) = watch::channel(());
    let mut shutdown = Box::pin(shutdown);
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let (tcp, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Too many open files, for example: those that are open may be closed in a moment.
                Err(e) => {
                    tracing::warn!("a connection of a Postgres client was not accepted: {e}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (door, mut stopping) = (Arc::clone(&door), stopping.clone());
        tokio::spawn(async move {
            if let Err(e) = connection::serve(tcp, peer, door, stopping.changed()).await {
                refused(&peer.to_string(), &e);
            }
            drop((slot, stopping));
        });
    }
    drop(stopping);
    stop.send_replace(());
    stop.closed().await;
    Ok(())
}

/// The statements that run, by the key that cancels them. Clones share them.
#[derive(Debug, Clone, Default)]
struct Cancels(Arc<Mutex<HashMap<CancelKey, Cancellable>>>);

/// What a client gets when it connects, and sends on another connection to cancel its statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CancelKey {
    process: i32,
    secret: i32,
}

#[derive(Debug, Clone)]
struct Cancellable {
    sender: Sender,
    id: String,
}

impl Cancels {
    /// The statement with this id runs for the client with this key, until the guard is dropped.
    fn runs(&self, key: &CancelKey, sender: &Sender, id: &str) -> RunsFor {
        let cancellable = Cancellable { sender: sender.clone(), id: id.to_owned() };
        self.lock().insert(*key, cancellable);
        RunsFor { cancels: self.clone(), key: *key }
    }

    fn get(&self, key: &CancelKey) -> Option<Cancellable> {
        self.lock().get(key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CancelKey, Cancellable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A statement that can be cancelled.
#[derive(Debug)]
struct RunsFor {
    cancels: Cancels,
    key: CancelKey,
}

impl Drop for RunsFor {
    fn drop(&mut self) {
        self.cancels.lock().remove(&self.key);
    }
}
