//! The scheduler as the front door's [`Backend`]. Its errors become the gateway's here.

use std::sync::Arc;

use async_trait::async_trait;
use bergmill_engine::{metrics_text, without_views};
use bergmill_gateway::{self as gateway, Backend, Caller, IngestTarget, Prepared, Statement, TableInfo};
use bergmill_statement::{CATALOG, ReferenceChange, without_passwords};
use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::logical_expr::TableType;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

use crate::client_rows::announced;
use crate::error::{Error, ErrorKind, Result};
use crate::process::Scheduler;
use crate::statement::{Planned, plan};
use crate::system::{Record, Running};
use crate::write::{branch_or_main, identifier};
use crate::{describe, explain, users};

#[async_trait]
impl Backend for Scheduler {
    fn catalog_name(&self) -> &str {
        CATALOG
    }

    async fn prepare(&self, statement: &Statement) -> gateway::Result<Prepared> {
        match self.prepare_statement(statement).await {
            Ok(prepared) => Ok(prepared),
            Err(e) => {
                self.history.count_refused(&e);
                Err(e.into())
            }
        }
    }

    async fn query(&self, statement: &Statement) -> gateway::Result<SendableRecordBatchStream> {
        let running = self.begin(statement);
        match self.run_query(statement, running.record()).await {
            Ok(rows) => Ok(with_errors_for_clients(running.until_read(rows))),
            Err(e) => {
                running.fail(&e);
                Err(e.into())
            }
        }
    }

    async fn update(&self, statement: &Statement) -> gateway::Result<u64> {
        let running = self.begin(statement);
        match self.run_update(statement, running.record()).await {
            Ok(rows) => {
                running.finish(rows);
                Ok(rows)
            }
            Err(e) => {
                running.fail(&e);
                Err(e.into())
            }
        }
    }

    async fn ingest(
        &self,
        target: &IngestTarget,
        caller: Option<&Caller>,
        input: SendableRecordBatchStream,
    ) -> gateway::Result<u64> {
        Ok(self.ingest_stream(target, caller, input).await?)
    }

    async fn ready(&self) -> gateway::Result<()> {
        self.namespace_names(None).await?;
        if self.executors().await?.is_empty() {
            return Err(Error::new(ErrorKind::Unavailable, "no executor has registered").into());
        }
        Ok(())
    }

    async fn metrics(&self) -> gateway::Result<String> {
        let text = metrics_text(self.metrics.gather(self).await);
        text.map_err(|e| gateway::Error::new(gateway::ErrorKind::Internal, format!("metrics: {e}")))
    }

    async fn namespaces(&self, caller: Option<&Caller>) -> gateway::Result<Vec<String>> {
        Ok(self.namespace_names(caller).await?)
    }

    async fn tables(&self, caller: Option<&Caller>) -> gateway::Result<Vec<TableInfo>> {
        Ok(self.table_infos(caller).await?)
    }
}

