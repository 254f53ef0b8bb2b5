//! `reports/join_constants.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, rows};

#[tokio::test]
async fn a_column_of_the_right_side_of_a_join_is_not_known_to_be_constant() {
    let error = rows(
        &SessionContext::new(),
        &[
            "CREATE TABLE a (i INT) AS VALUES (1), (2)",
            "CREATE TABLE b (i INT, x INT)",
            // `b` is smaller, so the sides are swapped after a sort by `c` was found to be unnecessary.
            "SELECT sum(b.x) OVER (ORDER BY q.c) FROM (SELECT i, 5 AS c FROM a) q JOIN b ON b.i = q.i",
        ],
    )
    .await
    .expect_err(FIXED)
    .to_string();
    assert!(error.contains("SanityCheckPlan") && error.contains("does not satisfy order requirements"), "{error}");
}
