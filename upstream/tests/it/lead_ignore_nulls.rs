//! `reports/lead_ignore_nulls.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, rows, values};

#[tokio::test]
async fn lead_miscounts_nulls() {
    let context = SessionContext::new();
    let found = rows(
        &context,
        &[
            "CREATE TABLE t (o INT, x INT) AS VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, NULL), (6, 6)",
            "SELECT lead(x, 2) IGNORE NULLS OVER (ORDER BY o) AS l FROM t ORDER BY o",
        ],
    )
    .await
    .unwrap();
    assert_ne!(values(&found), ["3", "4", "6", "", "", ""], "{FIXED}");
}
