//! The metrics of a process over HTTP: `GET /metrics`, in Prometheus' text format.
//!
//! Metrics are numbers under fixed names and labels. They contain no text of a statement, no name of a table and no
//! credential, so whoever may watch the process may read them.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Opts, Registry, TEXT_FORMAT, TextEncoder};
use tokio::net::TcpListener;

/// Answers `GET /metrics` with what `gather` returns and the metrics of the process, until it is dropped.
pub async fn serve_metrics<F>(
    listener: TcpListener,
    gather: impl Fn() -> F + Send + Sync + 'static,
) -> std::io::Result<()>
where
    F: Future<Output = Vec<MetricFamily>> + Send + 'static,
{
    let gather = Arc::new(gather);
    let metrics = move || {
        let gather = Arc::clone(&gather);
        async move {
            match metrics_text(gather().await) {
                Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
                Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")).into_response(),
            }
        }
    };
    axum::serve(listener, Router::new().route("/metrics", get(metrics))).await
}

/// These metrics and those of the process, in Prometheus' text format.
///
/// # Errors
/// If a metric is not valid.
pub fn metrics_text(mut families: Vec<MetricFamily>) -> prometheus::Result<String> {
    families.extend(of_process());
    TextEncoder::new().encode_to_string(&families)
}

/// A registry with the version of this build.
pub fn new_registry() -> Registry {
    let registry = Registry::new();
    let version = Opts::new("bergmill_build_info", "1, with the version of Bergmill as a label")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    register(&registry, IntGauge::with_opts(version)).set(1);
    registry
}

/// Adds a new metric to a registry.
pub fn register<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> M {
    let metric = metric.expect("names and labels are constants of valid characters");
    registry.register(Box::new(metric.clone())).expect("each name is registered once");
    metric
}

/// The process' CPU time, memory, threads and open files (`process_*`), and in a scheduler Ballista's metrics, which it
/// registers without a prefix.
fn of_process() -> Vec<MetricFamily> {
    let mut families = prometheus::gather();
    for family in &mut families {
        if !family.name().starts_with("process_") && !family.name().starts_with("ballista_") {
            family.set_name(format!("ballista_{}", family.name()));
        }
    }
    families
}
