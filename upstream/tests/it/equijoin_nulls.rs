//! `reports/equijoin_nulls.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, count, rows};

#[tokio::test]
async fn an_equality_becomes_a_key_that_matches_null() {
    let context = SessionContext::new();
    let tables =
        ["CREATE TABLE a (x INT, y INT) AS VALUES (1, NULL)", "CREATE TABLE b (x INT, y INT) AS VALUES (1, NULL)"];
    rows(&context, &tables).await.unwrap();
    let sql = "SELECT 1 FROM a JOIN b ON a.x IS NOT DISTINCT FROM b.x WHERE NOT (a.y <> b.y)";
    assert_eq!(count(&rows(&context, &[sql]).await.unwrap()), 1, "{FIXED}");
}