/// Converts the errors of rows to the gateway's, which keeps their kinds.
fn with_errors_for_clients(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let rows = rows.map_err(|e| match Error::find(&e) {
        Some(ours) => gateway::Error::from(ours.clone()).into(),
        None => e,
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

impl Scheduler {
    /// Begins the record of a statement.
    fn begin(&self, statement: &Statement) -> Running {
        let user = statement.caller.as_ref().map(|caller| caller.user.as_str());
        self.history.begin(&without_passwords(&statement.sql), user)
    }

    async fn prepare_statement(&self, statement: &Statement) -> Result<Prepared> {
        let session = self.session(Record::unkept(), statement.caller.as_ref()).await?;
        Ok(match plan(&statement.sql, &session).await? {
            Planned::Query(plan) => {
                let plan = session.single.create_physical_plan(&plan).await?;
                Prepared::Query(announced(&plan))
            }
            Planned::ExplainAnalyze(_) => Prepared::Query(explain::schema()),
            Planned::Users(statement) => match users::columns(&statement) {
                // Nothing is done or shown yet.
                Some(columns) => {
                    let plan = describe::rows(columns, Vec::new())?;
                    Prepared::Query(announced(&session.single.create_physical_plan(&plan).await?))
                }
                None => Prepared::Update,
            },
            _ => Prepared::Update,
        })
    }

    async fn run_query(&self, statement: &Statement, record: Record) -> Result<SendableRecordBatchStream> {
        let session = self.session(record, statement.caller.as_ref()).await?;
        match plan(&statement.sql, &session).await? {
            Planned::Query(plan) => self.run(&plan, &session).await,
            Planned::ExplainAnalyze(plan) => self.explain_analyze(&plan, &session).await,
            Planned::Users(users) => {
                let plan = self.list_users(&users, statement.caller.as_ref()).await?;
                self.run(&plan, &session).await
            }
            _ => Err(Error::new(ErrorKind::InvalidInput, "this statement returns no rows; send it as an update")),
        }
    }

    async fn run_update(&self, statement: &Statement, record: Record) -> Result<u64> {
        let session = self.session(record, statement.caller.as_ref()).await?;
        let tag = statement.tag.as_ref();
        match plan(&statement.sql, &session).await? {
            Planned::Insert(insert) => self.insert(*insert, tag, &session).await,
            Planned::ChangeReferences { table, change } => self.change_references(&table, &change).await,
            Planned::ChangeRows { statement, branch } => {
                self.change_rows(&statement, branch_or_main(&branch), tag, &session).await
            }
            Planned::Truncate { table, branch } => self.truncate(&table, branch_or_main(&branch), tag, &session).await,
            Planned::CreateTable(create) => self.create_table(*create, tag, &session).await,
            Planned::CreateNamespace { name, location, if_not_exists } => {
                self.create_namespace(&name, location.as_deref(), if_not_exists).await
            }
            Planned::DropTable { name, if_exists } => self.drop_table(&name, if_exists, &session).await,
            Planned::DropNamespace { name, if_exists } => self.drop_namespace(&name, if_exists).await,
            Planned::Define(ddl) => self.define(*ddl, &session).await,
            Planned::Users(users) => self.change_users(users, &session).await.map(|()| 0),
            Planned::NoEffect => Ok(0),
            Planned::Query(_) | Planned::ExplainAnalyze(_) => {
                Err(Error::new(ErrorKind::InvalidInput, "this statement returns rows; send it as a query"))
            }
        }
    }

    async fn namespace_names(&self, caller: Option<&Caller>) -> Result<Vec<String>> {
        let session = self.session(Record::unkept(), caller).await?;
        let known = session.tables.namespaces().await?;
        Ok(known.iter().map(ToString::to_string).collect())
    }

    async fn table_infos(&self, caller: Option<&Caller>) -> Result<Vec<TableInfo>> {
        let session = self.session(Record::unkept(), caller).await?;
        let mut all = Vec::new();
        let listed = session.tables.list().await?;
        for (namespace, names) in listed {
            let Some(schema) = session.tables.schema(namespace) else { continue };
            for name in &names.all {
                // A table that was dropped since the listing, or whose metadata is damaged, must not hide the others.
                let found: Option<Arc<dyn TableProvider>> = match schema.table(name).await {
                    Ok(found) => found,
                    Err(e) => {
                        tracing::warn!("table {namespace}.{name}: {}", Error::from(e));
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

    async fn change_references(&self, table: &TableReference, change: &ReferenceChange) -> Result<u64> {
        let name = identifier(table)?;
        self.warehouse.change_references(&name, change).await?;
        Ok(0)
    }

    async fn create_namespace(&self, name: &str, location: Option<&str>, if_not_exists: bool) -> Result<u64> {
        match self.warehouse.create_namespace(name, location).await {
            Ok(()) => self.forget_namespace(name).await.map(|()| 0),
            Err(e) if if_not_exists && e.kind() == bergmill_catalog::ErrorKind::AlreadyExists => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    async fn drop_namespace(&self, name: &str, if_exists: bool) -> Result<u64> {
        match self.warehouse.drop_namespace(name).await {
            Ok(()) => self.forget_namespace(name).await.map(|()| 0),
            Err(e) if if_exists && e.kind() == bergmill_catalog::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(e.into()),
        }
    }
}
