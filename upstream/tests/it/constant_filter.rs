//! `reports/constant_filter.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, count, rows};

#[tokio::test]
async fn a_filter_without_columns_is_pushed_below_an_aggregate_without_groups() {
    let sql = "SELECT 7 AS x FROM (SELECT 1 AS y FROM (SELECT count(*) AS n) a) b WHERE b.y >= 14";
    assert_eq!(count(&rows(&SessionContext::new(), &[sql]).await.unwrap()), 1, "{FIXED}");
}
