//! Our rules in the initial plan of Ballista's adaptive planner.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;

use super::ours;

/// The plan of a join that needs a barrier over one of its inputs.
async fn planned(state: SessionState) -> String {
    let sql = "SELECT a.k, b.c FROM t AS a LEFT JOIN (SELECT k, 5 AS c FROM t WHERE k = 3) AS b ON a.k = b.k";
    let plan = SessionContext::new_with_state(state).sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

#[tokio::test]
async fn a_session_whose_rules_ballista_replaced_still_plans_with_ours() {
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let table = [RecordBatch::try_from_iter([("k", keys)]).unwrap()];
    let spill = tempfile::tempdir().unwrap();
    let state = ours(&table, 1 << 30, spill.path());
    let as_ballista: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(FilterPushdown::new())];
    let replaced =
        SessionStateBuilder::new_from_existing(state.clone()).with_physical_optimizer_rules(as_ballista).build();
    assert_eq!(replaced.physical_optimizers().len(), 1);
    for state in [state, replaced] {
        let plan = planned(state).await;
        assert_eq!(plan.matches("PropertyBarrierExec").count(), 1, "{plan}");
    }
}
