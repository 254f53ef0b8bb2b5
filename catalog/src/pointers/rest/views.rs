//! Views behind the REST protocol. The server writes their metadata files, as it does for tables.
//!
//! The protocol's only requirement for a change of a view is its UUID, so the server applies both of two concurrent
//! changes, one after the other.

use iceberg::spec::ViewMetadata;
use iceberg::{NamespaceIdent, TableIdent};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Failure;
use super::{Answer, Identifier, RestCatalog, joined, updates};
use crate::error::{Error, ErrorKind, Result};
use crate::pointers::store::{Catalog, ViewChange, ViewEntry, check_name, missing};

const LIST_VIEWS: &str = "GET /v1/{prefix}/namespaces/{namespace}/views";
const CREATE_VIEW: &str = "POST /v1/{prefix}/namespaces/{namespace}/views";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Loaded {
    metadata_location: String,
    metadata: ViewMetadata,
}

impl RestCatalog {
    pub(super) async fn list_views(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        if self.client.lacks(LIST_VIEWS) {
            return Ok(Vec::new());
        }
        let listed = self.list(&["namespaces", &joined(namespace), "views"], None, |page| page.identifiers).await;
        let mut names: Vec<String> = match listed {
            Err(e) if is_missing(&e) => Vec::new(),
            other => other?.into_iter().map(|view| view.name).collect(),
        };
        names.sort();
        Ok(names.into_iter().map(|name| TableIdent::new(namespace.clone(), name)).collect())
    }

