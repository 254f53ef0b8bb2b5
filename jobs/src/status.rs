//! Reads from the tables what has run: each commit of a run has its pipeline, step, interval, code hash and run id in
//! the snapshot's summary, so no separate store is needed.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use chrono::{DateTime, Utc};

use crate::error::JobError;
use crate::interval::Interval;
use crate::pipeline::Pipeline;
use crate::query::{Query, QueryError, QueryErrorKind};
use crate::table_name::TableName;

/// One table of a pipeline and the intervals in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatus {
    /// The step that fills it.
    pub step: String,
    /// The table.
    pub table: TableName,
    /// Intervals that runs have committed, oldest first, each with its latest commit; empty if there are none or the
    /// table does not exist.
    pub intervals: Vec<Committed>,
}

/// The latest commit of an interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The interval.
    pub interval: Interval,
    /// Commit time of the snapshot.
    pub at: DateTime<Utc>,
    /// Time from the step's start to the commit.
    pub duration: Option<std::time::Duration>,
    /// Rows written, if the snapshot's summary has them (`added-records`).
    pub rows: Option<u64>,
    /// Hash of the code that ran.
    pub code_hash: String,
    /// Id of the run.
    pub run_id: String,
}

/// Reads the history of every table of the pipeline.
pub async fn status(pipeline: &Pipeline, query: &dyn Query) -> Result<Vec<TableStatus>, JobError> {
    let mut tables = Vec::new();
    for (step, table) in pipeline.tables() {
        let sql = format!("SELECT committed_at, summary FROM {} ORDER BY committed_at", table.snapshots());
        let batches = match query.rows(&sql).await {
            Ok(batches) => batches,
            Err(error) if error.kind == QueryErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(JobError::Query { table: table.to_string(), source }),
        };
        let mut latest = BTreeMap::new();
        for batch in &batches {
            let failed = |source| JobError::Query { table: table.to_string(), source };
            for (at, summary) in history(batch).map_err(failed)? {
                let committed = committed(pipeline, at, &summary);
                latest.extend(committed.map(|committed| (committed.interval, committed)));
            }
        }
        let intervals = latest.into_values().collect();
        tables.push(TableStatus { step: step.to_owned(), table: table.clone(), intervals });
    }
    Ok(tables)
}

type Summary = BTreeMap<String, String>;

fn history(batch: &RecordBatch) -> Result<Vec<(DateTime<Utc>, Summary)>, QueryError> {
    let unexpected = |what: String| QueryError::new(QueryErrorKind::Internal, format!("unexpected history: {what}"));
    let column = |name: &str, to: &DataType| -> Result<ArrayRef, QueryError> {
        let found = batch.column_by_name(name).ok_or_else(|| unexpected(format!("no column {name}")))?;
        cast(found, to).map_err(|error| unexpected(error.to_string()))
    };
    let at = column("committed_at", &DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))?;
    let summaries = column("summary", &DataType::Utf8)?;
    let (at, summaries) = (at.as_primitive::<TimestampMillisecondType>(), summaries.as_string::<i32>());
    let mut history = Vec::new();
    for row in 0..batch.num_rows() {
        if at.is_null(row) || summaries.is_null(row) {
            continue;
        }
        let Some(time) = DateTime::from_timestamp_millis(at.value(row)) else { continue };
        let summary = serde_json::from_str(summaries.value(row)).map_err(|error| unexpected(error.to_string()))?;
        history.push((time, summary));
    }
    Ok(history)
}

/// The snapshot as a commit of this pipeline; `None` for other snapshots (maintenance, a user's INSERT).
fn committed(pipeline: &Pipeline, at: DateTime<Utc>, summary: &Summary) -> Option<Committed> {
    if summary.get("bergmill.pipeline")? != &pipeline.name {
        return None;
    }
    let started = summary.get("bergmill.started-at").and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    Some(Committed {
        interval: summary.get("bergmill.interval")?.parse().ok()?,
        at,
        duration: started.and_then(|started| (at - started.to_utc()).to_std().ok()),
        rows: summary.get("added-records").and_then(|rows| rows.parse().ok()),
        code_hash: summary.get("bergmill.code-hash").cloned().unwrap_or_default(),
        run_id: summary.get("bergmill.run-id").cloned().unwrap_or_default(),
    })
}
