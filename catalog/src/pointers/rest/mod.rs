//! A catalog behind the Iceberg REST protocol (`rest-catalog-open-api.yaml` of the Iceberg project), such as
//! Lakekeeper, Polaris or Nessie.
//!
//! The server writes metadata files itself, from updates and requirements, so this is not a pointer store: it
//! overrides [`Catalog::find`], [`Catalog::create`] and [`Catalog::commit`]. A server may vend credentials for a
//! table's files ([`vending`]); otherwise each process uses its own.

mod client;
#[cfg(test)]
mod commit_state_unknown_tests;
#[cfg(test)]
mod tests;
mod updates;
mod vending;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bergmill_storage::CredentialVendor;
use iceberg::spec::{MAIN_BRANCH, TableMetadata};
use iceberg::{NamespaceIdent, TableIdent, TableRequirement, TableUpdate};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::client::{Client, Failure};
pub use self::client::{RestAuth, RestConfig};
pub(crate) use self::vending::RestVendor;
use self::vending::Vended;
use crate::error::{Error, ErrorKind, Result};
use crate::pointers::store::{
    Catalog, Change, Draft, NewTable, TableEntry, ViewChange, ViewEntry, check_name, check_namespace, missing,
    not_empty,
};

/// The tables of a REST server's warehouse.
#[derive(Debug)]
pub struct RestCatalog {
    client: Arc<Client>,
}

impl RestCatalog {
    /// Reads the server's configuration, which also checks that the server can be used.
    pub async fn open(config: RestConfig) -> Result<Self> {
        Ok(Self { client: Arc::new(Client::open(config).await?) })
    }

