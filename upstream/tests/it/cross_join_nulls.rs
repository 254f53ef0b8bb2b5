//! `reports/cross_join_nulls.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, count, rows};

#[tokio::test]
async fn a_null_safe_join_loses_its_nulls_beside_a_cross_join() {
    let context = SessionContext::new();
    let tables = [
        "CREATE TABLE a AS SELECT arrow_cast(NULL, 'Utf8') AS s",
        "CREATE TABLE b AS SELECT arrow_cast(NULL, 'Utf8') AS s",
        "CREATE TABLE c AS SELECT 1 AS n",
    ];
    rows(&context, &tables).await.unwrap();
    let join = "SELECT 1 FROM a JOIN b ON a.s IS NOT DISTINCT FROM b.s";
    assert_eq!(count(&rows(&context, &[join]).await.unwrap()), 1);
    let beside = format!("{join} CROSS JOIN c");
    assert_eq!(count(&rows(&context, &[&beside]).await.unwrap()), 0, "{FIXED}");
}
