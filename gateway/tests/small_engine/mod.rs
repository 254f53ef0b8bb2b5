//! A real engine behind the front door, as small as one can be: DataFusion over tables in memory.
//!
//! It also records the calls, for tests to read.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use async_trait::async_trait;
use bergmill_gateway::{
    Backend, Caller, CommitTag, Description, Error, ErrorKind, IngestMode, IngestTarget, Prepared, Result, Sender,
    Session, Statement, TableInfo,
};
use datafusion::catalog::SchemaProvider;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::datasource::{MemTable, TableType};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::sync::watch;

/// A count that a test can wait for. Clones share it.
#[derive(Clone, Default)]
pub struct Count(Arc<watch::Sender<usize>>);

impl Count {
    fn add(&self, n: usize) {
        self.0.send_modify(|count| *count += n);
    }

    pub fn get(&self) -> usize {
        *self.0.borrow()
    }

    pub async fn reaches(&self, n: usize) {
        self.0.subscribe().wait_for(|count| *count >= n).await.unwrap();
    }
}

/// The engine and its records.
pub struct SmallEngine {
    context: SessionContext,
    /// The tag of each update and ingest, in order.
    pub tags: Mutex<Vec<Option<CommitTag>>>,
    /// Rows that queries have handed to the front door.
    pub rows_produced: Count,
    /// Queries whose stream has been dropped, at its end or before.
    pub queries_ended: Count,
    /// Ingests that ended without a commit, with an error or because they were dropped.
    pub ingests_aborted: Count,
    /// Ingests that have started.
    pub ingests_started: Count,
    /// The ids of queries and updates, in order of their execution.
    pub ids: Mutex<Vec<Option<String>>>,
    /// The options of queries, in order of their execution.
    pub options: Mutex<Vec<BTreeMap<String, String>>>,
    /// The ids that were cancelled.
    pub cancelled: Mutex<Vec<String>>,
}

impl SmallEngine {
    /// Two namespaces with two tables and a view.
    pub async fn new() -> Self {
        let config = SessionConfig::new()
            .with_default_catalog_and_schema("small", "shop")
            .with_target_partitions(1)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let engine = Self {
            context: SessionContext::new_with_config(config),
            tags: Mutex::default(),
            rows_produced: Count::default(),
            queries_ended: Count::default(),
            ingests_aborted: Count::default(),
            ingests_started: Count::default(),
            ids: Mutex::default(),
            options: Mutex::default(),
            cancelled: Mutex::default(),
        };
        for sql in [
            "CREATE SCHEMA store",
            "CREATE TABLE people (id BIGINT, name VARCHAR) AS VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Hedy')",
            "CREATE VIEW people_view AS SELECT name FROM people",
            "CREATE TABLE store.people (id BIGINT) AS VALUES (1)",
        ] {
            engine.update(&Statement { sql: sql.into(), ..Statement::default() }).await.unwrap();
        }
        engine.tags.lock().unwrap().clear();
        engine.ids.lock().unwrap().clear();
        engine
    }

    async fn plan(&self, sql: &str) -> Result<LogicalPlan> {
        let state = self.context.state();
        let dialect = state.config().options().sql_parser.dialect;
        let statement = state.sql_to_statement(sql, &dialect)?;
        for table in state.resolve_table_references(&statement)? {
            let created = sql.trim_start().starts_with("CREATE");
            let function = table.table() == "generate_series";
            if !created && !function && !self.context.table_exist(table.clone())? {
                return Err(Error::new(ErrorKind::NotFound, format!("there is no table {table}")));
            }
        }
        Ok(state.statement_to_plan(statement).await?)
    }

    /// The plan with the first row of values.
    async fn bound(&self, statement: &Statement) -> Result<LogicalPlan> {
        let plan = self.plan(&statement.sql).await?;
        let Some(values) = &statement.parameters else { return Ok(plan) };
        let first = values.columns().iter().map(|column| ScalarValue::try_from_array(column, 0));
        Ok(plan.with_param_values(first.collect::<datafusion::error::Result<Vec<_>>>()?)?)
    }

    fn namespace(&self, name: Option<&str>) -> Result<Arc<dyn SchemaProvider>> {
        let name = name.unwrap_or("shop");
        let catalog = self.context.catalog("small").unwrap();
        catalog.schema(name).ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no namespace {name}")))
    }
}

#[async_trait]
impl Backend for SmallEngine {
    fn catalog_name(&self) -> &str {
        "small"
    }

    fn default_namespace(&self) -> &str {
        "shop"
    }

    async fn describe(&self, statement: &Statement) -> Result<Description> {
        let plan = self.plan(&statement.sql).await?;
        let mut types: Vec<_> = plan.get_parameter_types()?.into_iter().collect();
        types.sort_by(|a, b| a.0.cmp(&b.0));
        let field = |(name, of): (String, Option<DataType>)| Field::new(name, of.unwrap_or(DataType::Utf8), true);
        let parameters = Arc::new(Schema::new(types.into_iter().map(field).collect::<Vec<_>>()));
        let is_update = matches!(plan, LogicalPlan::Ddl(_) | LogicalPlan::Dml(_));
        Ok(Description { rows: (!is_update).then(|| Arc::clone(plan.schema().inner())), parameters })
    }

