//! `reports/filter_names.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, count, rows};

#[tokio::test]
async fn a_filter_reads_another_column_of_the_same_name() {
    let context = SessionContext::new();
    let tables = [
        "CREATE TABLE few (id BIGINT, n INT, word VARCHAR) AS VALUES (5, 0, 'a')",
        // More rows than the other table, so that the sides of the join are swapped, and a projection restores the
        // column order.
        "CREATE TABLE many (id BIGINT, n INT) AS VALUES (1347, 177), (1348, 8648), (1349, 3723), (1350, 8448), (1351, 1), (1352, 6)",
    ];
    rows(&context, &tables).await.unwrap();
    let sql = "SELECT 1 FROM many RIGHT JOIN few ON many.id = few.id \
               WHERE CASE WHEN many.n BETWEEN 0 AND few.n THEN few.word IS NOT NULL END";
    // `many.n` is NULL, and so is the condition; but 0 is between 0 and 0.
    assert_eq!(count(&rows(&context, &[sql]).await.unwrap()), 1, "{FIXED}");
}
