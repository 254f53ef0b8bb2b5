//! `reports/scalar_subquery.md`

use ballista_core::extension::SessionConfigExt;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::{FIXED, rows};

#[tokio::test]
async fn a_scalar_subquery_inside_an_aggregate_is_not_planned() {
    let context = SessionContext::new_with_config(SessionConfig::new_with_ballista());
    let table = "CREATE TABLE t (x INT) AS VALUES (1), (2)";
    let found = rows(&context, &[table, "SELECT sum(x + (SELECT max(x) FROM t)) FROM t"]).await;
    let error = found.expect_err(FIXED).to_string();
    assert!(error.contains("Physical plan does not support logical expression ScalarSubquery"), "{error}");
}
