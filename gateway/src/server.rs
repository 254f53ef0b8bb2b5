//! Runs the front door on a listener until it is told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::server::{Server, TcpIncoming};

use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::flight_sql::FlightSql;

/// The largest message either side takes. Results are cut to about 2 MiB before they are sent, but one row can be
/// larger than that, and ingesting clients choose their own batch size.
pub const MESSAGE_LIMIT_BYTES: usize = 128 << 20;

/// HTTP/2 flow control starts at 64 KiB, which is less than one batch and makes every batch wait for the other side.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 8 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// A peer that vanished without closing is noticed after the sum of both; on the server its queries are then dropped.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves Flight SQL on `listener` until `shutdown` completes and the calls under way have ended.
///
/// A client that reads slowly can make those last calls long, so a process that must end by a given time puts its own
/// limit round this future.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    // Small answers must not wait for Nagle's algorithm: that alone would cost 40 ms a call.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(FlightSql::new(backend).into_service())
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the front door's server failed: {e}")))
}
