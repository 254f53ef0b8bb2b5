//! `reports/union_inputs.md`

use crate::MENDED;
use crate::cluster::{EXECUTORS, Query, config};

#[tokio::test]
async fn an_input_that_a_task_has_nothing_of_is_read_all_the_same() {
    let query = Query::submit(
        config(),
        &[
            "CREATE TABLE a (x INT, y INT) AS VALUES (1, 1), (2, 1)",
            "CREATE TABLE b (x INT) AS VALUES (3), (4)",
            "SELECT max(x) FROM a UNION ALL SELECT x FROM b",
        ],
    )
    .await;
    query.run_all(EXECUTORS[0]).await.unwrap();
    let mut answer = query.answer().await.unwrap();
    answer.sort();
    // Right is 2, 3, 4.
    assert_eq!(answer, ["2", "3", "3", "4", "4"], "{MENDED}");
}
