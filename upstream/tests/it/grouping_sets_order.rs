//! `reports/grouping_sets_order.md`

use datafusion::prelude::{SessionConfig, SessionContext};

use crate::{FIXED, count, rows, values};

#[tokio::test]
async fn a_group_is_returned_several_times() {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let found = rows(
        &context,
        &[
            "CREATE TABLE t (k INT, x INT) AS VALUES (1, 1), (2, 2), (3, 1), (1, 2)",
            "SELECT k, sum(n) FROM (
                 SELECT k, x, count(*) AS n FROM (SELECT k, x, rank() OVER (ORDER BY k) AS r FROM t) WHERE r > 0
                 GROUP BY GROUPING SETS ((k, x), (k))
             ) GROUP BY k",
        ],
    )
    .await
    .unwrap();
    // There are three values of k.
    assert_ne!(count(&found), 3, "{FIXED}");
}

#[tokio::test]
async fn a_group_of_a_set_is_returned_several_times() {
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(2);
    let context = SessionContext::new_with_config(config);
    let found = rows(
        &context,
        &[
            "CREATE TABLE t (k INT, x INT) AS VALUES (1, 1), (2, 2), (2, 2), (2, 2), (3, 1)",
            "SELECT k, x, count(*) FROM (SELECT k, x, rank() OVER (ORDER BY k) AS r FROM t) WHERE r > 0
             GROUP BY GROUPING SETS ((k, x), (k))",
        ],
    )
    .await
    .unwrap();
    // Three groups by both, three by k.
    assert_ne!(count(&found), 6, "{FIXED}");
}

#[tokio::test]
async fn rows_are_not_sorted_by_a_constant_that_a_set_excludes() {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let sql = "SELECT coalesce(1, x) AS g FROM (VALUES (2)) AS t (x)
               GROUP BY GROUPING SETS ((x), (coalesce(1, x), x)) ORDER BY g NULLS LAST";
    let found = values(&rows(&context, &[sql]).await.unwrap());
    assert_ne!(found, ["1", ""], "{FIXED}");
}
