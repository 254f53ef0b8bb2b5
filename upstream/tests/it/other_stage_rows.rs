//! `reports/other_stage_rows.md`

use crate::FIXED;
use crate::cluster::{EXECUTORS, Query, config};

#[tokio::test]
async fn the_rows_of_another_stage_are_returned() {
    let query = Query::submit(
        config(),
        &[
            "CREATE TABLE users (id INT, name TEXT) AS VALUES (1, 'alice'), (2, 'bob'), (4, 'dave')",
            "CREATE TABLE orders (number INT, user_id INT) AS VALUES (10, 1), (20, 1), (30, 3)",
            "SELECT number FROM users RIGHT JOIN orders ON id = user_id AND name <> 'bob'",
        ],
    )
    .await;

    // The whole query is one stage, which returns the result.
    let first = query.start().await;
    assert_eq!(first.keys().collect::<Vec<_>>(), [&(0, 0)]);
    for task in first.into_values() {
        query.run(EXECUTORS[0], task).await.unwrap();
    }
    // Nothing should remain to be done, and the result should be the orders 10, 20, 30.
    query.run_all(EXECUTORS[0]).await.unwrap();
    let mut answer = query.answer().await.unwrap();
    answer.sort();
    assert_eq!(answer, ["1", "4"], "{FIXED}");
}
