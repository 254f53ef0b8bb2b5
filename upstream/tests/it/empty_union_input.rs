//! `reports/empty_union_input.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, rows};

#[tokio::test]
async fn the_names_of_a_union_are_lost_with_its_first_input() {
    let sql = "SELECT 1 AS a WHERE false UNION ALL (SELECT 2 AS b LIMIT 6)";
    let error = rows(&SessionContext::new(), &[sql]).await.expect_err(FIXED);
    assert!(error.to_string().contains("No field named a"), "{error}");
}
