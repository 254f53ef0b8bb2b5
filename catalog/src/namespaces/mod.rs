//! The warehouse as a DataFusion catalog, for one statement.
//!
//! A table is looked up and loaded, and so pinned to a snapshot, when the statement names it, and the same table named
//! twice is the same snapshot. Names are listed only for a statement that asks for lists of them, and for the hint of
//! a name that is not there.

mod unresolved;
pub(crate) mod views;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{LogicalPlan, TableType};
use futures::{StreamExt, TryStreamExt};
use iceberg::{NamespaceIdent, TableIdent};
use tokio::sync::{Mutex, OnceCell};

use self::unresolved::UnresolvedNames;
use self::views::{ViewPlanner, Views};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata_tables::{METADATA_TABLES, MetadataTable};
use crate::pointers::store::{check_name, check_namespace};
use crate::read::{IcebergTable, TextType};
pub(crate) use crate::table::namespaces::CATALOG_NAME;
use crate::table::{LISTINGS_IN_FLIGHT, Warehouse};

/// The tables and views of a namespace.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Of tables and views, in order.
    pub all: Vec<String>,
    /// Those of them that are views.
    pub views: BTreeSet<String>,
}

/// The names of a warehouse as they were when they were first asked for.
type Listing = Arc<OnceCell<BTreeMap<String, Names>>>;

/// The namespaces of a warehouse in the eyes of one statement.
#[derive(Debug)]
pub struct NamespaceCatalog {
    warehouse: Warehouse,
    text: TextType,
    unresolved: UnresolvedNames,
    views: Arc<Views>,
    listing: Listing,
    /// Those that were named.
    namespaces: std::sync::Mutex<HashMap<String, Arc<Namespace>>>,
}

impl NamespaceCatalog {
    /// Tables whose text is to be read as `text`. Nothing is asked of the warehouse's catalog.
    pub fn new(warehouse: Warehouse, text: TextType) -> Self {
        let unresolved = UnresolvedNames::new(warehouse.clone());
        Self::over(warehouse, text, unresolved, Listing::default())
    }

    fn over(warehouse: Warehouse, text: TextType, unresolved: UnresolvedNames, listing: Listing) -> Self {
        let views = Arc::new(Views::new(unresolved.clone()));
        Self { warehouse, text, unresolved, views, listing, namespaces: std::sync::Mutex::default() }
    }

    /// The same names, of tables whose text is to be read as `text`.
    pub fn with_text(&self, text: TextType) -> Self {
        // Plans of views are over the tables as they are read here.
        Self::over(self.warehouse.clone(), text, self.unresolved.clone(), Arc::clone(&self.listing))
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

    /// All namespaces with their tables and views. What asks for them without waiting, as `information_schema` does,
    /// finds none until this was called.
    pub async fn list(&self) -> Result<&BTreeMap<String, Names>> {
        let list = async || {
            let namespaces = self.warehouse.catalog().namespaces().await?;
            let listings = namespaces.into_iter().map(|namespace| async move {
                let names = self.list_in(&namespace).await?;
                Ok((namespace.to_string(), names))
            });
            futures::stream::iter(listings).buffered(LISTINGS_IN_FLIGHT).try_collect().await
        };
        self.listing.get_or_try_init(list).await
    }

    /// The tables and views of one namespace; none if there is no such namespace.
    async fn list_in(&self, namespace: &NamespaceIdent) -> Result<Names> {
        let catalog = self.warehouse.catalog();
        let tables = catalog.tables(namespace).await?;
        let views: BTreeSet<String> = catalog.views(namespace).await?.into_iter().map(|v| v.name).collect();
        let mut all: Vec<String> = tables.into_iter().map(|t| t.name).collect();
        all.extend(views.iter().cloned());
        all.sort();
        Ok(Names { all, views })
    }

    /// The tables and views of a namespace, whose levels have points between them. `NotFound` if there is no such namespace.
    pub async fn list_namespace(&self, namespace: &str) -> Result<Names> {
        let namespace = NamespaceIdent::from_strs(namespace.split('.'))?;
        match self.warehouse.catalog().namespace_exists(&namespace).await? {
            true => self.list_in(&namespace).await,
            false => Err(self.warehouse.namespace_not_found(&namespace).await),
        }
    }

    /// Why a name that planning could not find is not there, with the nearest one that is.
    pub async fn take_miss(&self) -> Option<Error> {
        self.unresolved.take().await
    }

    /// The table at the snapshot that this statement reads, and will be checked against when it writes.
    pub async fn pinned(&self, table: &TableIdent) -> Result<Arc<IcebergTable>> {
        match self.named(&table.namespace().to_string()).pin(table.name()).await? {
            Some(table) => Ok(table),
            None => Err(self.warehouse.not_found(table).await),
        }
    }

    fn named(&self, name: &str) -> Arc<Namespace> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let namespace = namespaces.entry(name.to_string()).or_insert_with(|| {
            Arc::new(Namespace {
                warehouse: self.warehouse.clone(),
                name: name.to_string(),
                listing: Arc::clone(&self.listing),
                pinned: Mutex::default(),
                unresolved: self.unresolved.clone(),
                views: Arc::clone(&self.views),
                text: self.text,
            })
        });
        Arc::clone(namespace)
    }
}

