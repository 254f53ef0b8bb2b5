//! `reports/constant_filter.md`

use datafusion::prelude::SessionContext;

use crate::{MENDED, count, rows};

#[tokio::test]
async fn a_filter_without_columns_goes_below_an_aggregate_without_groups() {
    let sql = "SELECT 7 AS x FROM (SELECT 1 AS y FROM (SELECT count(*) AS n) a) b WHERE b.y >= 14";
    assert_eq!(count(&rows(&SessionContext::new(), &[sql]).await.unwrap()), 1, "{MENDED}");
}
