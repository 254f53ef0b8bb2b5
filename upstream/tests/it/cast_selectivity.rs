//! `reports/cast_selectivity.md`

use datafusion::prelude::SessionContext;

use crate::{FIXED, rows};

#[tokio::test]
async fn a_filter_that_rounds_a_column_is_not_planned() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.parquet");
    let write = format!(
        "COPY (VALUES (DATE '2026-02-06', TIMESTAMP '1970-01-29T00:00:00.0004'),
                      (NULL, TIMESTAMP '1970-01-12T23:59:59.999999')) TO '{}'",
        file.display()
    );
    let read = format!("SELECT count(*) FROM '{}' WHERE column1 > CAST(column2 AS DATE)", file.display());
    let context = SessionContext::new().enable_url_table();
    let error = rows(&context, &["SET datafusion.execution.collect_statistics = true", &write, &read]).await;
    assert!(error.is_err_and(|e| e.to_string().contains("Selectivity is out of limit")), "{FIXED}");
}
