//! The warehouse as a DataFusion catalog, for one statement.
//!
//! Names are listed when the statement starts; a table is loaded, and so pinned to a snapshot, when the statement names
//! it, and the same table named twice is the same snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::LogicalPlan;
use iceberg::{NamespaceIdent, TableIdent};
use tokio::sync::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::layout::{LOCATION, check_location};
use crate::metadata_tables::{METADATA_TABLES, MetadataTable};
use crate::read::{IcebergTable, TextType};
use crate::sql::SqlCatalog;
use crate::storage::Stores;
use crate::store::missing;
use crate::table::Warehouse;
use crate::view_plan::{ViewPlanner, Views};

/// Names that were asked for and are not there. DataFusion asks for every name in a statement, also for the one that a
/// `CREATE TABLE` is about to make, so that a missing one is no error until planning fails for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Misses(Arc<std::sync::Mutex<Vec<Error>>>);

impl Misses {
    fn push(&self, miss: Error) {
        self.lock().push(miss);
    }

    /// The first that was missed since the last call.
    pub(crate) fn take(&self) -> Option<Error> {
        std::mem::take(&mut *self.lock()).into_iter().next()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Error>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The namespaces of a warehouse as they were when this was loaded.
#[derive(Debug)]
pub struct NamespaceCatalog {
    misses: Misses,
    views: Arc<Views>,
    namespaces: BTreeMap<String, Arc<Namespace>>,
}

impl NamespaceCatalog {
    /// Lists the namespaces and their tables, whose text is to be read as `text`.
    pub async fn load(warehouse: Warehouse, text: TextType) -> Result<Self> {
        let misses = Misses::default();
        let views = Arc::new(Views::new(misses.clone()));
        let mut namespaces = BTreeMap::new();
        for ident in warehouse.catalog().namespaces().await? {
            let tables = warehouse.catalog().tables(&ident).await?;
            let of_views = warehouse.catalog().views(&ident).await?;
            let view_names: BTreeSet<String> = of_views.into_iter().map(|v| v.name).collect();
            let mut names: Vec<String> = tables.into_iter().map(|t| t.name).collect();
            names.extend(view_names.iter().cloned());
            names.sort();
            let namespace = Namespace {
                warehouse: warehouse.clone(),
                ident: ident.clone(),
                names,
                view_names,
                pinned: Mutex::default(),
                misses: misses.clone(),
                views: Arc::clone(&views),
                text,
            };
            namespaces.insert(ident.to_string(), Arc::new(namespace));
        }
        Ok(Self { misses, views, namespaces })
    }

    /// The same namespaces, whose text is to be read as `text`.
    pub fn with_text(&self, text: TextType) -> Self {
        // Their plans are over the tables as they are read here.
        let views = Arc::new(Views::new(self.misses.clone()));
        let namespace = |(name, ns): (&String, &Arc<Namespace>)| {
            let ns = Namespace {
                warehouse: ns.warehouse.clone(),
                ident: ns.ident.clone(),
                names: ns.names.clone(),
                view_names: ns.view_names.clone(),
                pinned: Mutex::default(),
                misses: self.misses.clone(),
                views: Arc::clone(&views),
                text,
            };
            (name.clone(), Arc::new(ns))
        };
        let namespaces = self.namespaces.iter().map(namespace).collect();
        Self { misses: self.misses.clone(), views, namespaces }
    }

    /// How views are planned; without it they cannot be read.
    pub fn with_views(&self, planner: Arc<dyn ViewPlanner>) {
        self.views.set_planner(planner);
    }

    /// The plan of what is, or is to be, the query of `view`.
    ///
    /// # Errors
    /// `Invalid` if the query reads `view` itself, be it through other views.
    pub async fn plan_view(&self, view: &TableIdent, sql: &str, default_namespace: &str) -> Result<LogicalPlan> {
        self.views.plan(view, sql, default_namespace).await
    }

    /// All tables and views, by namespace.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.namespaces.iter().map(|(name, ns)| (name.as_str(), ns.names.as_slice()))
    }
}

impl NamespaceCatalog {
    /// All tables and views: namespace, name, and whether it is a view.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.namespaces.iter().flat_map(|(within, ns)| {
            ns.names.iter().map(|name| (within.as_str(), name.as_str(), ns.view_names.contains(name)))
        })
    }
}

impl CatalogProvider for NamespaceCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.namespaces.keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let schema: Arc<dyn SchemaProvider> = match self.namespaces.get(name) {
            Some(namespace) => Arc::clone(namespace) as _,
            // Not here: asking it for a table notes so, with the nearest name.
            None => {
                let missing = missing::namespace(&NamespaceIdent::new(name.to_string()), &self.known());
                Arc::new(MissingNamespace { missing: Mutex::new(Some(missing)), misses: self.misses.clone() })
            }
        };
        Some(schema)
    }
}

