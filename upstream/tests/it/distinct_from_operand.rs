//! `reports/distinct_from_operand.md`

use datafusion::arrow::array::AsArray;
use datafusion::prelude::SessionContext;

use crate::{FIXED, rows};

#[tokio::test]
async fn and_is_part_of_the_operand_of_is_distinct_from() {
    let batches = rows(&SessionContext::new(), &["SELECT true IS DISTINCT FROM true AND false"]).await.unwrap();
    assert!(batches[0].column(0).as_boolean().value(0), "{FIXED}");
}
