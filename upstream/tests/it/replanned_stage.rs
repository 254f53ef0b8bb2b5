//! `reports/replanned_stage.md`

use crate::FIXED;
use crate::cluster::{EXECUTORS, Query, config};

#[tokio::test]
async fn partitions_of_a_stage_are_not_read() {
    let query = Query::submit(
        config(),
        &[
            "CREATE TABLE a (id INT, n BIGINT) AS VALUES (-44, -2)",
            "CREATE TABLE b (id INT) AS VALUES (0)",
            "CREATE TABLE c (x BIGINT) AS VALUES (206), (207)",
            "SELECT sum(a.n) FROM a FULL JOIN b ON a.id = b.id CROSS JOIN c",
        ],
    )
    .await;
    query.run_all(EXECUTORS[0]).await.unwrap();
    // Each row of the join comes with two of `c`.
    assert_ne!(query.answer().await.unwrap(), ["-4"], "{FIXED}");
}
