//! The warehouse as a DataFusion catalog, for one statement.
//!
//! A table is looked up and loaded, and so pinned to a snapshot, when the statement names it, and the same table named
//! twice is the same snapshot. Names are listed only for a statement that lists them, and for the hint of a name that
//! is not found. What the statement's user may not know of is not there, see [`Guard`].

mod guard;
#[cfg(test)]
mod tests;
mod unresolved;
pub(crate) mod views;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use async_trait::async_trait;
use bergmill_statement::Privilege;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{LogicalPlan, TableType};
use futures::{StreamExt, TryStreamExt};
use iceberg::{NamespaceIdent, TableIdent};
use tokio::sync::{Mutex, OnceCell};

pub use self::guard::Guard;
use self::unresolved::UnresolvedNames;
use self::views::OpenViews;
use crate::deferred::DeferredTable;
use crate::error::{Error, ErrorKind, Result};
use crate::metadata_tables::{METADATA_TABLES, MetadataTable};
use crate::pointers::store::{check_name, check_namespace};
use crate::read::{IcebergTable, TextType};
use crate::table::views::View;
use crate::table::{LISTINGS_IN_FLIGHT, Warehouse};
use crate::unreadable::Unreadable;

/// The tables and views of a namespace.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The names of tables and views, in order.
    pub all: Vec<String>,
    /// The names of the views among them.
    pub views: BTreeSet<String>,
}

/// The names of a warehouse as of the first time they were listed.
type Listing = Arc<OnceCell<BTreeMap<String, Names>>>;

/// Plans the queries of views, in a session over the given tables.
#[async_trait]
pub trait ViewPlanner: Debug + Send + Sync {
    /// The plan of `sql` over `tables`, of which those without a namespace are in `default_namespace`.
    async fn plan(
        &self,
        tables: &NamespaceCatalog,
        sql: &str,
        default_namespace: &str,
    ) -> DataFusionResult<LogicalPlan>;
}

/// The namespaces of a warehouse as one statement sees them. Clones share the tables and lists that they have loaded.
#[derive(Debug, Clone)]
pub struct NamespaceCatalog {
    warehouse: Warehouse,
    text: TextType,
    guard: Guard,
    unresolved: UnresolvedNames,
    planner: Arc<dyn ViewPlanner>,
    views: Arc<OpenViews>,
    listing: Listing,
    pinned: Arc<Mutex<HashMap<TableIdent, Arc<IcebergTable>>>>,
    /// Whether more than pinned tables was looked up.
    found_others: Arc<AtomicBool>,
    found: Arc<SyncMutex<BTreeSet<String>>>,
}

impl NamespaceCatalog {
    /// Tables whose text is read as `text`, and views that `planner` plans, as far as `guard` lets them be seen. No
    /// request is made to the warehouse's catalog.
    pub fn new(warehouse: Warehouse, text: TextType, planner: Arc<dyn ViewPlanner>, guard: Guard) -> Self {
        let (unresolved, views, listing, pinned, found_others, found) = Default::default();
        Self { warehouse, text, guard, unresolved, planner, views, listing, pinned, found_others, found }
    }

    /// The same names, of tables whose text is read as `text`.
    pub fn with_text(&self, text: TextType) -> Self {
        // Plans of views depend on how their tables are read.
        Self { text, views: Arc::default(), pinned: Arc::default(), ..self.clone() }
    }

