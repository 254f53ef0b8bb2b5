//! `reports/single_distinct_decimal.md`

use datafusion::arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;

use crate::{FIXED, rows};

#[tokio::test]
async fn a_sum_beside_a_distinct_count_has_another_type_than_announced() {
    let context = SessionContext::new();
    rows(&context, &["CREATE TABLE t (g INT, k INT, d DECIMAL(25, 3)) AS VALUES (1, 1, 1.5)"]).await.unwrap();
    let query = context.sql("SELECT sum(d) AS s, count(DISTINCT k) FROM t GROUP BY g").await.unwrap();
    let announced = query.schema().field(0).data_type().clone();
    let given = query.collect().await.unwrap()[0].schema().field(0).data_type().clone();
    assert_eq!(announced, DataType::Decimal128(35, 3));
    assert_eq!(given, DataType::Decimal128(38, 3), "{FIXED}");
}