    async fn prepare(&self, statement: &Statement) -> Result<Prepared> {
        let id = format!("id of {}", statement.sql);
        Ok(match self.bound(statement).await? {
            LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) => Prepared::Update { id },
            plan => Prepared::Query { schema: Arc::clone(plan.schema().inner()), id },
        })
    }

    async fn query(&self, statement: &Statement) -> Result<SendableRecordBatchStream> {
        self.options.lock().unwrap().push(statement.options.clone());
        self.ids.lock().unwrap().push(statement.id.clone());
        let plan = self.bound(statement).await?;
        let rows = self.context.execute_logical_plan(plan).await?.execute_stream().await?;
        Ok(Box::pin(Watched { rows, produced: self.rows_produced.clone(), ended: self.queries_ended.clone() }))
    }

    async fn update(&self, statement: &Statement) -> Result<u64> {
        self.tags.lock().unwrap().push(statement.tag.clone());
        self.ids.lock().unwrap().push(statement.id.clone());
        let plan = self.bound(statement).await?;
        let is_dml = matches!(plan, LogicalPlan::Dml(_));
        let done = self.context.execute_logical_plan(plan).await.map_err(exists)?.collect().await?;
        Ok(if is_dml { done[0].column(0).as_primitive::<UInt64Type>().value(0) } else { 0 })
    }

    async fn set_option(&self, session: &Session, _: Option<&Caller>, name: &str, value: Option<&str>) -> Result<()> {
        match (name, value) {
            ("schema", Some("nowhere")) => Err(Error::new(ErrorKind::InvalidInput, "there is no namespace nowhere")),
            ("schema", value) => {
                session.set(name, value.map(str::to_owned));
                Ok(())
            }
            _ => Err(Error::new(ErrorKind::NotFound, format!("there is no option {name}"))),
        }
    }

    async fn cancel(&self, id: &str, _: &Sender) -> Result<()> {
        let mut cancelled = self.cancelled.lock().unwrap();
        if cancelled.iter().any(|other| other == id) {
            return Err(Error::new(ErrorKind::Conflict, format!("{id} has ended")));
        }
        cancelled.push(id.to_owned());
        Ok(())
    }

    async fn ingest(&self, target: &IngestTarget, _: &Sender, input: SendableRecordBatchStream) -> Result<u64> {
        self.tags.lock().unwrap().push(target.tag.clone());
        self.ingests_started.add(1);
        let namespace = self.namespace(target.namespace.as_deref())?;
        let reference = TableReference::partial(target.namespace.as_deref().unwrap_or("shop"), target.table.as_str());
        let present = namespace.table_exist(&target.table);
        match target.mode {
            IngestMode::Create if present => {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("{reference} is there already")));
            }
            IngestMode::Append if !present => {
                return Err(Error::new(ErrorKind::NotFound, format!("there is no table {reference}")));
            }
            _ => {}
        }
        let schema = input.schema();
        let count_on_drop = CountOnDrop(&self.ingests_aborted);
        let mut rows: Vec<RecordBatch> = input.try_collect().await?;
        std::mem::forget(count_on_drop);
        let written = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        if present && target.mode != IngestMode::Replace {
            rows.extend(self.context.table(reference.clone()).await?.collect().await?);
        }
        if present {
            namespace.deregister_table(&target.table)?;
        }
        let table = Arc::new(MemTable::try_new(schema, vec![rows])?);
        namespace.register_table(target.table.clone(), table)?;
        Ok(written)
    }

    async fn ready(&self) -> Result<()> {
        if self.context.table_exist("unready")? {
            return Err(Error::new(ErrorKind::Unavailable, "the table unready exists"));
        }
        Ok(())
    }

    async fn metrics(&self) -> Result<String> {
        Ok(format!("rows_produced {}\n", self.rows_produced.get()))
    }

    async fn namespaces(&self, _: Option<&Caller>) -> Result<Vec<String>> {
        let mut names = self.context.catalog("small").unwrap().schema_names();
        names.sort();
        Ok(names)
    }

    async fn tables(&self, caller: Option<&Caller>) -> Result<Vec<TableInfo>> {
        let mut tables = Vec::new();
        for namespace in self.namespaces(caller).await? {
            let provider = self.namespace(Some(&namespace))?;
            let mut names = provider.table_names();
            names.sort();
            for name in names {
                let table = provider.table(&name).await?.unwrap();
                let kind = if table.table_type() == TableType::View { "VIEW" } else { "TABLE" };
                tables.push(TableInfo { namespace: namespace.clone(), name, kind, schema: table.schema() });
            }
        }
        Ok(tables)
    }
}

fn exists(error: datafusion::error::DataFusionError) -> Error {
    let error = Error::from(error);
    if error.to_string().contains("already exists") {
        return Error::new(ErrorKind::AlreadyExists, error.to_string());
    }
    error
}

/// Increments the counter when dropped.
struct CountOnDrop<'a>(&'a Count);

impl Drop for CountOnDrop<'_> {
    fn drop(&mut self) {
        self.0.add(1);
    }
}

/// A counted stream of rows.
struct Watched {
    rows: SendableRecordBatchStream,
    produced: Count,
    ended: Count,
}

impl Stream for Watched {
    type Item = datafusion::error::Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.rows.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(batch))) = &next {
            self.produced.add(batch.num_rows());
        }
        next
    }
}

impl RecordBatchStream for Watched {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ended.add(1);
    }
}
