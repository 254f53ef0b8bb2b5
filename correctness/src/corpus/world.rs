//! The tables of one file of the corpus, in plain DataFusion and in Bergmill, with the same columns and rows in both.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use datafusion::logical_expr::TableType;
use datafusion::sql::parser::{CreateExternalTable, DFParserBuilder, Statement};
use futures::FutureExt;
use tempfile::TempDir;

use super::made_rows::made_rows;
use super::package::Package;
use super::statement::{Reason, declares_key, is_volatile};
use super::storable::{as_schema, storable, with_plain_lists};
use crate::{Answer, Clusters, Order, Reference, difference};

/// The folder that files of the corpus write to, in their notation.
const SCRATCH: &str = "test_files/scratch";

/// The outcome in Bergmill of a statement that changes tables. In any case the table then holds DataFusion's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The same as in DataFusion.
    Equal,
    /// It left other rows.
    Different(String),
    /// It failed.
    Failed(String),
    /// It is skipped.
    LeftOut(Reason),
}

/// Both engines during one file.
pub struct World<'a> {
    /// Plain DataFusion.
    pub reference: Reference,
    /// Bergmill.
    pub clusters: &'a mut Clusters,
    package: &'a Package,
    scratch: TempDir,
    timeout: Duration,
    /// Tables that exist only in DataFusion.
    missing: BTreeMap<String, Reason>,
    views: Vec<String>,
    /// External tables over files that the corpus writes, with their statements.
    written: BTreeMap<String, String>,
}

