//! A statement and its result in one request.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::backend::{Backend, CommitTag, Prepared, Statement};
use crate::error::Result;
use crate::http::Door;
use crate::http::body::{self, Rows};
use crate::http::failure::Failure;
use crate::http::format::{Format, Wanted};
use crate::login::Sender;
use crate::parameters;

/// A statement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sql {
    /// The text of exactly one SQL statement.
    sql: String,
    /// The values of its parameters, `$1` first: numbers, texts, booleans and nulls. A text stands for a value of any
    /// other type that can be written as text, such as a date.
    parameters: Option<Vec<Value>>,
    /// A statement that commits, with a key that the table's history already has, changes nothing: so it can be sent
    /// again when its outcome is unknown.
    commit_key: Option<String>,
}

impl Sql {
    /// The statement, as it is sent.
    pub(super) fn statement(self, sender: Sender) -> Result<Statement> {
        let tag = self.commit_key.map(|key| CommitTag { key, ..CommitTag::default() });
        let parameters = parameters::of_json(&self.parameters.unwrap_or_default())?;
        Ok(Statement { sql: self.sql, parameters, tag, sender, ..Statement::default() })
    }
}

/// The result of a statement that returns no rows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Updated {
    /// The number of rows that it wrote or deleted; 0 for definitions.
    pub rows_affected: u64,
}

/// Runs a statement and answers with its rows
///
/// Closing the connection cancels a query. A statement that returns no rows answers with `rows_affected`.
#[utoipa::path(
    post, path = "/v1/sql", tag = "statements", params(Wanted), request_body = Sql,
    responses(
        (
            status = 200,
            description = "Rows in the requested format, or the number of rows that were changed",
            content((Rows = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
                (Vec<u8> = "application/vnd.apache.arrow.stream")),
        ),
        (status = 400, description = "The statement, its values or the request are wrong", body = Failure),
        (status = 401, description = "Log in first", body = Failure),
        (status = 403, description = "The user lacks a privilege", body = Failure),
        (status = 404, description = "A table, namespace or column does not exist", body = Failure),
        (status = 409, description = "It exists already, or a concurrent commit was first", body = Failure),
        (status = 503, description = "The cluster is not available, or full", body = Failure),
    ),
)]
pub(super) async fn run(
    State(door): State<Door>,
    Extension(sender): Extension<Sender>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
    sql: Result<Json<Sql>, JsonRejection>,
) -> Result<Response> {
    let format = Format::of(&wanted?.0, &headers)?;
    let statement = sql?.0.statement(sender)?;
    match result(&*door.backend, &statement).await? {
        Answer::Rows(rows) => body::rows(rows, format).await,
        Answer::Updated(updated) => Ok(Json(updated).into_response()),
    }
}

/// What a statement returns.
pub(super) enum Answer {
    Rows(datafusion::physical_plan::SendableRecordBatchStream),
    Updated(Updated),
}

/// Runs a statement, whichever kind it is.
pub(super) async fn result(backend: &dyn Backend, statement: &Statement) -> Result<Answer> {
    Ok(match backend.prepare(statement).await? {
        Prepared::Query { id, .. } => Answer::Rows(backend.query(&with_id(statement, id)).await?),
        Prepared::Update { id } => {
            Answer::Updated(Updated { rows_affected: backend.update(&with_id(statement, id)).await? })
        }
    })
}

fn with_id(statement: &Statement, id: String) -> Statement {
    Statement { id: Some(id), ..statement.clone() }
}
