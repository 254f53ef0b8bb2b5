//! The scheduler as the front door's [`Backend`]. Its errors become the gateway's here.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bergmill_engine::{DEFAULT_NAMESPACE, metrics_text, without_views};
use bergmill_gateway::{
    self as gateway, Backend, Caller, Description, IngestTarget, Prepared, Sender, Statement, TableInfo,
};
use bergmill_statement::{CATALOG, ReferenceChange, identifier as sql_name, without_passwords};
use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::logical_expr::TableType;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::TryStreamExt;
use uuid::Uuid;

use crate::client_rows::announced;
use crate::error::{Error, ErrorKind, Result};
use crate::kept_plans::KeptPlan;
use crate::parameters::Parameters;
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::settings::Settings;
use crate::statement::{Planned, plan};
use crate::system::{Record, Running};
use crate::write::{branch_or_main, identifier};
use crate::{describe, explain, users};

#[async_trait]
impl Backend for Scheduler {
    fn catalog_name(&self) -> &str {
        CATALOG
    }

    fn default_namespace(&self) -> &str {
        DEFAULT_NAMESPACE
    }

    async fn describe(&self, statement: &Statement) -> gateway::Result<Description> {
        let record = Record::unkept();
        let described = self.describe_statement(statement, record.clone()).await;
        described.map_err(|e| self.refused(statement, &record, e))
    }

    async fn prepare(&self, statement: &Statement) -> gateway::Result<Prepared> {
        let record = Record::unkept();
        let prepared = self.prepare_statement(statement, record.clone()).await;
        prepared.map_err(|e| self.refused(statement, &record, e))
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
        ended(&running, self.run_update(statement, running.record()).await)
    }

    async fn cancel(&self, id: &str, sender: &Sender) -> gateway::Result<()> {
        let done = self.kill(id, sender.caller.as_ref());
        self.history.audit().cancelled(id, sender, &done);
        Ok(done?)
    }

    async fn set_option(
        &self,
        session: &gateway::Session,
        caller: Option<&Caller>,
        name: &str,
        value: Option<&str>,
    ) -> gateway::Result<()> {
        Ok(self.set(Some(session), caller, name, value).await?)
    }

