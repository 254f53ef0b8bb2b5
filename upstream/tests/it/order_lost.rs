//! `reports/order_lost.md`

use crate::FIXED;
use crate::cluster::{EXECUTORS, Query, config};

#[tokio::test]
async fn the_plan_of_the_last_stage_has_no_order() {
    let query = Query::submit(
        config(),
        &[
            "CREATE TABLE a (id INT) AS VALUES (1), (2), (3)",
            "CREATE TABLE b (a_id INT) AS VALUES (1), (1), (2)",
            "SELECT a.id, n FROM a LEFT JOIN (SELECT a_id, count(*) AS n FROM b GROUP BY a_id) ON a.id = a_id
             ORDER BY a.id",
        ],
    )
    .await;
    query.run_all(EXECUTORS[0]).await.unwrap();
    let stages = query.stages().await;
    assert!(stages.values().all(|plan| !plan.contains("SortExec")), "{FIXED}");
}
