//! `reports/to_timestamp_formats.md`

use datafusion::prelude::{SessionConfig, SessionContext};

use crate::{FIXED, rows};

#[tokio::test]
async fn times_that_are_read_from_a_column_have_no_zone() {
    let config = SessionConfig::new().set_str("datafusion.execution.time_zone", "UTC");
    let context = SessionContext::new_with_config(config);
    rows(&context, &["CREATE TABLE t (s VARCHAR) AS VALUES ('2026-01-01 00:00:00')"]).await.unwrap();
    rows(&context, &["SELECT to_timestamp('2026-01-01 00:00:00', '%Y-%m-%d %H:%M:%S')"]).await.unwrap();
    for function in ["to_timestamp(s)", "to_timestamp_millis(s, '%Y-%m-%d %H:%M:%S')"] {
        let found = rows(&context, &[&format!("SELECT {function} FROM t")]).await;
        // A build with debug assertions detects it in the function, others when the batches are assembled.
        let error = found.expect_err(FIXED).to_string();
        assert!(error.contains("returned value of type") || error.contains("column types must match"), "{error}");
    }
}
