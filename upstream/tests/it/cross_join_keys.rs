//! `reports/cross_join_keys.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, count, rows};

#[tokio::test]
async fn a_join_key_of_more_or_fewer_than_two_inputs_is_lost() {
    let context = SessionContext::new();
    let tables = [
        "CREATE TABLE a (k INT, x INT) AS VALUES (1, 1)",
        "CREATE TABLE b (y INT) AS VALUES (1), (2)",
        "CREATE TABLE c (k INT, z INT) AS VALUES (1, 3)",
        "CREATE TABLE f (l BOOLEAN) AS VALUES (false), (true)",
    ];
    rows(&context, &tables).await.unwrap();
    let sum = "SELECT 1 FROM a CROSS JOIN b JOIN c ON a.x + b.y = c.z AND a.k = c.k";
    assert_eq!(count(&rows(&context, &[sum]).await.unwrap()), 2, "{FIXED}");
    let null = "SELECT 1 FROM (SELECT 1 AS one) q JOIN f ON true WHERE f.l = (q.one IN (NULL))";
    assert_eq!(count(&rows(&context, &[null]).await.unwrap()), 2, "{FIXED}");
}
