//! The description of this interface, for people and for generators of clients.

use axum::Json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::http::{admit, process, queries, sql, tables};

/// All paths.
#[derive(OpenApi)]
#[openapi(
    info(title = "Bergmill", description = "SQL over HTTP on the tables of a Bergmill cluster."),
    paths(
        sql::run,
        queries::submit,
        queries::list,
        queries::status,
        queries::result,
        queries::cancel,
        tables::list,
        admit::open_session,
        process::healthz,
        process::readyz,
        process::metrics,
    ),
    modifiers(&Logins),
    security((), ("token" = []), ("password" = [])),
)]
struct Description;

/// The two ways to log in.
struct Logins;

impl Modify for Logins {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let all = openapi.components.get_or_insert_default();
        all.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        all.add_security_scheme("password", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
    }
}

/// The OpenAPI document.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
