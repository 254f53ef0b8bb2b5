//! `reports/join_never_yields.md`

use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{FutureExt, StreamExt};

use crate::{FIXED, rows};

/// Runs a query whose joins go through far more than the 128 batches after which a task should yield.
async fn check(sql: &str) {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    rows(&context, &["CREATE TABLE t AS SELECT value AS x FROM generate_series(1, 2000)"]).await.unwrap();
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let mut answer = execute_stream(plan, context.task_ctx()).unwrap();
    // The first poll does not return before the join has ended.
    let first = answer.next().now_or_never();
    assert!(matches!(first, Some(Some(Ok(_)))), "{FIXED}\n{sql}: {first:?}");
}

#[tokio::test]
async fn a_cross_join_does_not_yield_between_the_batches_of_its_result() {
    check("SELECT sum(a.x * b.x) FROM t a CROSS JOIN t b").await;
}

#[tokio::test]
async fn a_join_does_not_yield_while_its_filter_matches_no_row() {
    check("SELECT count(*) FROM t a JOIN t b ON a.x + b.x < 0").await;
}
