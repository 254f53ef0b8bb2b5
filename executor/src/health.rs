//! The readiness probe of an executor: `GET /ready` returns 200 while the scheduler answers the executor's heartbeats,
//! otherwise 503.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use ballista_executor::health::ExecutorHealth;
use tokio::net::TcpListener;

/// Answers probes until it is dropped.
pub(crate) async fn serve(listener: TcpListener, health: ExecutorHealth) -> std::io::Result<()> {
    let ready = move || async move {
        match health.is_ready() {
            true => (StatusCode::OK, "ready\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "the scheduler does not answer\n"),
        }
    };
    axum::serve(listener, Router::new().route("/ready", get(ready))).await
}
