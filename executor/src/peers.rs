//! Connections to other executors, from which tasks fetch rows.
//!
//! Ballista opens a connection for each fetch. With TLS that costs both sides a millisecond of CPU, as much as a small
//! fetch itself, so connections are kept for later ones. One on which a fetch has failed is not.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::Result;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::utils::GrpcClientConfig;

/// How long an unused connection is kept.
const KEPT: Duration = Duration::from_secs(30);

/// Connections that no task is using, by host and port.
#[derive(Clone, Default)]
pub(crate) struct Peers(Arc<Mutex<Unused>>);

type Unused = HashMap<(String, u16), Vec<Idle>>;

struct Idle {
    client: BallistaClient,
    since: Instant,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

impl Peers {
    fn take(&self, peer: &(String, u16)) -> Option<BallistaClient> {
        self.lock().get_mut(peer).and_then(Vec::pop).map(|idle| idle.client)
    }

    fn put_back(&self, peer: (String, u16), client: BallistaClient, now: Instant) {
        let mut all = self.lock();
        all.entry(peer).or_default().push(Idle { client, since: now });
        all.retain(|_, idle| {
            idle.retain(|idle| now.saturating_duration_since(idle.since) < KEPT);
            !idle.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Unused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BallistaClientPool for Peers {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        customize_endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        let peer = (host.to_string(), port);
        let client = match self.take(&peer) {
            Some(client) => client,
            None => {
                BallistaClient::try_new(
                    host,
                    port,
                    config.max_message_size,
                    config.use_tls,
                    customize_endpoint,
                    config.io_retries_times,
                    config.io_retry_wait_time_ms,
                    config.initial_connection_window_size,
                    config.initial_stream_window_size,
                )
                .await?
            }
        };
        let peers = self.clone();
        Ok(PooledClient::new(client, Box::new(move |client| peers.put_back(peer, client, Instant::now()))))
    }

    /// Does nothing: unused connections are closed when another one is put back.
    async fn evict_idle(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_kept_while_they_are_used() {
        let (peers, now) = (Peers::default(), Instant::now());
        let peer = |port| ("127.0.0.1".to_string(), port);
        let client = |port| BallistaClient::new_for_test("127.0.0.1", port);
        assert!(peers.take(&peer(1)).is_none());
        peers.put_back(peer(1), client(1), now);
        peers.put_back(peer(1), client(1), now + KEPT / 2);
        assert!(peers.take(&peer(2)).is_none());
        peers.put_back(peer(2), client(2), now + KEPT);
        assert!(peers.take(&peer(1)).is_some());
        assert!(peers.take(&peer(1)).is_none());
        assert!(peers.take(&peer(2)).is_some());
    }
}
