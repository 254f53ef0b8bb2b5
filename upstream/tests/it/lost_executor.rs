//! `reports/lost_executor_adaptive.md`, `reports/lost_executor_static.md`, `reports/lost_vcores.md`

use ballista_core::error::Result;

use crate::FIXED;
use crate::cluster::{EXECUTORS, Query, config};

const STATEMENTS: [&str; 2] = [
    "CREATE TABLE t (x INT) AS VALUES (1), (2), (3), (4), (5), (6), (7), (8)",
    "SELECT count(*) FROM (SELECT x, count(*) AS n FROM t GROUP BY x) GROUP BY n",
];

/// A query whose first stage ran on an executor that is lost while the second runs: one task of the second has ended,
/// on the other executor, and one has not. Returns the query, its outcome, and the vcores of the unfinished task as
/// known before and after the loss.
async fn lose_executor(adaptive: bool) -> (Query, Result<()>, [Option<u32>; 2]) {
    let query = Query::submit(config().set_bool("ballista.planner.adaptive.enabled", adaptive), &STATEMENTS).await;
    for task in query.start().await.into_values() {
        query.run(EXECUTORS[0], task).await.unwrap();
    }
    let mut second = query.start().await;
    let (_, ends) = second.pop_first().unwrap();
    query.run(EXECUTORS[1], ends).await.unwrap();

    let ((stage, task), _) = second.pop_first().unwrap();
    let before = query.change(|graph| graph.task_vcores(stage, task)).await;
    query.change(|graph| graph.reset_stages_on_lost_executor(EXECUTORS[0])).await.unwrap();
    let after = query.change(|graph| graph.task_vcores(stage, task)).await;
    let result = query.run_all(EXECUTORS[1]).await;
    (query, result, [before, after])
}

#[tokio::test]
async fn the_adaptive_planner_rejects_repeated_tasks() {
    let (_, result, _) = lose_executor(true).await;
    let error = result.expect_err(FIXED).to_string();
    assert!(error.contains("Can't find active stage to update stage outputs"), "{error}");
}

#[tokio::test]
async fn rows_that_the_static_planner_recomputes_are_counted_twice() {
    let (query, result, _) = lose_executor(false).await;
    result.unwrap();
    // Expected: 8.
    assert_eq!(query.answer().await.unwrap(), ["12"], "{FIXED}");
}

#[tokio::test]
async fn the_vcores_of_tasks_of_a_stage_that_is_rolled_back_are_forgotten() {
    for adaptive in [true, false] {
        let (_, _, vcores) = lose_executor(adaptive).await;
        assert_eq!(vcores, [Some(1), None], "{FIXED}");
    }
}
