//! What a scheduler knows of the statements that were measured: when their tasks ran, and what these read and wrote.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use bergmill_gateway::Client;

use crate::cluster::rows;
use crate::error::Result;
use crate::timeline::{Task, Timeline, skew};

/// What the scheduler knows of the statements of a repetition.
#[derive(Debug, Default)]
pub(super) struct Statements {
    pub timelines: Vec<Timeline>,
    pub scanned_bytes: u64,
    pub shuffle_read_bytes: u64,
    pub shuffle_write_bytes: u64,
    pub spilled_bytes: u64,
    pub skew: Option<f64>,
}

impl Statements {
    /// Reads `system.queries` and the tables beside it for these statements, as far as they were submitted after
    /// `since`. A running cluster may have run others meanwhile.
    pub(super) async fn read(client: &Client, since: &str, statements: &[String]) -> Result<Self> {
        let texts: Vec<String> = statements.iter().map(|text| format!("'{}'", text.replace('\'', "''"))).collect();
        let ours = format!("submitted_at > CAST('{since}' AS TIMESTAMPTZ) AND statement IN ({})", texts.join(", "));
        let sql = format!(
            "SELECT query_id, date_part('epoch', submitted_at) AS submitted, date_part('epoch', ended_at) AS ended,
                COALESCE(scanned, 0), COALESCE(read_bytes, 0), COALESCE(written, 0), COALESCE(spilled, 0),
                COALESCE(read_seconds, 0), COALESCE(write_seconds, 0)
             FROM system.queries LEFT JOIN (
                SELECT query_id AS id, CAST(sum(scanned_bytes) AS BIGINT) AS scanned,
                    CAST(sum(shuffle_read_bytes) AS BIGINT) AS read_bytes,
                    CAST(sum(shuffle_write_bytes) AS BIGINT) AS written, CAST(sum(spilled_bytes) AS BIGINT) AS spilled,
                    sum(shuffle_read_seconds) AS read_seconds, sum(shuffle_write_seconds) AS write_seconds
                FROM system.stages GROUP BY 1
             ) ON id = query_id WHERE {ours} AND ended_at IS NOT NULL"
        );
        let tasks =
            "SELECT query_id, stage_id, date_part('epoch', started_at), date_part('epoch', ended_at), partitions
             FROM system.tasks WHERE started_at IS NOT NULL AND ended_at IS NOT NULL";
        let (queries, tasks) =
            (rows(client, "system.queries", &sql).await?, rows(client, "system.tasks", tasks).await?);
        let mut found = Self::default();
        for batch in &queries {
            let id = |row: usize| batch.column(0).as_string::<i32>().value(row).to_string();
            let number = |column: usize, row: usize| batch.column(column).as_primitive::<Float64Type>().value(row);
            let bytes = |column: usize, row: usize| {
                u64::try_from(batch.column(column).as_primitive::<Int64Type>().value(row)).unwrap_or_default()
            };
            for row in 0..batch.num_rows() {
                let stages = stages(&tasks, &id(row));
                found.skew = found.skew.into_iter().chain(stages.values().filter_map(|s| skew(s))).reduce(f64::max);
                found.timelines.push(Timeline {
                    submitted: number(1, row),
                    ended: number(2, row),
                    tasks: stages.into_values().flatten().collect(),
                    shuffle_read: number(7, row),
                    shuffle_write: number(8, row),
                });
                found.scanned_bytes += bytes(3, row);
                found.shuffle_read_bytes += bytes(4, row);
                found.shuffle_write_bytes += bytes(5, row);
                found.spilled_bytes += bytes(6, row);
            }
        }
        Ok(found)
    }
}

/// The tasks of a query, by stage.
fn stages(tasks: &[RecordBatch], query: &str) -> BTreeMap<i32, Vec<Task>> {
    let mut stages = BTreeMap::<i32, Vec<Task>>::new();
    for batch in tasks {
        let ids = batch.column(0).as_string::<i32>();
        let stage = batch.column(1).as_primitive::<Int32Type>();
        let (began, ended) =
            (batch.column(2).as_primitive::<Float64Type>(), batch.column(3).as_primitive::<Float64Type>());
        let width = batch.column(4).as_primitive::<Int32Type>();
        for row in (0..ids.len()).filter(|row| ids.value(*row) == query) {
            let width = usize::try_from(width.value(row)).unwrap_or(1);
            let task = Task { began: began.value(row), ended: ended.value(row), width };
            stages.entry(stage.value(row)).or_default().push(task);
        }
    }
    stages
}
