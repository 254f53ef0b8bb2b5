//! `reports/window_clauses.md`

use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::{FIXED, rows, sent, values};

/// Checks the rows of a window function, as its plan computes them before and after serialization.
async fn check(function: &str, here: [&str; 4], there: [&str; 4]) {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    rows(&context, &["CREATE TABLE t (o INT, x INT) AS VALUES (1, NULL), (2, 7), (3, NULL), (4, 9)"]).await.unwrap();
    let query = context.sql(&format!("SELECT {function} OVER (ORDER BY o) FROM t")).await.unwrap();
    let made = query.create_physical_plan().await.unwrap();
    let arrived = sent(&made, &context);
    let of = async |plan| values(&collect(plan, context.task_ctx()).await.unwrap());
    assert_eq!(of(made).await, here, "{function}");
    assert_eq!(of(arrived).await, there, "{function}: {FIXED}");
}

#[tokio::test]
async fn window_functions_lose_ignore_nulls() {
    check("first_value(x) IGNORE NULLS", ["", "7", "7", "7"], ["", "", "", ""]).await;
    check("last_value(x) IGNORE NULLS", ["", "7", "7", "9"], ["", "7", "", "9"]).await;
    check("lag(x) IGNORE NULLS", ["", "", "7", "7"], ["", "", "7", ""]).await;
}

#[tokio::test]
async fn window_aggregates_lose_their_filter() {
    check("sum(o) FILTER (WHERE x IS NOT NULL)", ["", "2", "2", "6"], ["1", "3", "6", "10"]).await;
}
