//! One row per key, by hash table and by sorting.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;

use super::{lines, ours, plain};

fn table() -> Vec<RecordBatch> {
    padded(0)
}

/// 40,000 rows of 7,000 keys; no two rows of a key are equal in (at, id), and every tenth key is NULL. Each row is
/// longer by `pad` bytes.
fn padded(pad: usize) -> Vec<RecordBatch> {
    let batch = |n: i64| {
        let rows = n * 500..(n + 1) * 500;
        let key = |i: i64| (i * 7_919) % 7_000;
        let keys: ArrayRef = Arc::new(
            rows.clone().map(|i| (key(i) % 10 != 0).then(|| format!("key-{:06}", key(i)))).collect::<StringArray>(),
        );
        let at: ArrayRef =
            Arc::new(rows.clone().map(|i| (i % 13 != 0).then_some((i * 31) % 977)).collect::<Int64Array>());
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
        let pads: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n("x".repeat(pad), 500)));
        RecordBatch::try_from_iter([("key", keys), ("at", at), ("id", ids), ("pad", pads)]).unwrap()
    };
    (0..80).map(batch).collect()
}

const ALL: usize = 1 << 30;

async fn plan(sql: &str) -> String {
    let spill = tempfile::tempdir().unwrap();
    let state = ours(&table(), ALL, spill.path());
    let plan = SessionContext::new_with_state(state).sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

fn numbered(keep: &str, order: &str) -> String {
    format!(
        "SELECT key, at, id, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY key ORDER BY {order}) AS n FROM t) \
         WHERE {keep}"
    )
}

#[tokio::test]
async fn the_first_row_of_each_key_is_kept_without_sorting() {
    let spill = tempfile::tempdir().unwrap();
    for keep in ["n = 1", "n <= 1", "1 > n - 1 AND n < 2", "n = 1 AND id % 3 = 0"] {
        for order in ["at, id", "at DESC NULLS LAST, id DESC", "id"] {
            let sql = numbered(keep, order);
            let ours = lines(ours(&table(), ALL, spill.path()), &sql).await;
            assert_eq!(ours, lines(plain(&table()), &sql).await, "{sql}");
            assert!(ours.len() > 1_000, "{sql}");
        }
    }
    // The key is not among the selected columns.
    let dropped = "SELECT id % 7 AS m, COUNT(*) FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY key ORDER BY id) AS n FROM t) \
                   WHERE n = 1 GROUP BY id % 7";
    assert!(plan(dropped).await.contains("FirstRowExec"));
    assert_eq!(lines(ours(&table(), ALL, spill.path()), dropped).await, lines(plain(&table()), dropped).await);
    let shown = plan(&numbered("n = 1", "at, id")).await;
    assert!(shown.contains("FirstRowExec: keys=[key@0], order=[at@1 ASC NULLS LAST, id@2 ASC NULLS LAST]"), "{shown}");
    assert!(!shown.contains("SortExec") && !shown.contains("WindowAggExec"), "{shown}");
}

#[tokio::test]
async fn other_numbers_and_other_functions_are_left_alone() {
    for sql in [
        numbered("n = 2", "id"),
        numbered("n <= 3", "id"),
        numbered("n >= 1", "id"),
        "SELECT id FROM (SELECT id, RANK() OVER (PARTITION BY key ORDER BY at) AS n FROM t) WHERE n = 1".to_string(),
        "SELECT id FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY at) AS n FROM t) WHERE n = 1".to_string(),
        "SELECT id FROM (SELECT id, key, ROW_NUMBER() OVER (PARTITION BY key ORDER BY at) AS n, \
         SUM(id) OVER (PARTITION BY key) AS s FROM t) WHERE n = 1 AND s > 0"
            .to_string(),
    ] {
        assert!(!plan(&sql).await.contains("FirstRowExec"), "{sql}");
    }
}

#[tokio::test]
async fn too_little_memory_for_the_hash_table_means_sorting() {
    let (rows, spill) = (padded(2_000), tempfile::tempdir().unwrap());
    let sql = numbered("n = 1", "at, id").replace("SELECT key", "SELECT length(pad), key");
    let explain = format!("EXPLAIN ANALYZE {sql}");
    // Less than the 80 MB of the rows, and enough for sorts, which reserve 10 MB each for merging and twice the size of
    // a batch.
    let little = || {
        let state = ours(&rows, 64_000_000, spill.path());
        let config = state.config().clone().with_batch_size(512);
        SessionStateBuilder::new_from_existing(state).with_config(config).build()
    };
    let analyzed = lines(little(), &explain).await.join("\n");
    let sorted = analyzed.lines().find(|l| l.contains("FirstRowExec")).unwrap().to_string();
    assert!(sorted.contains("sorted_instead=2"), "{sorted}");
    assert_eq!(lines(little(), &sql).await, lines(plain(&rows), &sql).await);

    let analyzed = lines(ours(&rows, ALL, spill.path()), &explain).await.join("\n");
    assert!(analyzed.contains("sorted_instead=0") || !analyzed.contains("sorted_instead"), "{analyzed}");
}
