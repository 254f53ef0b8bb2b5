//! Partitions of large hash tables.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;

use super::{lines, ours, plain};

/// 600,000 rows of half as many keys.
fn table() -> Vec<RecordBatch> {
    let batch = |n: i64| {
        let rows = n * 6_000..(n + 1) * 6_000;
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(|i| i * 7_919 % 300_000)));
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
        RecordBatch::try_from_iter([("key", keys), ("id", ids)]).unwrap()
    };
    (0..100).map(batch).collect()
}

/// The number of partitions of each exchange by columns, from the result to the tables.
async fn check(sql: &str, expected: &[usize]) {
    let (rows, spill) = (table(), tempfile::tempdir().unwrap());
    let session = || ours(&rows, 1 << 30, spill.path());
    let plan = SessionContext::new_with_state(session()).sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    let exchanges = text.lines().filter_map(|line| line.split_once("partitioning=Hash([")?.1.split_once("], "));
    let partitions: Vec<usize> =
        exchanges.map(|(_, rest)| rest.split([')', ',']).next().unwrap().parse().unwrap()).collect();
    assert_eq!(partitions, expected, "{sql}\n{text}");
    assert_eq!(lines(session(), sql).await, lines(plain(&rows), sql).await, "{sql}");
}

#[tokio::test]
async fn a_large_hash_table_gets_more_partitions_unless_another_operator_counts_on_their_number() {
    let first = "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY key ORDER BY id) AS n FROM t) WHERE n = 1";
    // 600,000 rows.
    check(&format!("SELECT count(*), sum(id) FROM ({first})"), &[5]).await;
    check(&format!("SELECT id % 3 AS k, sum(id) FROM ({first}) GROUP BY 1 ORDER BY 1"), &[2, 5]).await;
    let few = first.replace("FROM t", "FROM t WHERE id < 1000");
    check(&format!("SELECT count(*), sum(id) FROM ({few})"), &[2]).await;
    // How many groups there are is not known.
    check("SELECT count(*), sum(n) FROM (SELECT key, count(*) AS n FROM t GROUP BY key)", &[2]).await;
    // Both inputs of a join have the same number.
    check(&format!("SELECT count(*) FROM ({first}) a JOIN ({first}) b ON a.key = b.key"), &[2, 2]).await;
}