    async fn ingest(
        &self,
        target: &IngestTarget,
        sender: &Sender,
        input: SendableRecordBatchStream,
    ) -> gateway::Result<u64> {
        let namespace = target.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let table = format!("{}.{}", sql_name(namespace), sql_name(&target.table));
        let running = self.history.begin(&format!("-- bulk ingest into {table}"), sender, None);
        ended(&running, self.ingest_stream(target, sender.caller.as_ref(), input, running.record()).await)
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

/// Ends the record of a statement that changes something.
fn ended(running: &Running, done: Result<u64>) -> gateway::Result<u64> {
    match done {
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

impl Scheduler {
    /// Begins the record of a statement.
    fn begin(&self, statement: &Statement) -> Running {
        let id = statement.id.as_ref().and_then(|id| id.parse().ok());
        self.history.begin(&without_passwords(&statement.sql), &statement.sender, id)
    }

    /// Counts a statement that cannot be planned.
    fn refused(&self, statement: &Statement, record: &Record, error: Error) -> gateway::Error {
        self.history.refused(&without_passwords(&statement.sql), &statement.sender, record, &error);
        error.into()
    }

    async fn describe_statement(&self, statement: &Statement, record: Record) -> Result<Description> {
        let (parameters, settings) = (Parameters::described(), Settings::of(&statement.options));
        let session = self.session(record, parameters, settings, None, statement.sender.caller.as_ref()).await?;
        let planned = plan(&statement.sql, &session).await?;
        let (rows, _) = self.rows_of(&planned, &session).await?;
        Ok(Description { rows, parameters: session.parameters.schema() })
    }

    async fn prepare_statement(&self, statement: &Statement, record: Record) -> Result<Prepared> {
        let (session, planned) = self.plan_statement(statement, record).await?;
        let (rows, single) = self.rows_of(&planned, &session).await?;
        let id = Uuid::now_v7().to_string();
        if !session.reads_system() {
            let statement = Statement { id: Some(id.clone()), ..statement.clone() };
            self.kept_plans.keep(statement, KeptPlan { session, planned, single });
        }
        Ok(match rows {
            Some(schema) => Prepared::Query { schema, id },
            None => Prepared::Update { id },
        })
    }

    /// Plans a statement with its values.
    async fn plan_statement(&self, statement: &Statement, record: Record) -> Result<(StatementSession, Planned)> {
        let caller = statement.sender.caller.as_ref();
        let prepared = self.prepared_plans.get(statement, &self.guard(caller).await?).await;
        let (parameters, settings) =
            (Parameters::bound(statement.parameters.clone()), Settings::of(&statement.options));
        let session = self.session(record, parameters, settings, prepared.as_deref(), caller).await?;
        let planned = plan(&statement.sql, &session).await?;
        if prepared.is_none() {
            self.prepared_plans.keep(statement, &session);
        }
        Ok((session, planned))
    }

    /// The schema of a statement's rows, if it returns rows, and the plan for one process of a query. Nothing is run.
    async fn rows_of(
        &self,
        planned: &Planned,
        session: &StatementSession,
    ) -> Result<(Option<SchemaRef>, Option<Arc<dyn ExecutionPlan>>)> {
        Ok(match planned {
            Planned::Query(plan) => {
                let single = session.single.create_physical_plan(plan).await?;
                (Some(announced(&single)), Some(single))
            }
            Planned::ExplainAnalyze(_) => (Some(explain::schema()), None),
            Planned::Users(statement) => match users::columns(statement) {
                Some(columns) => {
                    let plan = describe::rows(columns, Vec::new())?;
                    (Some(announced(&session.single.create_physical_plan(&plan).await?)), None)
                }
                None => (None, None),
            },
            _ => (None, None),
        })
    }

    /// The plan of a statement, which may have been kept. One that was admitted by rights which have changed since is
    /// made again, so that a `REVOKE` has an effect on it.
    async fn planned(&self, statement: &Statement, record: Record) -> Result<KeptPlan> {
        if let Some(mut kept) = self.kept_plans.take(statement)
            && kept.session.tables.are_seen_by(&self.guard(statement.sender.caller.as_ref()).await?).await
        {
            kept.session.record = record;
            kept.session.note_tables(Some(&kept.planned));
            return Ok(kept);
        }
        let (session, planned) = self.plan_statement(statement, record).await?;
        Ok(KeptPlan { session, planned, single: None })
    }

    async fn run_query(&self, statement: &Statement, record: Record) -> Result<SendableRecordBatchStream> {
        let KeptPlan { session, planned, single } = Box::pin(self.planned(statement, record)).await?;
        match planned {
            Planned::Query(plan) => Ok(self.run_as(&plan, &plan, single, &session).await?.rows),
            Planned::ExplainAnalyze(plan) => self.explain_analyze(&plan, &session).await,
            Planned::Users(users) => {
                let plan = self.list_users(&users, statement.sender.caller.as_ref()).await?;
                self.run(&plan, &session).await
            }
            _ => Err(Error::new(ErrorKind::InvalidInput, "this statement returns no rows; send it as an update")),
        }
    }

    async fn run_update(&self, statement: &Statement, record: Record) -> Result<u64> {
        let KeptPlan { session, planned, .. } = Box::pin(self.planned(statement, record)).await?;
        if session.parameters.is_for_no_row() {
            return Ok(0);
        }
        let (session, tag) = (&session, statement.tag.as_ref());
        match planned {
            Planned::Insert(insert) => self.insert(*insert, tag, session).await,
            Planned::ChangeReferences { table, change } => self.change_references(&table, &change, session).await,
            Planned::ChangeRows { statement, branch } => {
                self.change_rows(&statement, branch_or_main(&branch), tag, session).await
            }
            Planned::Truncate { table, branch } => self.truncate(&table, branch_or_main(&branch), tag, session).await,
            Planned::CreateTable(create) => self.create_table(*create, tag, session).await,
            Planned::CreateNamespace { name, location, if_not_exists } => {
                self.create_namespace(&name, location.as_deref(), if_not_exists).await
            }
            Planned::DropTable { name, if_exists } => self.drop_table(&name, if_exists, session).await,
            Planned::DropNamespace { name, if_exists } => self.drop_namespace(&name, if_exists).await,
            Planned::Define(ddl) => self.define(*ddl, session).await,
            Planned::Users(users) => self.change_users(users, session).await.map(|()| 0),
            Planned::Set(set) => {
                let (session, caller) = (statement.session.as_ref(), statement.sender.caller.as_ref());
                self.set(session, caller, &set.name, set.value.as_deref()).await.map(|()| 0)
            }
            Planned::Kill(id) => self.kill(&id, statement.sender.caller.as_ref()).map(|()| 0),
            Planned::NoEffect => Ok(0),
            Planned::Query(_) | Planned::ExplainAnalyze(_) => {
                Err(Error::new(ErrorKind::InvalidInput, "this statement returns rows; send it as a query"))
            }
        }
    }

    /// The namespaces of which a caller may know.
    pub(crate) async fn namespace_names(&self, caller: Option<&Caller>) -> Result<Vec<String>> {
        let session = self.session(Record::unkept(), Parameters::default(), Settings::default(), None, caller).await?;
        let known = session.tables.namespaces().await?;
        Ok(known.iter().map(ToString::to_string).collect())
    }

    async fn table_infos(&self, caller: Option<&Caller>) -> Result<Vec<TableInfo>> {
        let session = self.session(Record::unkept(), Parameters::default(), Settings::default(), None, caller).await?;
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

    async fn change_references(
        &self,
        table: &TableReference,
        change: &ReferenceChange,
        session: &StatementSession,
    ) -> Result<u64> {
        let name = identifier(table, &session.settings.namespace)?;
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
