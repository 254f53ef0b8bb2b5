//! `reports/window_order.md`

use datafusion::prelude::{SessionConfig, SessionContext};

use crate::{FIXED, rows, values};

/// The rows of a query that orders by the result of a window function.
async fn ordered(function: &str) -> Vec<String> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let statements = [
        "CREATE TABLE t (k INT, x INT) AS VALUES (1, 1), (1, 1), (2, NULL)",
        &format!("SELECT {function} AS n FROM t ORDER BY n"),
    ];
    values(&rows(&context, &statements).await.unwrap())
}

#[tokio::test]
async fn counts_of_another_partition_do_not_begin_anew() {
    let counts = ordered("count(*) OVER (PARTITION BY k ROWS 2 PRECEDING)").await;
    assert_ne!(counts, ["1", "1", "2"], "{FIXED}");
}
