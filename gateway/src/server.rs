//! Runs the front door on a listener until shutdown.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bergmill_tls::ServerTls;
use bergmill_tls::grpc::accept;
use tokio::net::TcpListener;
use tonic::transport::server::{Server, TcpIncoming};

use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::flight_sql::FlightSql;
use crate::login::Login;
use crate::session::Sessions;

/// The largest message that either side accepts. Results are split into about 2 MiB before they are sent, but one row
/// can be larger than that, and ingesting clients choose their own batch size.
pub const MESSAGE_LIMIT_BYTES: usize = 128 << 20;

/// The default window of HTTP/2 flow control is 64 KiB, less than one batch, so that every batch waits for the other
/// side.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 8 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// A peer that vanished without closing is noticed after the sum of both; on the server its queries are then dropped.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How the front door is protected; by default it is open to everyone who reaches the port.
#[derive(Clone, Default)]
pub struct Security {
    /// Encrypts connections, and proves to clients which server they talk to.
    pub tls: Option<ServerTls>,
    /// Decides who is admitted; without it, all are.
    pub login: Option<Arc<dyn Login>>,
    /// Where the sessions of clients are.
    pub sessions: Sessions,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security").field("tls", &self.tls).field("login", &self.login.is_some()).finish()
    }
}

/// Serves Flight SQL on `listener` until `shutdown` completes and the running calls have ended.
///
/// A client that reads slowly can prolong those calls, so a process that must end by a given time needs its own timeout
/// around this future.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    security: Security,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    // Small responses must not wait for Nagle's algorithm, which would cost 40 ms per call.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let incoming = accept(incoming, security.tls, refused);
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(FlightSql::new(backend, security.login, security.sessions).into_service())
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the front door's server failed: {e}")))
}

/// Clients may be anyone, so one that cannot set up TLS is no reason for a warning.
pub(crate) fn refused(from: &str, error: &std::io::Error) {
    tracing::debug!("refused a connection from {from}: {error}");
}
