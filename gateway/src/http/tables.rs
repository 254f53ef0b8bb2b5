//! The tables that the caller may see.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Result;
use crate::http::Door;
use crate::http::body::Column;
use crate::http::failure::Failure;
use crate::login::Sender;

/// All tables.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tables {
    /// Sorted by namespace and name.
    tables: Vec<Table>,
}

/// A table or view.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Table {
    /// Its namespace.
    namespace: String,
    /// Its name.
    name: String,
    /// `TABLE` or `VIEW`.
    kind: &'static str,
    /// Its columns, in order.
    columns: Vec<Column>,
}

/// Lists all tables that the caller may see
#[utoipa::path(
    get, path = "/v1/tables", tag = "tables",
    responses((status = 200, body = Tables), (status = 401, description = "Log in first", body = Failure)),
)]
pub(super) async fn list(State(door): State<Door>, Extension(sender): Extension<Sender>) -> Result<Json<Tables>> {
    let tables = door.backend.tables(sender.caller.as_ref()).await?;
    let tables = tables.into_iter().map(|table| Table {
        columns: Column::of(&table.schema),
        namespace: table.namespace,
        name: table.name,
        kind: table.kind,
    });
    Ok(Json(Tables { tables: tables.collect() }))
}