    /// Whether a statement that is planned now would see the same: the tables that are pinned here are current, and no
    /// view and no list of names was needed.
    pub async fn is_current(&self) -> Result<bool> {
        if self.found_others.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let pinned: Vec<_> = self.pinned.lock().await.iter().map(|(i, table)| (i.clone(), Arc::clone(table))).collect();
        for (ident, table) in pinned {
            let current = self.warehouse.find(&ident).await?;
            if current.is_none_or(|current| current.metadata_location() != table.table().metadata_location()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The tables and views that were found, and those below views, as statements name them. The statement's user need
    /// not be allowed to read them.
    pub fn found(&self) -> Vec<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Whether text is read as `text`.
    pub fn reads_text_as(&self, text: TextType) -> bool {
        self.text == text
    }

    /// The plan of the query of `view`, which need not exist yet.
    ///
    /// # Errors
    /// `Invalid` if the query reads `view` itself, directly or through other views.
    pub async fn plan_view(&self, view: &TableIdent, sql: &str, default_namespace: &str) -> Result<LogicalPlan> {
        self.views.plan(view, self.planner.plan(self, sql, default_namespace), self).await
    }

    async fn view(&self, view: &View) -> Result<Arc<dyn TableProvider>> {
        let tables = self.below(view).await?;
        let planned =
            async { tables.plan_view(view.ident(), view.sql()?, &view.default_namespace().to_string()).await };
        views::provider(view, planned).await
    }

    /// All namespaces with their tables and views. Callers that cannot wait, such as `information_schema`, find none
    /// until this has been called.
    pub async fn list(&self) -> Result<&BTreeMap<String, Names>> {
        self.found_others.store(true, Ordering::Relaxed);
        let list = async || {
            let namespaces = self.namespaces().await?;
            let listings = namespaces.into_iter().map(|namespace| async move {
                let names = self.list_in(&namespace).await?;
                Ok((namespace.to_string(), names))
            });
            futures::stream::iter(listings).buffered(LISTINGS_IN_FLIGHT).try_collect().await
        };
        self.listing.get_or_try_init(list).await
    }

    /// All namespaces.
    pub async fn namespaces(&self) -> Result<Vec<NamespaceIdent>> {
        let mut all = self.warehouse.catalog().namespaces().await?;
        all.retain(|namespace| self.guard.rights().sees_namespace(&namespace.to_string()));
        Ok(all)
    }

    /// The tables and views of one namespace; none if there is no such namespace.
    async fn list_in(&self, namespace: &NamespaceIdent) -> Result<Names> {
        let catalog = self.warehouse.catalog();
        let tables = catalog.tables(namespace).await?;
        let views: BTreeSet<String> = catalog.views(namespace).await?.into_iter().map(|v| v.name).collect();
        let mut all: Vec<String> = tables.into_iter().map(|t| t.name).collect();
        all.extend(views.iter().cloned());
        all.sort();
        Ok(self.seen(namespace, Names { all, views }).await)
    }

    /// The tables and views of a namespace, whose levels are separated by dots. `NotFound` if there is no such
    /// namespace.
    pub async fn list_namespace(&self, namespace: &str) -> Result<Names> {
        let namespace = NamespaceIdent::from_strs(namespace.split('.'))?;
        let is_seen = self.guard.rights().sees_namespace(&namespace.to_string());
        match is_seen && self.warehouse.catalog().namespace_exists(&namespace).await? {
            true => self.list_in(&namespace).await,
            false => Err(self.namespace_not_found(&namespace).await),
        }
    }

    /// The error of a name that planning did not find, with the nearest name that exists.
    pub async fn take_miss(&self) -> Option<Error> {
        match self.unresolved.take() {
            Some(name) => Some(self.not_found(&name).await),
            None => None,
        }
    }

    /// The table at the snapshot that this statement reads, and will be checked against when it writes.
    pub async fn pinned(&self, table: &TableIdent) -> Result<Arc<IcebergTable>> {
        match self.namespace(&table.namespace().to_string()).pin(table.name()).await? {
            Some(table) => Ok(table),
            None => Err(self.not_found(table).await),
        }
    }

    /// Notes that a table or view was found, unless it must look as if there were none.
    fn note_found(&self, table: &TableIdent, is_seen: bool) {
        if is_seen {
            self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(guard::in_sql(table));
        }
    }

    fn namespace(&self, name: &str) -> Namespace {
        Namespace { tables: self.clone(), name: name.to_string() }
    }

    async fn pin(&self, ident: &TableIdent) -> Result<Option<Arc<IcebergTable>>> {
        let mut pinned = self.pinned.lock().await;
        if let Some(table) = pinned.get(ident) {
            return Ok(Some(Arc::clone(table)));
        }
        let Some(table) = self.warehouse.find(ident).await? else { return Ok(None) };
        let table = IcebergTable::current(table)?.with_text(self.text).with_files_cache(self.warehouse.files_cache());
        let table = Arc::new(table);
        pinned.insert(ident.clone(), Arc::clone(&table));
        Ok(Some(table))
    }
}

impl CatalogProvider for NamespaceCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.listing.get().into_iter().flat_map(|listing| listing.keys().cloned()).collect()
    }

    /// Also for a namespace that does not exist: it has no tables.
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(self.namespace(name)))
    }
}

