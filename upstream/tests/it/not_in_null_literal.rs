//! `reports/not_in_null_literal.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, count, rows};

#[tokio::test]
async fn null_not_in_a_subquery_with_rows_is_true() {
    let found = rows(&SessionContext::new(), &["SELECT 1 WHERE NULL NOT IN (SELECT '')"]).await.unwrap();
    // The condition is NULL.
    assert_eq!(count(&found), 1, "{FIXED}");
}
