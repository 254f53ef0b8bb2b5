//! `reports/outer_join_tasks.md`

use crate::FIXED;
use crate::cluster::{EXECUTORS, Query, config};

#[tokio::test]
async fn each_task_returns_the_rows_of_the_collected_side() {
    let query = Query::submit(
        config(),
        &[
            "CREATE TABLE a (x INT) AS VALUES (11), (22), (33), (44)",
            "CREATE TABLE b (x INT, y INT) AS VALUES (11, 3), (22, 1), (44, 3), (55, 3)",
            "SELECT x FROM a WHERE NOT EXISTS (SELECT DISTINCT y FROM b WHERE a.x + 1 > b.x * 2)",
        ],
    )
    .await;
    query.run_all(EXECUTORS[0]).await.unwrap();
    let mut answer = query.answer().await.unwrap();
    answer.sort();
    // Expected: only 11, which is not above 22 as the others are.
    assert_eq!(answer, ["11", "11", "22", "33"], "{FIXED}");
}
