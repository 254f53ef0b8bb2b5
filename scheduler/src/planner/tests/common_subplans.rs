//! Parts of a plan that run once.

use std::sync::Arc;

use bergmill_engine::{Cancelled, heeding};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::SessionContext;

use super::{lines, ours, plain, sorted_lines};

fn table() -> Vec<RecordBatch> {
    let batch = |n: i64| {
        let rows = n * 500..(n + 1) * 500;
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(|i| i * 7_919 % 900)));
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
        RecordBatch::try_from_iter([("key", keys), ("id", ids)]).unwrap()
    };
    (0..20).map(batch).collect()
}

/// `readers` are those of the shared parts, from the result to the tables.
async fn check(sql: &str, readers: &[usize]) {
    let (rows, spill) = (table(), tempfile::tempdir().unwrap());
    let context = SessionContext::new_with_state(ours(&rows, 1 << 30, spill.path()));
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    let mut shown: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("SharedExec: ")).collect();
    // The same part is shown for each of its readers.
    shown.sort_unstable();
    shown.dedup();
    let found: Vec<usize> = shown.iter().map(|part| part.split_once("readers=").unwrap().1.parse().unwrap()).collect();
    assert_eq!(found, readers, "{sql}\n{text}");
    if sql.contains("random()") {
        return;
    }
    // As queries run: this makes some operators anew, while others are still in several places of the plan.
    let plan = heeding(plan, &Cancelled::default()).unwrap();
    let found = collect(plan, context.task_ctx()).await.unwrap();
    assert_eq!(sorted_lines(&found), lines(plain(&rows), sql).await, "{sql}");
}

#[tokio::test]
async fn what_is_read_several_times_is_computed_once() {
    let sums = "WITH s AS (SELECT key, sum(id) AS total, count(*) AS n FROM t GROUP BY key)";
    check(&format!("{sums} SELECT * FROM s a JOIN s b ON a.key = b.key + 1"), &[2]).await;
    check(&format!("{sums} SELECT key FROM s WHERE total > (SELECT avg(total) FROM s) ORDER BY key"), &[2]).await;
    check(&format!("{sums} SELECT * FROM s UNION ALL SELECT * FROM s UNION ALL SELECT * FROM s"), &[3]).await;
    check(
        &format!("{sums} SELECT * FROM s a JOIN s b ON a.key = b.key + 1 JOIN t ON t.id = a.key ORDER BY id LIMIT 5"),
        &[2],
    )
    .await;
    // Readers that read the partitions in another order: one partition by partition, one all of them at first.
    let numbered =
        "WITH s AS (SELECT row_number() OVER (PARTITION BY key % 2) AS n FROM t WHERE id < 90 AND '' IN (SELECT ''))";
    check(&format!("{numbered} SELECT count(*) FROM t JOIN (s a CROSS JOIN s b) ON b.n = t.id WHERE a.n > 1"), &[2])
        .await;
    // A part within a part that is shared itself.
    let days = format!("{sums}, d AS (SELECT n, count(*) AS keys FROM s GROUP BY n)");
    check(&format!("{days} SELECT a.n, b.keys, s.key FROM d a JOIN d b ON a.n = b.n JOIN s ON s.n = a.n"), &[2, 2])
        .await;
}

#[tokio::test]
async fn what_differs_is_not_shared() {
    let sums = "SELECT key, sum(id) AS total FROM t";
    check(
        &format!("SELECT * FROM ({sums} GROUP BY key) a JOIN ({sums} WHERE id > 7 GROUP BY key) b ON a.key = b.key"),
        &[],
    )
    .await;
    // Each reader has its own random numbers.
    let random = "WITH s AS (SELECT key, sum(random()) AS r FROM t GROUP BY key)";
    check(&format!("{random} SELECT * FROM s a JOIN s b ON a.key = b.key"), &[]).await;
    // Rows that are only read are not kept.
    check("SELECT * FROM (SELECT * FROM t WHERE id > 3) a JOIN (SELECT * FROM t WHERE id > 3) b ON a.id = b.key", &[])
        .await;
}
