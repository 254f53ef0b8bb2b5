//! The scheduler as the front door sees it.

use std::sync::Arc;

use async_trait::async_trait;
use bergmill_catalog::{MAIN_BRANCH, ReferenceChange};
use bergmill_engine::{CATALOG, without_views};
use bergmill_gateway::{Backend, Error, ErrorKind, IngestTarget, Prepared, Result, Statement, TableInfo};
use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::logical_expr::TableType;
use datafusion::physical_plan::SendableRecordBatchStream;

use crate::error::{from_catalog, from_datafusion};
use crate::explain;
use crate::process::Scheduler;
use crate::query::announced;
use crate::statement::{Planned, plan};
use crate::write::identifier;

#[async_trait]
impl Backend for Scheduler {
    fn catalog_name(&self) -> &str {
        CATALOG
    }

    async fn prepare(&self, statement: &Statement) -> Result<Prepared> {
        let session = self.session().await?;
        Ok(match plan(&statement.sql, &session).await? {
            Planned::Query(plan) => {
                let plan = session.single.create_physical_plan(&plan).await.map_err(from_datafusion)?;
                Prepared::Query(announced(&plan))
            }
            Planned::ExplainAnalyze(_) => Prepared::Query(explain::schema()),
            _ => Prepared::Update,
        })
    }

    async fn query(&self, statement: &Statement) -> Result<SendableRecordBatchStream> {
        let session = self.session().await?;
        match plan(&statement.sql, &session).await? {
            Planned::Query(plan) => self.run(&plan, &session).await,
            Planned::ExplainAnalyze(plan) => self.explain_analyze(&plan, &session).await,
            _ => Err(Error::new(ErrorKind::InvalidInput, "this statement returns no rows; send it as an update")),
        }
    }

    async fn update(&self, statement: &Statement) -> Result<u64> {
        let session = self.session().await?;
        let tag = statement.tag.as_ref();
        match plan(&statement.sql, &session).await? {
            Planned::Insert { table, branch, mode, input } => {
                self.insert(&table, branch_or_main(&branch), mode, input, tag, &session).await
            }
            Planned::ChangeReferences { table, change } => self.change_references(&table, &change).await,
            Planned::ChangeRows { statement, branch } => {
                self.change_rows(&statement, branch_or_main(&branch), tag, &session).await
            }
            Planned::Truncate { table, branch } => self.truncate(&table, branch_or_main(&branch), tag, &session).await,
            Planned::CreateTable(create) => self.create_table(*create, tag, &session).await,
            Planned::CreateNamespace { name, location, if_not_exists } => {
                self.create_namespace(&name, location.as_deref(), if_not_exists).await
            }
            Planned::DropTable { name, if_exists } => self.drop_table(&name, if_exists).await,
            Planned::DropNamespace { name, if_exists } => self.drop_namespace(&name, if_exists).await,
            Planned::Define(ddl) => self.define(*ddl, &session).await,
            Planned::Query(_) | Planned::ExplainAnalyze(_) => {
                Err(Error::new(ErrorKind::InvalidInput, "this statement returns rows; send it as a query"))
            }
        }
    }

    async fn ingest(&self, target: &IngestTarget, input: SendableRecordBatchStream) -> Result<u64> {
        self.ingest_stream(target, input).await
    }

    async fn namespaces(&self) -> Result<Vec<String>> {
        let known = self.warehouse.catalog().namespaces().await.map_err(|e| from_catalog(&e))?;
        Ok(known.iter().map(ToString::to_string).collect())
    }

    async fn tables(&self) -> Result<Vec<TableInfo>> {
        let session = self.session().await?;
        let mut all = Vec::new();
        let listed = session.tables.list().await.map_err(|e| from_catalog(&e))?;
        for (namespace, names) in listed {
            let Some(schema) = session.tables.schema(namespace) else { continue };
            for name in &names.all {
                // A table that was dropped since it was listed, or whose metadata is damaged, must not hide the others.
                let found: Option<Arc<dyn TableProvider>> = match schema.table(name).await {
                    Ok(found) => found,
                    Err(e) => {
                        tracing::warn!("table {namespace}.{name}: {}", from_datafusion(e));
                        None
                    }
                };
                if let Some(table) = found {
                    let (namespace, name) = (namespace.clone(), name.clone());
                    let kind = if table.table_type() == TableType::View { "VIEW" } else { "TABLE" };
                    all.push(TableInfo { namespace, name, kind, schema: without_views(&table.schema()) });
                }
            }
        }
        Ok(all)
    }
}

/// The branch that a statement names, or the one that it means.
fn branch_or_main(branch: &Option<String>) -> &str {
    branch.as_deref().unwrap_or(MAIN_BRANCH)
}

impl Scheduler {
    async fn change_references(&self, table: &TableReference, change: &ReferenceChange) -> Result<u64> {
        let changed = self.warehouse.change_references(&identifier(table)?, change).await;
        changed.map(|_| 0).map_err(|e| from_catalog(&e))
    }

    async fn create_namespace(&self, name: &str, location: Option<&str>, if_not_exists: bool) -> Result<u64> {
        match self.warehouse.create_namespace(name, location).await {
            Err(e) if if_not_exists && e.kind() == bergmill_catalog::ErrorKind::AlreadyExists => Ok(0),
            other => other.map(|()| 0).map_err(|e| from_catalog(&e)),
        }
    }

    async fn drop_namespace(&self, name: &str, if_exists: bool) -> Result<u64> {
        match self.warehouse.drop_namespace(name).await {
            Err(e) if if_exists && e.kind() == bergmill_catalog::ErrorKind::NotFound => Ok(0),
            other => other.map(|()| 0).map_err(|e| from_catalog(&e)),
        }
    }
}
