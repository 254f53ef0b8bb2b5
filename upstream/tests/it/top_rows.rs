//! `reports/top_rows.md`

use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::{FIXED, rows};

#[tokio::test]
async fn first_rows_of_partitions_are_compared_without_columns_that_are_constant_in_each() {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    rows(&context, &["CREATE TABLE t (x DOUBLE) AS VALUES (3.0), (1.0), (2.0)"]).await.unwrap();
    let sql = "SELECT c, NULL AS x FROM (SELECT count(*) AS c FROM t) UNION ALL SELECT 9, x FROM t \
               ORDER BY c, x NULLS LAST LIMIT 2";
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    // Which rows are dropped depends on which partition is first, so the plan is checked instead.
    assert!(
        text.contains("SortExec: TopK(fetch=2), expr=[x@1 ASC NULLS LAST], preserve_partitioning=[true]"),
        "{FIXED}\n{text}"
    );
}