    /// All pages of a list.
    async fn list<T>(&self, path: &[&str], parent: Option<&str>, of: impl Fn(Page) -> Vec<T>) -> Answer<Vec<T>> {
        let (mut all, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut query: Vec<(&str, &str)> = parent.map(|p| ("parent", p)).into_iter().collect();
            if let Some(token) = &token {
                query.push(("pageToken", token));
            }
            let mut page: Page = self.client.get(path, &query).await?;
            token = page.next_page_token.take().filter(|t| !t.is_empty());
            all.extend(of(page));
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    async fn load(&self, table: &TableIdent, vended: bool) -> Result<Option<TableEntry>> {
        let (namespace, asked_at) = (joined(table.namespace()), SystemTime::now());
        let path = ["namespaces", &namespace, "tables", table.name()];
        let loaded: Answer<Loaded> = match vended {
            true => self.client.get_vended(&path).await,
            false => self.client.get(&path, &[]).await,
        };
        match loaded {
            Ok(Loaded { metadata_location: Some(location), metadata, vended }) => {
                Ok(Some(TableEntry { location, metadata: Some(metadata), credentials: vended.credentials(asked_at) }))
            }
            Ok(_) => {
                let what = format!("catalog {}: table {table} has no metadata location", self.client.name());
                Err(Error::new(ErrorKind::Corrupt, what))
            }
            Err(e) if e.status == Some(404) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

type Answer<T> = std::result::Result<T, Failure>;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Page {
    #[serde(default)]
    namespaces: Vec<Vec<String>>,
    #[serde(default)]
    identifiers: Vec<Identifier>,
    next_page_token: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Identifier {
    namespace: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Loaded {
    metadata_location: Option<String>,
    metadata: TableMetadata,
    #[serde(flatten)]
    vended: Vended,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(default)]
    properties: Option<BTreeMap<String, String>>,
}

impl From<&TableIdent> for Identifier {
    fn from(table: &TableIdent) -> Self {
        Self { namespace: table.namespace().as_ref().clone(), name: table.name().to_string() }
    }
}

#[async_trait]
impl Catalog for RestCatalog {
    async fn namespaces(&self) -> Result<Vec<NamespaceIdent>> {
        let mut all = BTreeSet::new();
        let mut parents = vec![None];
        while let Some(parent) = parents.pop() {
            let parent: Option<Vec<String>> = parent;
            let asked = parent.as_ref().map(|levels| levels.join(SEPARATOR));
            let listed = match self.list(&["namespaces"], asked.as_deref(), |page| page.namespaces).await {
                // A server without nested namespaces, or a namespace that was dropped meanwhile.
                Err(e) if parent.is_some() && matches!(e.status, Some(400 | 404 | 406 | 501)) => Vec::new(),
                listed => listed?,
            };
            for levels in listed {
                // A server without nested namespaces may also return all of them again.
                let is_child = parent.as_ref().is_none_or(|p| levels.starts_with(p) && levels.len() > p.len());
                if is_child && all.insert(levels.clone()) {
                    parents.push(Some(levels));
                }
            }
        }
        all.into_iter().map(|levels| Ok(NamespaceIdent::from_vec(levels)?)).collect()
    }

    async fn namespace_exists(&self, namespace: &NamespaceIdent) -> Result<bool> {
        match self.namespace_properties(namespace).await {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    async fn create_namespace(&self, namespace: &NamespaceIdent, properties: &BTreeMap<String, String>) -> Result<()> {
        check_namespace(namespace)?;
        let body = json!({ "namespace": namespace.as_ref(), "properties": properties });
        match self.client.send(Method::POST, &["namespaces"], &body).await {
            Err(e) if e.status == Some(409) => {
                Err(Error::new(ErrorKind::AlreadyExists, format!("namespace {namespace} already exists")))
            }
            other => Ok(other?),
        }
    }

    async fn namespace_properties(&self, namespace: &NamespaceIdent) -> Result<BTreeMap<String, String>> {
        match self.client.get::<Namespace>(&["namespaces", &joined(namespace)], &[]).await {
            Ok(found) => Ok(found.properties.unwrap_or_default()),
            Err(e) if e.status == Some(404) => Err(missing::namespace(namespace, &self.namespaces().await?)),
            Err(e) => Err(e.into()),
        }
    }

    async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<()> {
        let dropped = self.client.send(Method::DELETE, &["namespaces", &joined(namespace)], &json!(null)).await;
        match dropped {
            Err(e) if e.status == Some(404) => Err(missing::namespace(namespace, &self.namespaces().await?)),
            Err(e) if e.status == Some(409) || e.is("NamespaceNotEmptyException") => {
                Err(not_empty(self, namespace).await?)
            }
            other => Ok(other?),
        }
    }

    async fn tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        let listed = self.list(&["namespaces", &joined(namespace), "tables"], None, |page| page.identifiers).await;
        let mut names: Vec<String> = match listed {
            Err(e) if e.status == Some(404) => Vec::new(),
            other => other?.into_iter().map(|table| table.name).collect(),
        };
        names.sort();
        Ok(names.into_iter().map(|name| TableIdent::new(namespace.clone(), name)).collect())
    }

    fn writes_metadata(&self) -> bool {
        true
    }

    async fn find(&self, table: &TableIdent) -> Result<Option<TableEntry>> {
        self.load(table, true).await
    }

    fn vendor(&self) -> Option<Arc<dyn CredentialVendor>> {
        Some(Arc::new(RestVendor::of(Arc::clone(&self.client))))
    }

    async fn pointer(&self, table: &TableIdent) -> Result<Option<String>> {
        Ok(self.load(table, false).await?.map(|found| found.location))
    }

    async fn draft(&self, table: &TableIdent, new: &NewTable) -> Result<Option<Draft>> {
        check_name("table", table.name())?;
        // The protocol's schema has an id for each spec, and new ones are assigned anyway.
        let mut spec = json!(new.partition_spec);
        spec["spec-id"] = json!(0);
        let mut body = json!({
            "name": table.name(),
            "schema": new.schema,
            "partition-spec": spec,
            "write-order": new.sort_order,
            "properties": new.properties,
            "stage-create": true,
        });
        if let Some(location) = &new.location {
            body["location"] = json!(location);
        }
        let asked_at = SystemTime::now();
        match self.client.post_vended(&["namespaces", &joined(table.namespace()), "tables"], &body).await {
            Ok(Loaded { metadata, vended, .. }) => {
                Ok(Some(Draft { metadata, credentials: vended.credentials(asked_at) }))
            }
            Err(e) if e.status == Some(409) => Err(taken(table)),
            Err(e) if e.status == Some(404) => Err(missing::namespace(table.namespace(), &self.namespaces().await?)),
            Err(e) => Err(e.into()),
        }
    }

    async fn create(&self, change: &Change<'_>) -> Result<()> {
        match self.post_change(change).await {
            Ok(()) => Ok(()),
            Err(e) if e.status == Some(409) => Err(taken(change.table)),
            Err(e) => Err(self.commit_error(e, change.table)),
        }
    }

    async fn commit(&self, change: &Change<'_>) -> Result<bool> {
        match self.post_change(change).await {
            Ok(()) => Ok(true),
            // A requirement does not hold, or the table does not exist anymore: nothing was done.
            Err(e) if matches!(e.status, Some(409 | 404)) => Ok(false),
            Err(e) => Err(self.commit_error(e, change.table)),
        }
    }

    async fn insert(&self, table: &TableIdent, metadata_location: &str) -> Result<()> {
        check_name("table", table.name())?;
        let body = json!({ "name": table.name(), "metadata-location": metadata_location });
        let path = ["namespaces", &joined(table.namespace()), "register"];
        match self.client.send(Method::POST, &path, &body).await {
            Err(e) if e.status == Some(409) => Err(taken(table)),
            Err(e) if e.status == Some(404) => Err(missing::namespace(table.namespace(), &self.namespaces().await?)),
            other => Ok(other?),
        }
    }

    async fn swap(&self, table: &TableIdent, _: &str, _: &str) -> Result<bool> {
        Err(Error::new(ErrorKind::Internal, format!("a REST catalog cannot swap the pointer of {table}")))
    }

    async fn remove(&self, table: &TableIdent) -> Result<()> {
        let namespace = joined(table.namespace());
        let path = ["namespaces", &namespace, "tables", table.name()];
        match self.client.send(Method::DELETE, &path, &json!(null)).await {
            Err(e) if e.status == Some(404) => Err(missing::table(table, &self.tables(table.namespace()).await?)),
            other => Ok(other?),
        }
    }

    async fn rename(&self, from: &TableIdent, to: &TableIdent) -> Result<()> {
        check_name("table", to.name())?;
        let body = json!({ "source": Identifier::from(from), "destination": Identifier::from(to) });
        match self.client.send(Method::POST, &["tables", "rename"], &body).await {
            Err(e) if e.status == Some(409) => Err(taken(to)),
            Err(e) if e.is("NoSuchNamespaceException") => {
                Err(missing::namespace(to.namespace(), &self.namespaces().await?))
            }
            Err(e) if e.status == Some(404) => Err(missing::table(from, &self.tables(from.namespace()).await?)),
            other => Ok(other?),
        }
    }

    async fn views(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        self.list_views(namespace).await
    }

    async fn view_pointer(&self, view: &TableIdent) -> Result<Option<String>> {
        Ok(self.load_view(view).await?.map(|found| found.location))
    }

    async fn find_view(&self, view: &TableIdent) -> Result<Option<ViewEntry>> {
        self.load_view(view).await
    }

    async fn create_view(&self, change: &ViewChange<'_>) -> Result<()> {
        self.post_new_view(change).await
    }

    async fn commit_view(&self, change: &ViewChange<'_>) -> Result<bool> {
        self.post_view_change(change).await
    }

    async fn remove_view(&self, view: &TableIdent) -> Result<()> {
        self.delete_view(view).await
    }
}

impl RestCatalog {
    async fn post_change(&self, change: &Change<'_>) -> Answer<()> {
        let namespace = joined(change.table.namespace());
        let body = json!({
            "identifier": Identifier::from(change.table),
            "requirements": requirements(change),
            "updates": updates::for_server(&change.updates, |action, update| known_id(change, action, update))?,
        });
        let path = ["namespaces", &namespace, "tables", change.table.name()];
        self.client.send(Method::POST, &path, &body).await
    }

    /// The error of a commit. With 500, 502 and 504 the server reports that it does not know the outcome; a 503, or no
    /// response, allows no better conclusion.
    fn commit_error(&self, e: Failure, changed: &TableIdent) -> Error {
        let refused = e.status.is_some_and(|status| status < 500);
        if refused || e.not_sent {
            return e.into();
        }
        let what = format!("catalog {}: it is unknown whether {changed} was changed", self.client.name());
        Error::new(ErrorKind::Unknown, what).with_source(Error::from(e))
    }
}

/// The id that the item of an update had in the table before the change, if any. The iceberg crate reuses the ids of
/// existing specs and orders; a schema comes with any id.
fn known_id(change: &Change<'_>, action: &str, update: &Value) -> Option<i64> {
    let (_, base) = change.base?;
    let id_at = |at: &str| update.pointer(at).and_then(Value::as_i64);
    match action {
        "add-schema" => {
            let without_id = |mut schema: Value| {
                schema.as_object_mut().map(|fields| fields.remove("schema-id"));
                schema
            };
            let added = without_id(update["schema"].clone());
            let same = base.schemas_iter().find(|schema| without_id(json!(schema.as_ref())) == added);
            same.map(|schema| schema.schema_id().into())
        }
        "add-spec" => {
            id_at("/spec/spec-id").filter(|id| base.partition_specs_iter().any(|s| i64::from(s.spec_id()) == *id))
        }
        "add-sort-order" => id_at("/sort-order/order-id").filter(|id| base.sort_order_by_id(*id).is_some()),
        _ => None,
    }
}

/// The requirements for the updates to be applied: all that the change may have relied on.
fn requirements(change: &Change<'_>) -> Vec<TableRequirement> {
    let Some((_, base)) = change.base else { return vec![TableRequirement::NotExist] };
    let mut required = vec![
        TableRequirement::UuidMatch { uuid: base.uuid() },
        TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: base.last_column_id() },
        TableRequirement::CurrentSchemaIdMatch { current_schema_id: base.current_schema_id() },
        TableRequirement::LastAssignedPartitionIdMatch { last_assigned_partition_id: base.last_partition_id() },
        TableRequirement::DefaultSpecIdMatch { default_spec_id: base.default_partition_spec_id() },
        TableRequirement::DefaultSortOrderIdMatch { default_sort_order_id: base.default_sort_order_id() },
    ];
    let touched = change.updates.iter().filter_map(|update| match update {
        TableUpdate::SetSnapshotRef { ref_name, .. } | TableUpdate::RemoveSnapshotRef { ref_name } => {
            Some(ref_name.as_str())
        }
        _ => None,
    });
    // A change reads the main branch, whichever it writes.
    for name in touched.chain([MAIN_BRANCH]).collect::<BTreeSet<_>>() {
        let snapshot_id = base.snapshot_for_ref(name).map(|s| s.snapshot_id());
        required.push(TableRequirement::RefSnapshotIdMatch { r#ref: name.to_string(), snapshot_id });
    }
    required
}

/// Separates the levels of a namespace in a path or a query.
const SEPARATOR: &str = "\u{1f}";

fn joined(namespace: &NamespaceIdent) -> String {
    namespace.as_ref().join(SEPARATOR)
}

fn taken(table: &TableIdent) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("table {table} already exists"))
}
