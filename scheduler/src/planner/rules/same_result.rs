//! Compares a session with a rule to plain DataFusion over the same rows, for the tests of rules for distinct
//! aggregates.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::OptimizerRule;
use datafusion::prelude::SessionContext;

/// Some 2,000 rows with NULLs in every column.
const ROWS: &str = "CREATE TABLE t AS SELECT \
    CASE WHEN i % 11 > 0 THEN i % 7 END AS k, \
    CASE WHEN i % 5 > 0 THEN 'x' || (i * i % 97) END AS x, \
    CASE WHEN i % 13 > 0 THEN CAST(i % 50 AS DECIMAL(10, 2)) / 4 END AS d, \
    CASE WHEN i % 17 > 0 THEN CAST(i % 31 AS DOUBLE) / 2 END AS f \
    FROM unnest(range(0, 2000)) AS n (i)";

async fn contexts(rule: Arc<dyn OptimizerRule + Send + Sync>) -> [SessionContext; 2] {
    let plain = SessionContext::new();
    let state = SessionStateBuilder::new().with_default_features().with_optimizer_rule(rule);
    let ruled = SessionContext::new_with_state(state.build());
    for context in [&plain, &ruled] {
        context.sql(ROWS).await.unwrap().collect().await.unwrap();
    }
    [plain, ruled]
}

async fn plan_and_rows(context: &SessionContext, sql: &str) -> (String, Vec<RecordBatch>) {
    let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let plan = frame.clone().into_optimized_plan().unwrap_or_else(|e| panic!("{sql}: {e}")).to_string();
    (plan, frame.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}")))
}

/// Asserts that the rule changes the plans of these queries, but neither rows nor types. Only queries with `WHERE k >
/// 100 GROUP BY` may have no rows.
pub(super) async fn assert_same_results(rule: Arc<dyn OptimizerRule + Send + Sync>, queries: &[&str]) {
    let [plain, ruled] = contexts(rule).await;
    for sql in queries {
        let ((before, expected), (after, rows)) = (plan_and_rows(&plain, sql).await, plan_and_rows(&ruled, sql).await);
        assert_ne!(before, after, "{sql}");
        let count = expected.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert!(count > 0 || sql.contains("100 GROUP"), "{sql}");
        let lines = |batches: &[RecordBatch]| {
            let text = pretty_format_batches(batches).unwrap().to_string();
            let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&rows), lines(&expected), "{sql}");
        let types = |batches: &[RecordBatch]| {
            batches.first().map(|b| b.schema().fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>())
        };
        assert_eq!(types(&rows), types(&expected), "{sql}");
    }
}

/// Asserts that the rule does not change the plans of these queries.
pub(super) async fn assert_unchanged(rule: Arc<dyn OptimizerRule + Send + Sync>, queries: &[&str]) {
    let [plain, ruled] = contexts(rule).await;
    for sql in queries {
        assert_eq!(plan_and_rows(&ruled, sql).await.0, plan_and_rows(&plain, sql).await.0, "{sql}");
    }
}
