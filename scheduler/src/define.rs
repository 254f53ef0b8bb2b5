//! Definition statements: `ALTER TABLE`, comments, views.

use std::sync::Arc;

use async_trait::async_trait;
use bergmill_catalog::{
    COMMENT, ErrorKind as CatalogErrorKind, NamespaceCatalog, NewView, QualifiedName, Result as CatalogResult,
    ViewPlanner,
};
use bergmill_engine::{DEFAULT_NAMESPACE, local_config};
use bergmill_statement::{Alteration, CATALOG, CreateView, Ddl, TableName, parse};
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;

use crate::error::Result;
use crate::planner::session_state;
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::statement::{names_information_schema, parsed, reference};
use crate::write::identifier;

impl Scheduler {
    /// Runs a definition statement that returns no rows.
    pub(crate) async fn define(&self, ddl: Ddl, session: &StatementSession) -> Result<u64> {
        let (warehouse, default) = (&self.warehouse, session.settings.namespace.as_str());
        let done = match ddl {
            Ddl::AlterTable { table, if_exists, alteration } => {
                let name = qualified(&table, default)?;
                let altered = warehouse.alter_table(&name, &alteration).await.map(drop);
                or_missing(altered, if_exists, || self.exists(&table, default)).await
            }
            Ddl::RenameTable { table, if_exists, to } => {
                let from = qualified(&table, default)?;
                let to = match to.namespace {
                    Some(_) => qualified(&to, default)?,
                    None => from.beside(&to.table),
                };
                let granted = self.granted_on(&from, session).await;
                let renamed = self.in_namespace(&to, || warehouse.rename_table(&from, &to)).await;
                if renamed.is_ok() {
                    self.renamed(granted.as_ref(), &to).await?;
                }
                or_missing(renamed, if_exists, || self.exists(&table, default)).await
            }
            Ddl::Comment { table, is_view: true, text } => {
                let name = qualified(&table, default)?;
                warehouse.comment_view(&name, text).await
            }
            Ddl::Comment { table, is_view: false, text } => {
                let alteration = match text {
                    Some(text) => Alteration::SetProperties([(COMMENT.to_string(), text)].into()),
                    None => Alteration::UnsetProperties { names: vec![COMMENT.to_string()], if_exists: true },
                };
                let name = qualified(&table, default)?;
                warehouse.alter_table(&name, &alteration).await.map(drop)
            }
            Ddl::CreateView(view) => return self.create_view(*view, session).await,
            Ddl::DropView { view, if_exists } => {
                let name = qualified(&view, default)?;
                let granted = self.granted_on(&name, session).await;
                let dropped = warehouse.drop_view(&name).await;
                if dropped.is_ok() {
                    self.dropped(granted.as_ref()).await;
                }
                match dropped {
                    Err(e) if if_exists && e.kind() == CatalogErrorKind::NotFound => Ok(()),
                    other => other,
                }
            }
        };
        Ok(done.map(|()| 0)?)
    }

    /// Creates a table or view, and first the default namespace if it is needed and missing.
    pub(crate) async fn in_namespace<T, F: Future<Output = CatalogResult<T>>>(
        &self,
        name: &QualifiedName,
        make: impl Fn() -> F,
    ) -> CatalogResult<T> {
        let made = make().await;
        let lacks_default =
            matches!(&made, Err(e) if e.kind() == CatalogErrorKind::NotFound) && name.namespace() == DEFAULT_NAMESPACE;
        if !lacks_default {
            return made;
        }
        match self.warehouse.create_namespace(DEFAULT_NAMESPACE, None).await {
            Err(e) if e.kind() != CatalogErrorKind::AlreadyExists => Err(e),
            // Created by us or by a concurrent statement: it exists.
            _ => make().await,
        }
    }

    async fn exists(&self, table: &TableName, default: &str) -> bool {
        match qualified(table, default) {
            Ok(name) => !matches!(self.warehouse.catalog().pointer(&name).await, Ok(None)),
            Err(_) => true,
        }
    }

    async fn create_view(&self, view: CreateView, session: &StatementSession) -> Result<u64> {
        let default = session.settings.namespace.as_str();
        let name = qualified(&view.name, default)?;
        let exists = self.warehouse.find_view(&name).await?.is_some();
        if exists && view.if_not_exists {
            return Ok(0);
        }
        let sql = view.sql();
        let plan = session.tables.plan_view(&name, &sql, default).await;
        let plan = plan.map_err(|e| e.context(format_args!("view {name}")))?;
        let mut properties = view.properties;
        properties.extend(view.comment.map(|text| (COMMENT.to_string(), text)));
        let new = NewView {
            columns: plan.schema().inner().as_ref().clone(),
            docs: view.columns.into_iter().filter_map(|c| Some((c.name, c.doc?))).collect(),
            sql,
            default_namespace: default.to_string(),
            properties,
        };
        let create = || self.warehouse.create_view(&name, new.clone(), view.or_replace);
        match self.in_namespace(&name, create).await {
            Err(e) if view.if_not_exists && e.kind() == CatalogErrorKind::AlreadyExists => Ok(0),
            Err(e) => Err(e.into()),
            Ok(()) => self.own_view(&name, &new, !exists, session).await.map(|()| 0),
        }
    }
}

/// The table or view to which a name in a statement refers; one without a namespace is in `default`.
pub(crate) fn qualified(name: &TableName, default: &str) -> Result<QualifiedName> {
    identifier(&reference(name), default)
}

/// With `IF EXISTS` a missing table is not an error, but a missing column is.
async fn or_missing<F: Future<Output = bool>>(
    done: bergmill_catalog::Result<()>,
    if_exists: bool,
    exists: impl FnOnce() -> F,
) -> bergmill_catalog::Result<()> {
    match done {
        Err(e) if if_exists && e.kind() == CatalogErrorKind::NotFound && !exists().await => Ok(()),
        other => other,
    }
}

/// Plans views in separate sessions over the tables of a statement.
#[derive(Debug)]
pub(crate) struct SessionViews {
    /// The process's memory and object stores.
    pub runtime: Arc<RuntimeEnv>,
}

#[async_trait]
impl ViewPlanner for SessionViews {
    async fn plan(
        &self,
        tables: &NamespaceCatalog,
        sql: &str,
        default_namespace: &str,
    ) -> DataFusionResult<LogicalPlan> {
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        catalogs.register_catalog(CATALOG.to_string(), Arc::new(tables.clone()));
        let config = local_config().with_default_catalog_and_schema(CATALOG, default_namespace);
        let state = session_state(config, Arc::clone(&self.runtime), catalogs as _);
        let no_query = || DataFusionError::Plan("a view must be defined by a query".to_string());
        let statement = parse(sql).map_err(bergmill_catalog::Error::from)?;
        let statement = parsed(statement)?.ok_or_else(no_query)?;
        if names_information_schema(&statement, &state) {
            tables.list().await?;
        }
        let plan = state.statement_to_plan(statement).await?;
        match plan {
            LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Statement(_) | LogicalPlan::Copy(_) => {
                Err(no_query())
            }
            query => Ok(query),
        }
    }
}