#[derive(Debug)]
struct Namespace {
    tables: NamespaceCatalog,
    name: String,
}

impl Namespace {
    /// A table or view by its name; `None` if there can be none of that name.
    fn ident(&self, name: &str) -> Option<TableIdent> {
        let namespace = NamespaceIdent::from_strs(self.name.split('.')).ok()?;
        let is_name = check_namespace(&namespace).is_ok() && check_name("table", name).is_ok();
        is_name.then(|| TableIdent::new(namespace, name.to_string()))
    }

    async fn pin(&self, name: &str) -> Result<Option<Arc<IcebergTable>>> {
        match self.ident(name) {
            Some(ident) => self.tables.pin(&ident).await,
            None => Ok(None),
        }
    }

    /// A table, its metadata table `kind`, or a view, as far as the statement may see it.
    async fn find(&self, ident: &TableIdent, kind: Option<&str>) -> Result<Option<Arc<dyn TableProvider>>> {
        let (guard, base) = (&self.tables.guard, ident.name());
        let allowed = |id: &str| guard.rights().on_table(&self.name, base, id);
        if let Some(table) = self.tables.pin(ident).await? {
            let allowed = allowed(&table.id());
            self.tables.note_found(ident, !allowed.is_empty());
            let may_read = allowed.contains(Privilege::Select);
            return Ok(match kind {
                _ if allowed.is_empty() => None,
                None if may_read => Some(table),
                None => Some(Arc::new(Unreadable::new(table.schema(), TableType::Base, &guard.unread(ident)))),
                Some(kind) if may_read => Some(self.metadata_table(table, base, kind)?),
                Some(_) => return Err(guard.unread(ident)),
            });
        }
        if kind.is_some() {
            return Ok(None);
        }
        self.tables.found_others.store(true, Ordering::Relaxed);
        let Some(view) = self.tables.warehouse.find_view(ident).await? else { return Ok(None) };
        let allowed = allowed(&view.id());
        self.tables.note_found(ident, !allowed.is_empty());
        Ok(match allowed.contains(Privilege::Select) {
            _ if allowed.is_empty() => None,
            true => Some(self.tables.view(&view).await?),
            false => {
                let columns = Arc::new(view.columns()?);
                Some(Arc::new(Unreadable::new(columns, TableType::View, &guard.unread(ident))))
            }
        })
    }

    fn metadata_table(&self, table: Arc<IcebergTable>, base: &str, kind: &str) -> Result<Arc<dyn TableProvider>> {
        match MetadataTable::new(table, kind)? {
            Some(found) => Ok(Arc::new(DeferredTable(found))),
            None => {
                let kinds = METADATA_TABLES.map(|k| format!("{base}${k}")).join(", ");
                let what = format!("metadata table {}.{base}${kind} not found; there are {kinds}", self.name);
                Err(Error::new(ErrorKind::NotFound, what))
            }
        }
    }

    fn listed(&self) -> Option<&Names> {
        self.tables.listing.get()?.get(&self.name)
    }
}

#[async_trait]
impl SchemaProvider for Namespace {
    fn table_names(&self) -> Vec<String> {
        self.listed().map(|names| names.all.clone()).unwrap_or_default()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let (base, kind) = name.split_once('$').map_or((name, None), |(table, kind)| (table, Some(kind)));
        let found = match self.ident(base) {
            Some(ident) if self.tables.guard.rights().may_see_table(&self.name, base) => {
                self.find(&ident, kind).await?
            }
            _ => None,
        };
        if found.is_none() {
            self.tables.found_others.store(true, Ordering::Relaxed);
            self.tables.unresolved.push(TableIdent::new(NamespaceIdent::new(self.name.clone()), base.to_string()));
        }
        Ok(found)
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
