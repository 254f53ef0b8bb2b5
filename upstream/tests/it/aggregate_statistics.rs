//! `reports/aggregate_statistics.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, rows, values};

#[tokio::test]
async fn an_inner_count_becomes_the_result() {
    let context = SessionContext::new();
    let found = rows(
        &context,
        &[
            "CREATE TABLE t AS VALUES (1), (2), (3), (4)",
            "SELECT count(n) FILTER (WHERE n > 100) FROM (SELECT count(*) AS n FROM t) AS q",
        ],
    )
    .await
    .unwrap();
    // No count is above 100.
    assert_ne!(values(&found), ["0"], "{FIXED}");
}