impl<'a> World<'a> {
    /// An empty world. A statement may run for `timeout` in DataFusion.
    pub fn new(package: &'a Package, clusters: &'a mut Clusters, timeout: Duration) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let (missing, views, written) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Ok(Self { reference: Reference::new(), clusters, package, scratch, timeout, missing, views, written })
    }

    /// Why one of these tables is not in Bergmill.
    pub fn missing(&self, tables: &BTreeSet<String>) -> Option<Reason> {
        tables.iter().find_map(|table| self.missing.get(table).cloned())
    }

    /// The statements that created the existing views.
    pub fn views(&self) -> &[String] {
        &self.views
    }

    /// Carries out a statement that changes these tables.
    pub async fn change(&mut self, sql: &str, tables: &BTreeSet<String>) -> Result<Change> {
        let sql = self.with_scratch(sql);
        if let Some(reason) = self.missing(tables) {
            // It is not compared, but later statements may need it.
            let _ = self.in_reference(&sql).await;
            return Ok(Change::LeftOut(reason));
        }
        if let Err(reason) = self.in_reference(&sql).await {
            return Ok(Change::LeftOut(reason));
        }
        let done = self.clusters.change(&sql).await?;
        // Types that Iceberg does not have are refused, as they should be, and so are keys.
        let (is_refused, has_key) = (done.is_err(), declares_key(&sql));
        let mut change = done.clone().map_or_else(Change::Failed, |()| Change::Equal);
        for table in tables {
            let Ok(provider) = self.reference.context().table_provider(quoted(table)).await else { continue };
            if provider.table_type() == TableType::View {
                match &done {
                    Ok(()) => self.views.push(sql.clone()),
                    Err(error) => drop(self.missing.insert(table.clone(), Reason::Table(error.clone()))),
                }
            } else if let Some(difference) = self.load(table, done.is_ok() && !is_volatile(&sql), has_key).await? {
                change = match change {
                    Change::Equal => difference,
                    first => first,
                };
            }
            if let (true, Some(reason @ Reason::Type(_))) = (is_refused, self.missing.get(table)) {
                return Ok(Change::LeftOut(reason.clone()));
            }
        }
        Ok(if is_refused && has_key { Change::LeftOut(Reason::Key) } else { change })
    }

    /// Creates an external table in DataFusion, or one with generated rows if its file is missing, and loads it.
    pub async fn external(&mut self, sql: &str, table: &str) -> Result<Option<Reason>> {
        let statement = external(sql).context("the statement was external before")?;
        if statement.locations.iter().any(|location| location.starts_with(SCRATCH)) {
            self.written.insert(table.to_string(), sql.to_string());
        }
        let outcome = match self.located(sql, &statement) {
            Some(sql) => self.in_reference(&sql).await,
            None => self.make(table, &statement).await,
        };
        if let Err(reason) = outcome {
            self.missing.insert(table.to_string(), reason.clone());
            return Ok(Some(reason));
        }
        self.load(table, false, true).await?;
        Ok(self.missing.get(table).cloned())
    }

    /// Drops tables or views everywhere.
    pub async fn drop(&mut self, sql: &str, tables: &[String]) -> Result<()> {
        if self.in_reference(sql).await.is_ok() {
            // Missing tables need not be dropped.
            let _ = self.clusters.change(sql).await?;
            for table in tables {
                self.missing.remove(table);
                self.written.remove(table);
                self.views.retain(|view| !view.contains(table.as_str()));
            }
        }
        Ok(())
    }

    /// Runs a statement that writes files in DataFusion, and reloads the tables over such files.
    pub async fn copy(&mut self, sql: &str) -> Result<()> {
        if self.in_reference(&self.with_scratch(sql)).await.is_ok() {
            for (table, statement) in self.written.clone() {
                let _ = self.in_reference(&format!("DROP TABLE IF EXISTS {}", quoted(&table))).await;
                self.missing.remove(&table);
                self.external(&statement, &table).await?;
            }
        }
        Ok(())
    }

    /// Drops all tables of Bergmill.
    pub async fn close(self) -> Result<()> {
        self.clusters.clear().await
    }

    /// Gives both engines the same table: DataFusion's rows, in the columns of Bergmill's table. If `is_made`, Bergmill
    /// has carried out the statement itself; any difference is returned.
    async fn load(&mut self, table: &str, is_made: bool, has_key: bool) -> Result<Option<Change>> {
        let (own, schema) = match self.rows(table).await {
            Ok(found) => found,
            Err(error) => {
                self.missing.insert(table.to_string(), Reason::Table(error.to_string()));
                return Ok(None);
            }
        };
        let rows = match storable(&schema, &own) {
            Ok(rows) => rows,
            Err(ty) => {
                self.missing.insert(table.to_string(), Reason::Type(ty));
                let _ = self.clusters.change(&format!("DROP TABLE IF EXISTS {}", quoted(table))).await?;
                return Ok(None);
            }
        };
        let mut change = None;
        let mut stored = None;
        if is_made {
            match self.compared(table, &rows).await? {
                Ok(answer) => stored = Some(answer),
                Err(difference) => change = Some(Change::Different(difference)),
            }
        }
        if stored.is_none() {
            stored = match self.ingest(table, &rows).await? {
                Ok(answer) => Some(answer),
                Err(error) => {
                    self.missing.insert(table.to_string(), Reason::Table(error));
                    return Ok(change);
                }
            };
        }
        // With a key DataFusion runs queries that it would otherwise reject.
        if let Some(answer) = stored.filter(|answer| answer.schema != schema || has_key) {
            let schema = with_plain_lists(&answer.schema);
            let rows = as_schema(&rows, schema.clone())?;
            self.reference.register(&quoted(table), schema, vec![rows])?;
        }
        Ok(change)
    }

    async fn rows(&self, table: &str) -> Result<(Vec<RecordBatch>, arrow::datatypes::SchemaRef)> {
        let frame = self.reference.context().table(quoted(table)).await?;
        let schema = std::sync::Arc::new(frame.schema().as_arrow().clone());
        let rows = tokio::time::timeout(self.timeout, frame.collect()).await??;
        Ok((rows, schema))
    }

    async fn ingest(&mut self, table: &str, rows: &RecordBatch) -> Result<Result<Answer, String>> {
        if let Err(error) = self.clusters.ingest(table, rows.clone()).await? {
            return Ok(Err(error));
        }
        self.compared(table, rows).await
    }

    /// Compares the content of Bergmill's table with these rows.
    async fn compared(&mut self, table: &str, rows: &RecordBatch) -> Result<Result<Answer, String>> {
        let answer = match self.clusters.read(&format!("SELECT * FROM {}", quoted(table))).await? {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        let right = match as_schema(rows, answer.schema.clone()) {
            Ok(rows) if rows.num_columns() == answer.schema.fields().len() => {
                Answer { schema: answer.schema.clone(), batches: vec![rows] }
            }
            Ok(_) => return Ok(Err("other columns".to_string())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        Ok(difference(&right, &answer, &Order::Any)?.map_or(Ok(answer), Err))
    }

    async fn in_reference(&self, sql: &str) -> Result<(), Reason> {
        let run = async { self.reference.context().sql(sql).await?.collect().await };
        match tokio::time::timeout(self.timeout, AssertUnwindSafe(run).catch_unwind()).await {
            Ok(Ok(Ok(_))) => Ok(()),
            // An error, or a panic.
            Ok(Ok(Err(_)) | Err(_)) => Err(Reason::Refused),
            Err(_) => Err(Reason::Slow),
        }
    }

    /// A table of the declared columns with generated rows.
    async fn make(&self, table: &str, statement: &CreateExternalTable) -> Result<(), Reason> {
        if statement.columns.is_empty() {
            return Err(Reason::File);
        }
        let columns: Vec<_> = statement.columns.iter().map(ToString::to_string).collect();
        self.in_reference(&format!("CREATE TABLE {} ({})", quoted(table), columns.join(", "))).await?;
        let made = async {
            let schema = self.reference.context().table_provider(quoted(table)).await?.schema();
            let rows = made_rows(&schema)?;
            self.reference.register(&quoted(table), schema, vec![rows])
        };
        made.await.map_err(|_| Reason::File)
    }

    /// The statement with the local paths of its files, if they exist.
    fn located(&self, sql: &str, statement: &CreateExternalTable) -> Option<String> {
        let mut sql = self.with_scratch(sql);
        if statement.unbounded {
            let at = sql.to_lowercase().find("unbounded ")?;
            sql.replace_range(at..at + "unbounded ".len(), "");
        }
        for location in statement.locations.iter().filter(|l| !l.starts_with(SCRATCH)) {
            let path = self.package.resolve(location)?;
            sql = sql.replace(&format!("'{location}'"), &format!("'{}'", path.display()));
        }
        Some(sql)
    }

    fn with_scratch(&self, sql: &str) -> String {
        sql.replace(SCRATCH, &self.scratch.path().to_string_lossy())
    }
}

fn external(sql: &str) -> Result<CreateExternalTable> {
    match DFParserBuilder::new(sql).build()?.parse_statements()?.pop_front() {
        Some(Statement::CreateExternalTable(table)) => Ok(table),
        _ => Err(anyhow!("not CREATE EXTERNAL TABLE")),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
