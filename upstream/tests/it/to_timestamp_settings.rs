//! `reports/to_timestamp_settings.md`

use std::sync::Arc;

use ballista_core::registry::BallistaFunctionRegistry;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};

use crate::{FIXED, rows};

#[tokio::test]
async fn functions_of_an_executor_do_not_know_the_settings_of_the_session() {
    let config = SessionConfig::new().set_str("datafusion.execution.time_zone", "UTC");
    let context = SessionContext::new_with_config(config.clone());
    rows(&context, &["CREATE TABLE t (ms BIGINT) AS VALUES (1767225600000)"]).await.unwrap();
    let query = context.sql("SELECT to_timestamp_millis(ms) FROM t").await.unwrap();
    let plan = query.create_physical_plan().await.unwrap();
    collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();

    // As an executor makes it for a task: with the settings of the session and its own functions.
    let functions = BallistaFunctionRegistry::default();
    let task = Arc::new(TaskContext::new(
        None,
        "session".to_string(),
        config,
        functions.scalar_functions,
        functions.higher_order_functions,
        functions.aggregate_functions,
        functions.window_functions,
        context.runtime_env(),
    ));
    let plan = physical_plan_from_bytes(&physical_plan_to_bytes(plan).unwrap(), &task).unwrap();
    let error = collect(plan, task).await.expect_err(FIXED).to_string();
    assert!(error.contains("returned value of type") || error.contains("column types must match"), "{error}");
}
