//! Statements whose result is fetched by a later request.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::Result;
use crate::http::Door;
use crate::http::body::{self, Rows};
use crate::http::failure::Failure;
use crate::http::format::{Format, Wanted};
use crate::http::sql::{Sql, Updated};
use crate::http::submitted;
use crate::login::Sender;

/// How long a request for a status may wait.
const WAIT: Duration = Duration::from_secs(60);
/// The longest lease.
const LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// A submitted statement.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// Its id.
    id: String,
    /// Its text.
    sql: String,
    /// `running`; `ready` when its rows can be read, and `reading` while they are; `finished`; or `failed`.
    state: &'static str,
    /// How many rows it changed, if it is one that changes rows, or how many have been read.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    /// Where its result is read.
    result: String,
}

impl Status {
    fn of(query: &submitted::Query) -> Self {
        use submitted::State;

        let (state, rows, error) = match query.state() {
            State::Running => ("running", None, None),
            State::Ready => ("ready", None, None),
            State::Reading => ("reading", None, None),
            State::Read { rows } => ("finished", Some(rows as u64), None),
            State::Updated { rows } => ("finished", Some(rows), None),
            State::Failed(error) => ("failed", None, Some(Failure::from(&error))),
        };
        let result = format!("/v1/queries/{}/result", query.id);
        Self { id: query.id.clone(), sql: query.sql.clone(), state, rows, error, result }
    }
}

/// Submitted statements.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Statuses {
    /// Oldest question first.
    queries: Vec<Status>,
}

/// How long a statement is kept.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Lease {
    /// Seconds after which it is cancelled and forgotten if nobody asks about it: 300 by default, at most 86400.
    lease: Option<u64>,
}

/// Starts a statement and answers at once
#[utoipa::path(
    post, path = "/v1/queries", tag = "statements", params(Lease), request_body = Sql,
    responses(
        (status = 202, description = "It runs; `location` is the path of its status", body = Status),
        (status = 400, description = "The request is wrong", body = Failure),
        (status = 401, description = "Log in first", body = Failure),
        (status = 503, description = "Too many statements wait to be read", body = Failure),
    ),
)]
pub(super) async fn submit(
    State(door): State<Door>,
    Extension(sender): Extension<Sender>,
    lease: Result<Query<Lease>, QueryRejection>,
    sql: Result<Json<Sql>, JsonRejection>,
) -> Result<Response> {
    let lease = Duration::from_secs(lease?.0.lease.unwrap_or(300)).min(LEASE);
    let query = door.submitted.start(door.backend, sql?.0.statement(sender)?, lease)?;
    let location = [(header::LOCATION, format!("/v1/queries/{}", query.id))];
    Ok((StatusCode::ACCEPTED, location, Json(Status::of(&query))).into_response())
}

/// Lists the statements that the caller has submitted
///
/// The table `system.queries` has statements however they were sent; administrators see those of all users.
#[utoipa::path(get, path = "/v1/queries", tag = "statements", responses((status = 200, body = Statuses)))]
pub(super) async fn list(State(door): State<Door>, Extension(sender): Extension<Sender>) -> Json<Statuses> {
    let queries = door.submitted.of(sender.user());
    Json(Statuses { queries: queries.iter().map(|query| Status::of(query)).collect() })
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Wait {
    /// Seconds to wait for the end of a running statement: 0 by default, at most 60.
    wait: Option<u64>,
}

/// How far a statement is
#[utoipa::path(
    get, path = "/v1/queries/{id}", tag = "statements", params(("id" = String, Path), Wait),
    responses((status = 200, body = Status), (status = 404, description = "No such statement", body = Failure)),
)]
pub(super) async fn status(
    State(door): State<Door>,
    Extension(sender): Extension<Sender>,
    Path(id): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<Status>> {
    let query = door.submitted.get(&id, sender.user())?;
    let wait = Duration::from_secs(wait?.0.wait.unwrap_or(0)).min(WAIT);
    // Its status says whether it ended in time.
    let _in_time = tokio::time::timeout(wait, query.ended()).await;
    Ok(Json(Status::of(&query)))
}

/// The result of a statement
///
/// Waits until there is one. Rows can be read once.
#[utoipa::path(
    get, path = "/v1/queries/{id}/result", tag = "statements", params(("id" = String, Path), Wanted),
    responses(
        (
            status = 200,
            description = "As of `/v1/sql`",
            content((Rows = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
                (Vec<u8> = "application/vnd.apache.arrow.stream")),
        ),
        (status = 404, description = "No such statement", body = Failure),
        (status = 409, description = "The rows have been read", body = Failure),
        (status = 410, description = "It was cancelled", body = Failure),
    ),
)]
pub(super) async fn result(
    State(door): State<Door>,
    Extension(sender): Extension<Sender>,
    Path(id): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response> {
    let query = door.submitted.get(&id, sender.user())?;
    let format = Format::of(&wanted?.0, &headers)?;
    match query.ended().await {
        submitted::State::Updated { rows } => Ok(Json(Updated { rows_affected: rows }).into_response()),
        submitted::State::Failed(error) => Err(error),
        _ => body::rows(query.read()?, format).await,
    }
}

/// Cancels a statement
///
/// A commit that has begun is not undone.
#[utoipa::path(
    delete, path = "/v1/queries/{id}", tag = "statements", params(("id" = String, Path)),
    responses(
        (status = 200, description = "It is cancelled, or had ended before", body = Status),
        (status = 404, description = "No such statement", body = Failure),
    ),
)]
pub(super) async fn cancel(
    State(door): State<Door>,
    Extension(sender): Extension<Sender>,
    Path(id): Path<String>,
) -> Result<Json<Status>> {
    let query = door.submitted.get(&id, sender.user())?;
    query.cancel("by its user");
    Ok(Json(Status::of(&query)))
}
