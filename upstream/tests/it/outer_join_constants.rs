//! `reports/outer_join_constants.md`

use datafusion::prelude::{SessionConfig, SessionContext};

use crate::{FIXED, rows, values};

#[tokio::test]
async fn an_order_by_what_a_join_makes_null_is_lost() {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let found = rows(
        &context,
        &[
            "CREATE TABLE t (k INT) AS VALUES (3), (1), (2)",
            "CREATE TABLE s (j INT, c INT) AS VALUES (3, 5), (4, 6)",
            "SELECT c FROM t LEFT JOIN (SELECT j, c FROM s WHERE c = 5) ON k = j ORDER BY c NULLS FIRST",
        ],
    )
    .await
    .unwrap();
    assert_ne!(values(&found), ["", "", "5"], "{FIXED}");
}