    pub(super) async fn load_view(&self, view: &TableIdent) -> Result<Option<ViewEntry>> {
        if self.client.lacks(LIST_VIEWS) {
            return Ok(None);
        }
        let namespace = joined(view.namespace());
        let loaded: Answer<Loaded> = self.client.get(&["namespaces", &namespace, "views", view.name()], &[]).await;
        match loaded {
            Ok(Loaded { metadata_location, metadata }) => {
                Ok(Some(ViewEntry { location: metadata_location, metadata: Some(metadata) }))
            }
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The server decides where the view's files go.
    pub(super) async fn post_new_view(&self, change: &ViewChange<'_>) -> Result<()> {
        let (view, metadata) = (change.view, change.metadata);
        check_name("view", view.name())?;
        if self.client.lacks(CREATE_VIEW) {
            return Err(self.without_views(view));
        }
        let body = json!({
            "name": view.name(),
            "schema": metadata.current_schema(),
            "view-version": metadata.current_version(),
            "properties": metadata.properties(),
        });
        match self.client.send(Method::POST, &["namespaces", &joined(view.namespace()), "views"], &body).await {
            Ok(()) => Ok(()),
            Err(e) if e.status == Some(409) => {
                Err(Error::new(ErrorKind::AlreadyExists, format!("{view} already exists")))
            }
            Err(e) if e.is("NoSuchNamespaceException") => {
                Err(missing::namespace(view.namespace(), &self.namespaces().await?))
            }
            Err(e) if is_missing(&e) => Err(self.without_views(view)),
            Err(e) => Err(self.commit_error(e, view)),
        }
    }

    pub(super) async fn post_view_change(&self, change: &ViewChange<'_>) -> Result<bool> {
        let Some((_, base)) = change.base else {
            return Err(Error::new(ErrorKind::Internal, "a change of a view without a base"));
        };
        let id_at = |update: &Value, at: &str| update.pointer(at).and_then(Value::as_i64);
        let known_id = |action: &str, update: &Value| match action {
            "add-schema" => id_at(update, "/schema/schema-id")
                .filter(|id| base.schemas_iter().any(|schema| i64::from(schema.schema_id()) == *id)),
            "add-view-version" => id_at(update, "/view-version/version-id")
                .filter(|id| i32::try_from(*id).is_ok_and(|id| base.version_by_id(id).is_some())),
            _ => None,
        };
        let updates = updates::for_server(&change.updates, known_id)?;
        if updates.is_empty() {
            return Ok(true);
        }
        let body = json!({
            "identifier": Identifier::from(change.view),
            "requirements": [{ "type": "assert-view-uuid", "uuid": base.uuid() }],
            "updates": updates,
        });
        let path = ["namespaces", &joined(change.view.namespace()), "views", change.view.name()];
        match self.client.send(Method::POST, &path, &body).await {
            Ok(()) => Ok(true),
            // Another view has that name, or the view does not exist anymore: nothing was done.
            Err(e) if matches!(e.status, Some(409 | 404)) => Ok(false),
            // The version to make current does not exist anymore, since a view keeps only some; Iceberg's own server
            // also reports this for a new one, when it retries after concurrent commits.
            Err(e) if e.status == Some(400) && e.says("unknown version") => Ok(false),
            Err(e) => Err(self.commit_error(e, change.view)),
        }
    }

    pub(super) async fn delete_view(&self, view: &TableIdent) -> Result<()> {
        let path = ["namespaces", &joined(view.namespace()), "views", view.name()];
        match self.client.send(Method::DELETE, &path, &json!(null)).await {
            Err(e) if is_missing(&e) => Err(missing::view(view, &self.list_views(view.namespace()).await?)),
            other => Ok(other?),
        }
    }

    fn without_views(&self, view: &TableIdent) -> Error {
        let what = format!("view {view}: catalog {} does not support views", self.client.name());
        Error::new(ErrorKind::Unsupported, what)
    }
}

/// Whether the view does not exist, or the server does not support views at all.
fn is_missing(e: &Failure) -> bool {
    matches!(e.status, Some(404 | 405 | 406 | 501))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{open, server};
    use crate::pointers::rest::RestAuth;
    use iceberg::ViewUpdate;
    use iceberg::spec::{ViewFormatVersion, ViewMetadataBuilder, ViewVersion};

    use super::*;

    fn metadata() -> ViewMetadata {
        let schema = iceberg::spec::Schema::builder().build().unwrap();
        let representations =
            serde_json::from_value(json!([{"type": "sql", "sql": "SELECT", "dialect": "d"}])).unwrap();
        let version = ViewVersion::builder()
            .with_schema_id(0)
            .with_timestamp_ms(1)
            .with_representations(representations)
            .with_default_namespace(NamespaceIdent::new("raw".to_string()))
            .build();
        let format = ViewFormatVersion::V1;
        let builder = ViewMetadataBuilder::new("s3://raw/v".to_string(), schema, version, format, [].into());
        builder.unwrap().build().unwrap().metadata
    }

    /// Creates a view on a server with this configuration, whose requests for views have this status and answer; also
    /// returns the views that it lists, and how many of these requests were made.
    async fn create(config: &'static str, status: u16, answer: &'static str) -> (Result<()>, Vec<TableIdent>, usize) {
        let (uri, log) = server(move |what, _, _| match what {
            "GET /catalog/v1/config?warehouse=a+b" => (200, config.to_string()),
            what if what.contains("/views") => (status, answer.to_string()),
            _ => (200, r#"{"namespaces": [["raw"]]}"#.to_string()),
        })
        .await;
        let catalog = open(&uri, RestAuth::None).await.unwrap();
        let (view, metadata) = (TableIdent::from_strs(["raw", "v"]).unwrap(), metadata());
        let change = ViewChange { view: &view, base: None, location: "x", metadata: &metadata, updates: &[] };
        let created = catalog.create_view(&change).await;
        let listed = catalog.views(view.namespace()).await.unwrap_or_default();
        let asked = log.lock().unwrap().iter().filter(|what| what.contains("/views")).count();
        (created, listed, asked)
    }

    #[tokio::test]
    async fn a_server_without_views_is_reported() {
        let tables_only = r#"{"endpoints": ["GET /v1/{prefix}/namespaces"]}"#;
        for (config, status, requests) in
            [(tables_only, 500, 0), ("{}", 404, 2), ("{}", 405, 2), ("{}", 406, 2), ("{}", 501, 2)]
        {
            let (created, listed, asked) = create(config, status, "").await;
            let e = created.unwrap_err();
            assert_eq!((e.kind(), asked), (ErrorKind::Unsupported, requests), "{config} {status}: {e}");
            assert!(e.to_string().contains("does not support views"), "{e}");
            assert_eq!(listed, vec![], "{config} {status}");
        }
    }

    #[tokio::test]
    async fn failures_of_a_new_view_are_distinguished() {
        let check = async |status: u16, answer: &'static str, expected: ErrorKind| {
            let e = create("{}", status, answer).await.0.unwrap_err();
            assert_eq!(e.kind(), expected, "{status} {e}");
        };
        let no_namespace = r#"{"error": {"message": "x", "type": "NoSuchNamespaceException", "code": 404}}"#;
        check(404, no_namespace, ErrorKind::NotFound).await;
        check(409, "", ErrorKind::AlreadyExists).await;
        check(400, "", ErrorKind::Invalid).await;
        check(0, "", ErrorKind::Unknown).await;
        check(503, "", ErrorKind::Unknown).await;
        assert!(create("{}", 204, "").await.0.is_ok());
    }

    #[tokio::test]
    async fn pages_of_views_are_followed() {
        let (uri, _) = server(|what, _, _| {
            let text = match what {
                "GET /catalog/v1/namespaces/raw/views" => {
                    r#"{"identifiers": [{"namespace": ["raw"], "name": "b"}], "next-page-token": "2"}"#
                }
                "GET /catalog/v1/namespaces/raw/views?pageToken=2" => {
                    r#"{"identifiers": [{"namespace": ["raw"], "name": "a"}]}"#
                }
                _ => "{}",
            };
            (200, text.to_string())
        })
        .await;
        let catalog = open(&uri, RestAuth::None).await.unwrap();
        let listed = catalog.views(&NamespaceIdent::new("raw".to_string())).await.unwrap();
        assert_eq!(listed.iter().map(TableIdent::name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_concurrent_commit_is_reported() {
        let check = async |status: u16, expected: std::result::Result<bool, ErrorKind>| {
            let (uri, _) = server(move |what, _, _| match what {
                "GET /catalog/v1/config?warehouse=a+b" => (200, "{}".to_string()),
                _ => (status, String::new()),
            })
            .await;
            let catalog = open(&uri, RestAuth::None).await.unwrap();
            let (view, metadata) = (TableIdent::from_strs(["raw", "v"]).unwrap(), metadata());
            let (base, updates) = (Some(("x", &metadata)), [ViewUpdate::RemoveProperties { removals: vec![] }]);
            let change = ViewChange { view: &view, base, location: "y", metadata: &metadata, updates: &updates };
            assert_eq!(catalog.commit_view(&change).await.map_err(|e| e.kind()), expected, "{status}");
        };
        check(200, Ok(true)).await;
        check(409, Ok(false)).await;
        check(404, Ok(false)).await;
        check(400, Err(ErrorKind::Invalid)).await;
        check(502, Err(ErrorKind::Unknown)).await;
    }
}