impl CatalogProvider for NamespaceCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.listing.get().into_iter().flat_map(|listing| listing.keys().cloned()).collect()
    }

    /// Also of a namespace that is not there: it has no tables.
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(self.named(name))
    }
}

#[derive(Debug)]
struct Namespace {
    warehouse: Warehouse,
    name: String,
    listing: Listing,
    pinned: Mutex<HashMap<String, Arc<IcebergTable>>>,
    unresolved: UnresolvedNames,
    views: Arc<Views>,
    text: TextType,
}

impl Namespace {
    /// A table or view by its name; `None` if there can be none of that name.
    fn ident(&self, name: &str) -> Option<TableIdent> {
        let namespace = NamespaceIdent::from_strs(self.name.split('.')).ok()?;
        let is_name = check_namespace(&namespace).is_ok() && check_name("table", name).is_ok();
        is_name.then(|| TableIdent::new(namespace, name.to_string()))
    }

    async fn pin(&self, name: &str) -> Result<Option<Arc<IcebergTable>>> {
        let mut pinned = self.pinned.lock().await;
        if let Some(table) = pinned.get(name) {
            return Ok(Some(Arc::clone(table)));
        }
        let Some(ident) = self.ident(name) else { return Ok(None) };
        let Some(table) = self.warehouse.find(&ident).await? else { return Ok(None) };
        let table = IcebergTable::current(table)?.with_text(self.text).with_seen_files(self.warehouse.seen_files());
        let table = Arc::new(table);
        pinned.insert(name.to_string(), Arc::clone(&table));
        Ok(Some(table))
    }

    fn listed(&self) -> Option<&Names> {
        self.listing.get()?.get(&self.name)
    }
}

#[async_trait]
impl SchemaProvider for Namespace {
    fn table_names(&self) -> Vec<String> {
        self.listed().map(|names| names.all.clone()).unwrap_or_default()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let (base, kind) = name.split_once('$').map_or((name, None), |(table, kind)| (table, Some(kind)));
        if let Some(table) = self.pin(base).await? {
            let Some(kind) = kind else { return Ok(Some(table)) };
            let Some(found) = MetadataTable::new(table, kind)? else {
                let kinds = METADATA_TABLES.map(|k| format!("{base}${k}")).join(", ");
                let what = format!("metadata table {}.{name} not found; there are {kinds}", self.name);
                return Err(Error::new(ErrorKind::NotFound, what).into());
            };
            return Ok(Some(Arc::new(found)));
        }
        if let (None, Some(ident)) = (kind, self.ident(name))
            && let Some(view) = self.warehouse.find_view(&ident).await?
        {
            return Ok(Some(self.views.provider(&view).await?));
        }
        self.unresolved.push(TableIdent::new(NamespaceIdent::new(self.name.clone()), base.to_string()));
        Ok(None)
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        if let Some(names) = self.listed().filter(|names| names.all.iter().any(|n| n == name)) {
            return Ok(Some(if names.views.contains(name) { TableType::View } else { TableType::Base }));
        }
        Ok(self.table(name).await?.map(|table| table.table_type()))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.listed().is_some_and(|names| names.all.iter().any(|n| n == name))
    }
}
