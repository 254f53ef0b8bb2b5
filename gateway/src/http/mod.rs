//! The front door for programs without a Flight client: SQL over HTTP, by the same [`Backend`], login and TLS.
//!
//! A statement is sent to `POST /v1/sql`, which answers with its rows, or to `POST /v1/queries`, which answers at once
//! with an id by which the rows are fetched later. All paths, bodies and errors are described by `GET /openapi.json`.

mod admit;
mod body;
mod failure;
mod format;
mod openapi;
mod process;
mod queries;
mod sql;
mod submitted;
mod tables;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Request;
use axum::routing::{delete, get, post};
use bergmill_tls::grpc::accept;
use futures::StreamExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tonic::codegen::Service;
use tonic::transport::server::{Connected, TcpIncoming};

use crate::backend::Backend;
use crate::error::Result;
use crate::http::submitted::Submitted;
use crate::server::{Security, refused};

/// The largest body of a request. A statement is text, and rows in bulk belong into a file or Flight.
const BODY_BYTES: usize = 16 << 20;
/// Connections at a time. Further ones wait until one of these is closed.
const CONNECTIONS: usize = 10_000;
/// How long a client may take to send the headers of a request, and how long a connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// What all requests share.
#[derive(Clone)]
struct Door {
    backend: Arc<dyn Backend>,
    submitted: Arc<Submitted>,
}

/// The address at the other end of a connection.
#[derive(Debug, Clone, Copy)]
struct Peer(Option<IpAddr>);

/// Serves SQL over HTTP on `listener` until `shutdown` completes and the running requests have ended.
///
/// As with [`serve`](crate::serve), a client that reads slowly can prolong those.
pub async fn serve_http(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    security: Security,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let Security { tls, login, .. } = security;
    let door = Door { backend, submitted: Arc::default() };
    let app = router(door.clone(), admit::Admission { login });
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(HEADER_TIMEOUT);

    // Says that the server stops; connections hold the other end until they have ended.
    let (stop, stopping) = watch::channel(());
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut incoming = Box::pin(accept(incoming, tls.map(|tls| tls.for_http()), refused));
    let mut shutdown = Box::pin(shutdown);
    let mut leases = tokio::time::interval(submitted::CHECK_INTERVAL);
    loop {
        let connection = tokio::select! {
            () = &mut shutdown => break,
            _ = leases.tick() => {
                door.submitted.remove_expired();
                continue;
            }
            next = incoming.next() => match next {
                Some(Ok(connection)) => connection,
                // Too many open files, for example: those that are open may be closed in a moment.
                Some(Err(e)) => {
                    tracing::warn!("a connection over HTTP was not accepted: {e}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                None => break,
            },
        };
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let peer = Peer(connection.connect_info().remote_addr().map(|addr| addr.ip()));
        let app = app.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            app.clone().call(request)
        });
        let connection = server.serve_connection(TokioIo::new(connection), service).into_owned();
        let mut stopping = stopping.clone();
        tokio::spawn(async move {
            let mut connection = Box::pin(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                _ = stopping.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(e) = ended {
                tracing::debug!("a connection over HTTP ended: {e}");
            }
            drop((slot, stopping));
        });
    }
    drop(stopping);
    stop.send_replace(());
    stop.closed().await;
    Ok(())
}

fn router(door: Door, admission: admit::Admission) -> Router {
    let admitted = Router::new()
        .route("/v1/sql", post(sql::run))
        .route("/v1/queries", post(queries::submit).get(queries::list))
        .route("/v1/queries/{id}", get(queries::status).merge(delete(queries::cancel)))
        .route("/v1/queries/{id}/result", get(queries::result))
        .route("/v1/tables", get(tables::list))
        .route("/v1/sessions", post(admit::open_session).with_state(admission.clone()))
        .layer(axum::middleware::from_fn_with_state(admission, admit::admit));
    let open = Router::new()
        .route("/healthz", get(process::healthz))
        .route("/readyz", get(process::readyz))
        .route("/metrics", get(process::metrics))
        .route("/openapi.json", get(openapi::document));
    admitted.merge(open).fallback(failure::no_such_path).layer(DefaultBodyLimit::max(BODY_BYTES)).with_state(door)
}
