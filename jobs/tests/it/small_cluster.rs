//! A [`Query`] over DataFusion and tables in memory, which behaves like the scheduler with Iceberg tables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use bergmill_jobs::{CommitTag, Query, QueryError, QueryErrorKind};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};

/// The cluster; a statement that contains `break_on` fails.
pub struct SmallCluster {
    context: SessionContext,
    history: Mutex<BTreeMap<String, Vec<CommitTag>>>,
    break_on: Mutex<Option<String>>,
}

type Outcome<T> = Result<T, QueryError>;

impl SmallCluster {
    /// A cluster with a namespace `raw`.
    pub async fn new() -> Self {
        let config = SessionConfig::new().with_target_partitions(2).with_information_schema(true);
        let context = SessionContext::new_with_config(config);
        let cluster = Self { context, history: Mutex::default(), break_on: Mutex::default() };
        cluster.sql("CREATE SCHEMA raw").await;
        cluster
    }

    /// Runs a statement that prepares a test.
    pub async fn sql(&self, sql: &str) {
        self.collect(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Creates a table from rows.
    pub fn fill(&self, table: &str, batch: RecordBatch) {
        self.replace(table, batch.schema(), vec![batch]).unwrap();
    }

    /// Makes statements that contain the text fail.
    pub fn break_on(&self, text: &str) {
        *self.break_on.lock().unwrap() = Some(text.to_owned());
    }

    /// The rows as lines, with values separated by `|`.
    pub async fn lines(&self, sql: &str) -> Vec<String> {
        let batches = self.rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let table = pretty_format_batches(&batches).unwrap().to_string();
        let rows = table.lines().skip(3).filter(|line| line.starts_with('|'));
        let trimmed = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|"));
        trimmed.collect()
    }

    async fn collect(&self, sql: &str) -> Outcome<(SchemaRef, Vec<RecordBatch>)> {
        if self.break_on.lock().unwrap().as_ref().is_some_and(|text| sql.contains(text)) {
            return Err(QueryError::new(QueryErrorKind::Unavailable, "no executor is alive"));
        }
        let frame = self.context.sql(sql).await.map_err(query_error)?;
        let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
        Ok((schema, frame.collect().await.map_err(query_error)?))
    }

    fn replace(&self, table: &str, schema: SchemaRef, rows: Vec<RecordBatch>) -> Outcome<()> {
        self.context.deregister_table(table).map_err(query_error)?;
        let table_rows = MemTable::try_new(schema, vec![rows]).map_err(query_error)?;
        self.context.register_table(table, Arc::new(table_rows)).map_err(query_error)?;
        Ok(())
    }

    /// `INSERT OVERWRITE t PARTITION (column = DATE '...') SELECT ...`.
    async fn overwrite(&self, rest: &str, tag: &CommitTag) -> Outcome<u64> {
        let (table, rest) = rest.split_once(" PARTITION (").ok_or_else(|| invalid("no partition"))?;
        let (partition, select) = rest.split_once(")\n").ok_or_else(|| invalid("no select"))?;
        let (_, rows) = self.collect(select).await?;
        let (schema, kept) = self.collect(&format!("SELECT * FROM {table} WHERE NOT ({partition})")).await?;
        // By position, as INSERT does.
        let fitted = rows.iter().map(|batch| fit(batch, &schema)).collect::<Outcome<Vec<_>>>()?;
        let written: usize = fitted.iter().map(RecordBatch::num_rows).sum();
        let all: Vec<RecordBatch> = kept.into_iter().chain(fitted).collect();
        self.replace(table, schema, all)?;
        let (_, inside) = self.collect(&format!("SELECT * FROM {table} WHERE {partition}")).await?;
        let inside: usize = inside.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(inside, written, "{table}: rows outside of {partition}");

        let mut history = self.history.lock().unwrap();
        let tags = history.entry(table.to_owned()).or_default();
        let mut tag = tag.clone();
        tag.summary.insert("added-records".to_owned(), written.to_string());
        tags.push(tag);
        let snapshots = snapshots(tags);
        drop(history);
        self.replace(&snapshots_name(table), snapshots.schema(), vec![snapshots])?;
        Ok(written as u64)
    }
}

#[async_trait]
impl Query for SmallCluster {
    async fn rows(&self, sql: &str) -> Outcome<Vec<RecordBatch>> {
        let (schema, mut batches) = self.collect(sql).await?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(batches)
    }

    async fn write(&self, sql: &str, tag: Option<&CommitTag>) -> Outcome<u64> {
        if let Some(rest) = sql.strip_prefix("INSERT OVERWRITE ") {
            let broken = self.break_on.lock().unwrap().as_ref().is_some_and(|text| sql.contains(text));
            if broken {
                return Err(QueryError::new(QueryErrorKind::Unavailable, "no executor is alive"));
            }
            return self.overwrite(rest, tag.expect("a run tags what it commits")).await;
        }
        let sql = sql.split(" PARTITIONED BY ").next().unwrap();
        // Partitions are Iceberg's; tables in memory have none.
        self.collect(sql).await?;
        Ok(0)
    }
}

fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Outcome<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(invalid(&format!("{} columns for {}", batch.num_columns(), schema.fields().len())));
    }
    let cast_to = |(column, field): (&ArrayRef, &Arc<arrow::datatypes::Field>)| cast(column, field.data_type());
    let columns: Result<Vec<ArrayRef>, _> = batch.columns().iter().zip(schema.fields()).map(cast_to).collect();
    let fitted = columns.and_then(|columns| RecordBatch::try_new(schema.clone(), columns));
    fitted.map_err(|error| invalid(&error.to_string()))
}

fn snapshots_name(table: &str) -> String {
    let (namespace, table) = table.split_once('.').unwrap();
    format!("{namespace}.\"{table}$snapshots\"")
}

fn snapshots(tags: &[CommitTag]) -> RecordBatch {
    let ids: Vec<i64> = (1..).take(tags.len()).collect();
    // Far in the future, so that the duration since the step's start is positive.
    let times: Vec<i64> = ids.iter().map(|id| 4_000_000_000_000_000 + id).collect();
    let summaries: Vec<String> = tags.iter().map(|tag| serde_json::to_string(&tag.summary).unwrap()).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("snapshot_id", Arc::new(Int64Array::from(ids))),
        ("committed_at", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))),
        ("summary", Arc::new(StringArray::from(summaries))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn invalid(message: &str) -> QueryError {
    QueryError::new(QueryErrorKind::Invalid, message)
}

fn query_error(error: DataFusionError) -> QueryError {
    let message = error.strip_backtrace();
    let missing = message.contains("not found");
    QueryError::new(if missing { QueryErrorKind::NotFound } else { QueryErrorKind::Invalid }, message)
}
