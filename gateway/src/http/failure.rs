//! Errors as responses: a status by the error's kind, and a body with kind and message.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ErrorKind};

/// The body of a response that is not a success.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Failure {
    /// What the caller can do about it: `invalid_input`, `not_found`, `already_exists`, `conflict`, `unavailable`,
    /// `outcome_unknown`, `unauthenticated`, `forbidden`, `cancelled`, `unsupported`, `corrupt` or `internal`.
    pub kind: &'static str,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { kind: name(error.kind()), message: error.to_string() }
    }
}

/// So that handlers return `Result<_, Error>`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.kind() == ErrorKind::Internal {
            tracing::error!(error = %self, "a request failed with an internal error");
        }
        let mut response = (status(self.kind()), Json(Failure::from(&self))).into_response();
        if self.kind() == ErrorKind::Unauthenticated {
            // `Basic` would make browsers ask for a password, and then send it with the requests of any page.
            let challenge = header::HeaderValue::from_static("Bearer realm=\"bergmill\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        let hint = match rejection {
            JsonRejection::MissingJsonContentType(_) => "; send the header `content-type: application/json`",
            _ => "; the body is an object like {\"sql\": \"SELECT 1\"}",
        };
        Error::new(ErrorKind::InvalidInput, format!("{}{hint}", rejection.body_text()))
    }
}

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        Error::new(ErrorKind::InvalidInput, rejection.body_text())
    }
}

/// The answer to a request for a path that does not exist.
pub(super) async fn no_such_path(uri: Uri) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is nothing at {}; GET /openapi.json lists all paths", uri.path()))
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        // Proxies and clients repeat requests after some statuses, but not after 500: rows would be written twice.
        ErrorKind::OutcomeUnknown | ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        // Of the client that cancelled, or of one whose statement was cancelled by another.
        ErrorKind::Cancelled => StatusCode::GONE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
    }
}

fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "invalid_input",
        ErrorKind::NotFound => "not_found",
        ErrorKind::AlreadyExists => "already_exists",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::OutcomeUnknown => "outcome_unknown",
        ErrorKind::Unauthenticated => "unauthenticated",
        ErrorKind::Forbidden => "forbidden",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Internal => "internal",
    }
}
