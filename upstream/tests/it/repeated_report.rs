//! `reports/repeated_report.md`

use crate::FIXED;
use crate::cluster::{EXECUTORS, Query, config};

const STATEMENTS: [&str; 2] = [
    "CREATE TABLE t (x INT) AS VALUES (1), (2), (3), (4), (5), (6), (7), (8)",
    "SELECT count(*) FROM (SELECT x, count(*) AS n FROM t GROUP BY x) GROUP BY n",
];

/// The result, if the first report of the second stage arrives this many times.
async fn result(adaptive: bool, times: usize) -> Option<Vec<String>> {
    let query = Query::submit(config().set_bool("ballista.planner.adaptive.enabled", adaptive), &STATEMENTS).await;
    for task in query.start().await.into_values() {
        query.run(EXECUTORS[0], task).await.unwrap();
    }
    let mut second = query.start().await;
    let (_, task) = second.pop_first().unwrap();
    let report = query.execute(EXECUTORS[0], task).await.unwrap();
    for _ in 0..times {
        query.report(EXECUTORS[0], report.clone()).await.unwrap();
    }
    for task in second.into_values() {
        query.run(EXECUTORS[0], task).await.unwrap();
    }
    query.run_all(EXECUTORS[0]).await.unwrap();
    query.answer().await
}

#[tokio::test]
async fn a_report_that_arrives_twice_is_counted_twice() {
    for adaptive in [true, false] {
        assert_eq!(result(adaptive, 1).await.unwrap(), ["8"]);
        assert_eq!(result(adaptive, 2).await.unwrap(), ["12"], "{FIXED}");
    }
}
