//! Audits: conditions that must hold for every row that a step writes.
//!
//! An audit before the commit counts the rows of the output's SELECT that break it; if there are any, the table keeps
//! its old partition. This evaluates the SELECT a second time, so it suits outputs that are cheap to compute. An audit
//! after the commit reads the new partition; it suits a table of check results, which are needed most when one is bad.
//! A broken audit fails the step, and the steps that depend on it are skipped.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use crate::interval::Interval;
use crate::query::{Query, QueryError};
use crate::table_name::TableName;

/// The most broken rows that a message explains.
const EXPLAINED: usize = 10;

/// A condition on the rows of one output.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Its name in messages.
    pub name: String,
    /// The output to check.
    pub table: TableName,
    /// SQL condition that holds for a good row; NULL counts as broken. A template.
    pub expect: String,
    /// SQL expression for a text that explains a bad row; only evaluated after the commit.
    pub explain: Option<String>,
    /// When it is evaluated.
    pub when: AuditTime,
}

/// When an [`Audit`] is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditTime {
    /// Before readers can see the rows.
    BeforeCommit,
    /// After readers can see the rows.
    AfterCommit,
}

/// Evaluates all audits of an output before its commit, in one query. Returns messages for the broken ones.
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

/// Evaluates one audit after the commit; the message lists the rows that break it.
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

/// The number in the first row of a column; 0 for an empty batch or NULL (a sum over no rows).
fn first_number(batch: &RecordBatch, column: usize) -> i64 {
    let Ok(numbers) = cast(batch.column(column), &DataType::Int64) else { return 0 };
    let numbers = numbers.as_primitive::<Int64Type>();
    if numbers.is_empty() || numbers.is_null(0) { 0 } else { numbers.value(0) }
}

/// The non-null texts of the first column.
fn texts(batch: &RecordBatch) -> Vec<String> {
    let Ok(texts) = cast(batch.column(0), &DataType::Utf8) else { return Vec::new() };
    texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}
