//! What tools that watch the process ask: is it alive, can it run statements, and its metrics. They need no login,
//! since the answers hold no names, no text of a statement and no credential.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::error::Result;
use crate::http::Door;
use crate::http::failure::Failure;

/// The format of Prometheus, as its own clients name it.
const METRICS_TYPE: &str = "text/plain; version=0.0.4";

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "process", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether statements can run
///
/// They can if the catalog answers and an executor takes tasks.
#[utoipa::path(
    get, path = "/readyz", tag = "process",
    responses((status = 200, body = String), (status = 503, description = "Not now", body = Failure)),
)]
pub(super) async fn readyz(State(door): State<Door>) -> Result<&'static str> {
    door.backend.ready().await?;
    Ok("ready\n")
}

/// Metrics for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "process",
    responses((status = 200, description = "Prometheus' text format", body = String)),
)]
pub(super) async fn metrics(State(door): State<Door>) -> Result<impl IntoResponse> {
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], door.backend.metrics().await?))
}
