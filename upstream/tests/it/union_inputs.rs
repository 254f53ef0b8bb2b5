//! `reports/union_inputs.md`

use std::sync::Arc;

use ballista_scheduler::state::task_builder::restrict_plan_to_partitions;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::{FIXED, rows, values};

#[tokio::test]
async fn an_input_without_partitions_in_a_task_is_read_anyway() {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let tables =
        ["CREATE TABLE a (x INT, y INT) AS VALUES (1, 1), (2, 1)", "CREATE TABLE b (x INT) AS VALUES (3), (4)"];
    rows(&context, &tables).await.unwrap();
    let query = context.sql("SELECT max(x) FROM a UNION ALL SELECT x FROM b").await.unwrap();
    let stage = query.create_physical_plan().await.unwrap();
    let of_task = async |partition| {
        let task = restrict_plan_to_partitions(Arc::clone(&stage), &[partition]).unwrap();
        let mut rows = values(&collect(task, context.task_ctx()).await.unwrap());
        rows.sort();
        rows
    };
    assert_eq!(of_task(0).await, ["2"]);
    // Expected: 3, 4.
    assert_eq!(of_task(1).await, ["2", "3", "4"], "{FIXED}");
}
