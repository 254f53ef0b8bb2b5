//! `reports/not_in_null_literal.md`

use datafusion::prelude::SessionContext;

use crate::{MENDED, count, rows};

#[tokio::test]
async fn null_is_taken_to_be_not_in_a_subquery_with_rows() {
    let found = rows(&SessionContext::new(), &["SELECT 1 WHERE NULL NOT IN (SELECT '')"]).await.unwrap();
    // The condition is NULL.
    assert_eq!(count(&found), 1, "{MENDED}");
}
