//! `reports/offset_sort.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, rows, values};

#[tokio::test]
async fn a_sort_is_pushed_below_an_offset() {
    let context = SessionContext::new();
    let found = rows(
        &context,
        &[
            "CREATE TABLE t (a INT, b INT) AS VALUES (1, 9), (2, 8), (3, 7), (4, 6)",
            "SELECT sum(b) OVER (ORDER BY b ROWS 1 PRECEDING) AS s FROM (SELECT a, b FROM t ORDER BY a OFFSET 2) AS q",
        ],
    )
    .await
    .unwrap();
    // Rows 3 and 4 remain, so 6 and 13 are expected.
    assert_ne!(values(&found), ["6", "13"], "{FIXED}");
}

#[tokio::test]
async fn a_sort_below_an_offset_gets_the_limit_above_it() {
    let context = SessionContext::new();
    let found = rows(
        &context,
        &[
            "CREATE TABLE t (a INT) AS SELECT value FROM generate_series(1, 12)",
            "SELECT a FROM (SELECT a FROM t GROUP BY a LIMIT 7 OFFSET 4) AS q ORDER BY a",
        ],
    )
    .await
    .unwrap();
    assert_ne!(values(&found).len(), 7, "{FIXED}");
}

#[tokio::test]
async fn a_sort_below_an_offset_is_removed() {
    let context = SessionContext::new();
    let found = rows(
        &context,
        &[
            "CREATE TABLE t (a INT, b INT) AS VALUES (1, 9), (2, 8), (3, 7), (4, 6)",
            "SELECT sum(a) FROM (SELECT a FROM t ORDER BY b OFFSET 3) AS q",
        ],
    )
    .await
    .unwrap();
    // By b the last row is (1, 9).
    assert_ne!(values(&found), ["1"], "{FIXED}");
}
