//! Exchanges between partitions that do not fit into memory.

use std::sync::Arc;
use std::time::Duration;

use bergmill_engine::WholeQueryExec;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;

use super::{lines, ours, plain, sorted_lines};

/// 40,000 rows in 13 groups of 337 words, in small batches: an exchange writes many of them to disk.
fn table() -> Vec<RecordBatch> {
    let batch = |n: i64| {
        let rows = || n * 64..(n + 1) * 64;
        let groups: ArrayRef = Arc::new(Int64Array::from_iter_values(rows().map(|i| i % 13)));
        let words: ArrayRef =
            Arc::new(StringArray::from_iter_values(rows().map(|i| format!("{:032x}", (i % 337) * 0x9e37_79b9))));
        RecordBatch::try_from_iter([("g", groups), ("word", words)]).unwrap()
    };
    (0..625).map(batch).collect()
}

/// Tests the workaround for apache/datafusion#24883: without it a third of the attempts hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_tasks_that_spill_at_once_do_not_hang() {
    let sql = "SELECT g, COUNT(DISTINCT word) AS n FROM t GROUP BY g";
    let expected = lines(plain(&table()), sql).await;
    let (mut answers, spill) = (0, tempfile::tempdir().unwrap());
    for attempt in 0..20 {
        let state = ours(&table(), 300_000, spill.path());
        let config = state.config().clone().with_batch_size(64);
        let context =
            SessionContext::new_with_state(SessionStateBuilder::new_from_existing(state).with_config(config).build());
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let running = collect(Arc::new(WholeQueryExec::try_new(plan, 2).unwrap()), context.task_ctx());
        match tokio::time::timeout(Duration::from_secs(30), running).await {
            Err(_) => panic!("attempt {attempt} hangs"),
            Ok(Ok(batches)) => {
                assert_eq!(sorted_lines(&batches), expected);
                answers += 1;
            }
            // There is so little memory that the last merge of an aggregate may get none.
            Ok(Err(e)) => assert!(matches!(e.find_root(), DataFusionError::ResourcesExhausted(_)), "{e}"),
        }
    }
    assert!(answers > 0);
}
