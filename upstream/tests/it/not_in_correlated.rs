//! `reports/not_in_correlated.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, count, rows};

#[tokio::test]
async fn a_null_that_the_correlation_excludes_removes_a_row() {
    let found = rows(
        &SessionContext::new(),
        &[
            "CREATE TABLE a (x INT, y INT) AS VALUES (1, 0)",
            "CREATE TABLE b (x INT, y INT) AS VALUES (CAST(NULL AS INT), 5)",
            "SELECT * FROM a WHERE x NOT IN (SELECT b.x FROM b WHERE b.y < a.y)",
        ],
    )
    .await
    .unwrap();
    // The subquery has no rows for the row of `a`, so that row should be returned.
    assert_eq!(count(&found), 0, "{FIXED}");
}
