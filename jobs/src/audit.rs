//! Audits: what must hold for every row that a step writes.
//!
//! Before the commit, the audit counts over the output's SELECT the rows that break it, and the table keeps its old
//! partition when there are any; the SELECT is evaluated once more for that, so it suits outputs that are cheap to
//! compute. After the commit, the audit reads the new partition: it suits a table whose rows are themselves verdicts,
//! which people should see just when one is bad. Either way the step has failed, and what depends on it is skipped.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use crate::interval::Interval;
use crate::query::{Query, QueryError};
use crate::table_name::TableName;

/// How many broken rows a message explains.
const EXPLAINED: usize = 10;

/// A condition on the rows of one output.
#[derive(Debug, Clone)]
pub struct Audit {
    /// What messages call it.
    pub name: String,
    /// The output it looks at.
    pub table: TableName,
    /// SQL condition that holds for a good row; NULL counts as broken. A template.
    pub expect: String,
    /// SQL expression of text that explains a bad row; only asked after the commit.
    pub explain: Option<String>,
    /// When it is asked.
    pub when: AuditTime,
}

/// When an [`Audit`] is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditTime {
    /// Before readers can see the rows.
    BeforeCommit,
    /// After they can.
    AfterCommit,
}

/// Asks all audits of an output before its commit, in one query. The answer lists those that are broken.
pub(crate) async fn before_commit(
    query: &dyn Query,
    select: &str,
    audits: &[&Audit],
) -> Result<Vec<String>, QueryError> {
    let mut counts = Vec::new();
    for (index, audit) in audits.iter().enumerate() {
        counts.push(format!("SUM(CASE WHEN ({}) IS TRUE THEN 0 ELSE 1 END) AS audit_{index}", audit.expect));
    }
    let batches = query.rows(&format!("SELECT {} FROM (\n{select}\n) AS output", counts.join(", "))).await?;
    let mut broken = Vec::new();
    for (index, audit) in audits.iter().enumerate() {
        let rows = batches.iter().map(|batch| first_number(batch, index)).sum::<i64>();
        if rows > 0 {
            broken.push(format!("{}: {rows} rows for {} break {}", audit.name, audit.table, one_line(&audit.expect)));
        }
    }
    Ok(broken)
}

/// Asks one audit after the commit; lists the rows that break it.
pub(crate) async fn after_commit(
    query: &dyn Query,
    interval: Interval,
    partition: &str,
    audit: &Audit,
) -> Result<Vec<String>, QueryError> {
    let Audit { table, expect, .. } = audit;
    let explain = audit.explain.as_deref().unwrap_or("'a row'");
    let sql = format!(
        "SELECT COALESCE({explain}, 'a row') AS why FROM {table} \
         WHERE {partition} = DATE '{interval}' AND ({expect}) IS NOT TRUE"
    );
    let mut reasons = Vec::new();
    for batch in query.rows(&sql).await? {
        reasons.extend(texts(&batch));
    }
    reasons.sort();
    let rows = reasons.len();
    if rows == 0 {
        return Ok(Vec::new());
    }
    let more = if rows > EXPLAINED { format!("; and {} more", rows - EXPLAINED) } else { String::new() };
    reasons.truncate(EXPLAINED);
    Ok(vec![format!("{}: {}{more}", audit.name, reasons.join("; "))])
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The number in the first row of a column; an empty batch or NULL (no rows to sum over) breaks nothing.
fn first_number(batch: &RecordBatch, column: usize) -> i64 {
    let Ok(numbers) = cast(batch.column(column), &DataType::Int64) else { return 0 };
    let numbers = numbers.as_primitive::<Int64Type>();
    if numbers.is_empty() || numbers.is_null(0) { 0 } else { numbers.value(0) }
}

/// The texts of the first column that are not NULL.
fn texts(batch: &RecordBatch) -> Vec<String> {
    let Ok(texts) = cast(batch.column(0), &DataType::Utf8) else { return Vec::new() };
    texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}
