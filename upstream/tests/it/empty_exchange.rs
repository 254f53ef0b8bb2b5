//! `reports/empty_exchange.md`

use crate::FIXED;
use crate::cluster::{EXECUTORS, Query, config};

#[tokio::test]
async fn an_exchange_without_rows_is_replanned_forever() {
    for setting in ["true", "false"] {
        let config = config().set_str("ballista.planner.propagate_empty.enabled", setting);
        let query = Query::submit(
            config,
            &[
                "CREATE TABLE t (x INT) AS VALUES (1), (2), (3)",
                "CREATE TABLE empty (x INT)",
                "SELECT count(*) FROM t LEFT JOIN empty ON t.x = empty.x",
            ],
        )
        .await;
        query.run_all(EXECUTORS[0]).await.unwrap();
        assert_eq!(query.answer().await, None, "{FIXED}");
        let stages = query.stages().await;
        let empty = stages.values().filter(|plan| plan.contains("EmptyExec")).count();
        assert!(stages.len() > 20 && stages.len() - empty == 2, "{stages:?}");
    }
}