impl NamespaceCatalog {
    fn known(&self) -> Vec<NamespaceIdent> {
        self.namespaces.values().map(|n| n.ident.clone()).collect()
    }

    /// The error of a namespace that is not there, with the nearest one that is.
    pub fn missing_namespace(&self, namespace: &NamespaceIdent) -> Error {
        missing::namespace(namespace, &self.known())
    }

    /// Why a name that planning could not find is not there, with the nearest one that is.
    pub fn take_miss(&self) -> Option<Error> {
        self.misses.take()
    }

    /// The table at the snapshot that this statement reads, and will be checked against when it writes.
    pub async fn pinned(&self, table: &TableIdent) -> Result<Arc<IcebergTable>> {
        match self.namespaces.get(&table.namespace().to_string()) {
            Some(namespace) => namespace.pin(table.name()).await,
            None => Err(missing::namespace(table.namespace(), &self.known())),
        }
    }
}

/// Our catalog name in the SQL catalog's rows; other engines name it when they open the same file.
pub const CATALOG_NAME: &str = "bergmill";

impl Warehouse {
    /// The warehouse of one machine: `catalog.db` (SQLite) and `warehouse/` in `folder`, an absolute path. `catalog_name`
    /// is [`CATALOG_NAME`], unless another engine made the file and keeps its tables under a name of its own.
    pub async fn open_local(folder: &Path, catalog_name: &str) -> Result<Self> {
        let catalog = SqlCatalog::open(folder.join("catalog.db"), catalog_name).await?;
        let location = format!("file://{}", folder.join("warehouse").display());
        Self::new(Arc::new(catalog), Stores::local(), &location)
    }

    /// Creates a namespace of one level, whose tables go to `location`, or where the warehouse puts them.
    pub async fn create_namespace(&self, name: &str, location: Option<&str>) -> Result<()> {
        let ident = NamespaceIdent::new(name.to_string());
        let location = match location {
            Some(location) => Some(check_location(location)?),
            None => self.layout().told_location(&ident),
        };
        let properties = location.map(|at| (LOCATION.to_string(), at)).into_iter().collect();
        self.catalog().create_namespace(&ident, &properties).await
    }

    /// Drops a namespace that holds no tables.
    pub async fn drop_namespace(&self, name: &str) -> Result<()> {
        let ident = NamespaceIdent::new(name.to_string());
        match self.catalog().drop_namespace(&ident).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Err(missing::namespace(&ident, &self.catalog().namespaces().await?))
            }
            other => other,
        }
    }
}

#[derive(Debug)]
struct Namespace {
    warehouse: Warehouse,
    ident: NamespaceIdent,
    /// Of tables and views.
    names: Vec<String>,
    view_names: BTreeSet<String>,
    pinned: Mutex<HashMap<String, Arc<IcebergTable>>>,
    misses: Misses,
    views: Arc<Views>,
    text: TextType,
}

impl Namespace {
    async fn pin(&self, name: &str) -> Result<Arc<IcebergTable>> {
        let mut pinned = self.pinned.lock().await;
        if let Some(table) = pinned.get(name) {
            return Ok(Arc::clone(table));
        }
        let table = self.warehouse.load(&TableIdent::new(self.ident.clone(), name.to_string())).await?;
        let table = IcebergTable::current(table)?.with_text(self.text).with_seen_files(self.warehouse.seen_files());
        let table = Arc::new(table);
        pinned.insert(name.to_string(), Arc::clone(&table));
        Ok(table)
    }
}

#[async_trait]
impl SchemaProvider for Namespace {
    fn table_names(&self) -> Vec<String> {
        self.names.clone()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if self.view_names.contains(name) {
            let ident = TableIdent::new(self.ident.clone(), name.to_string());
            if let Some(view) = self.warehouse.find_view(&ident).await? {
                return Ok(Some(self.views.provider(&view).await?));
            }
        }
        let (base, kind) = name.split_once('$').map_or((name, None), |(table, kind)| (table, Some(kind)));
        let table = match self.pin(base).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.misses.push(e);
                return Ok(None);
            }
            other => other?,
        };
        if let Some(kind) = kind {
            let Some(found) = MetadataTable::new(table, kind)? else {
                let kinds = METADATA_TABLES.map(|k| format!("{base}${k}")).join(", ");
                let what = format!("metadata table {}.{name} not found; there are {kinds}", self.ident);
                return Err(Error::new(ErrorKind::NotFound, what).into());
            };
            return Ok(Some(Arc::new(found)));
        }
        Ok(Some(table))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }
}

#[derive(Debug)]
struct MissingNamespace {
    missing: Mutex<Option<Error>>,
    misses: Misses,
}

#[async_trait]
impl SchemaProvider for MissingNamespace {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, _: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let missing = self.missing.lock().await.take();
        missing.into_iter().for_each(|e| self.misses.push(e));
        Ok(None)
    }

    fn table_exist(&self, _: &str) -> bool {
        false
    }
}
