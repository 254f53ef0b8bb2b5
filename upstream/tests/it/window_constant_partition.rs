//! `reports/window_constant_partition.md`

use crate::FIXED;
use crate::cluster::{EXECUTORS, Query, config};

#[tokio::test]
async fn a_window_over_exchanged_rows_does_not_know_that_its_partition_is_constant() {
    let query = Query::submit(
        config(),
        &[
            "CREATE TABLE t (k INT) AS VALUES (1), (1), (2)",
            "SELECT row_number() OVER (PARTITION BY k) FROM (SELECT * FROM t WHERE k = 1)",
        ],
    )
    .await;
    let result = query.run_all(EXECUTORS[0]).await;
    let error = result.expect_err(FIXED).to_string();
    assert!(error.contains("Expects PARTITION BY expression to be ordered"), "{error}");
}
