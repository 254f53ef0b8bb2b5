//! Filters that joins and top-k sorts create at run time, in the tasks of a stage.
//!
//! Ballista turns them off, because the scan that would apply a filter may be in another stage than its join, and wait
//! for it forever (apache/datafusion-ballista#1375). Here an executor pushes them down when it has received a task:
//! only within the plan of the task, which has just the partitions that the task runs.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;

use crate::named_filters::NamedFilters;
use crate::task_context::with_config;

/// The plan of a task with its dynamic filters pushed down, or as it is if that takes other operators: the scheduler
/// maps metrics to operators by their position. To be executed in the context of [`with_dynamic_filters`].
pub fn push_dynamic_filters(plan: Arc<dyn ExecutionPlan>, config: &SessionConfig) -> Result<Arc<dyn ExecutionPlan>> {
    let config = enabled(config.clone());
    let filtered = NamedFilters::while_running().optimize(Arc::clone(&plan), config.options())?;
    Ok(if operators(&filtered) == operators(&plan) { filtered } else { plan })
}

/// The context of a task whose joins fill their filters.
pub fn with_dynamic_filters(context: &TaskContext) -> TaskContext {
    with_config(context, enabled(context.session_config().clone()), context.runtime_env())
}

fn enabled(config: SessionConfig) -> SessionConfig {
    config.set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", true)
}

/// The names of a plan's operators, from the root down.
fn operators(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut names = Vec::new();
    // The closure never fails.
    let _ = plan.apply(|node| {
        names.push(node.name().to_string());
        Ok(TreeNodeRecursion::Continue)
    });
    names
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::{ParquetReadOptions, SessionContext};

    use super::*;

    /// The plan of a query over Parquet files as Ballista makes it, and as a task runs it.
    async fn task(sql: &str) -> [String; 2] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.parquet");
        let without = "datafusion.optimizer.enable_dynamic_filter_pushdown";
        let context = SessionContext::new_with_config(SessionConfig::new().set_bool(without, false));
        let rows = "SELECT value AS k, value % 7 AS g FROM generate_series(1, 1000)";
        context.sql(&format!("COPY ({rows}) TO '{}'", file.display())).await.unwrap().collect().await.unwrap();
        for table in ["t", "u"] {
            context.register_parquet(table, file.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        }
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let config = context.copied_config();
        let filtered = push_dynamic_filters(Arc::clone(&plan), &config).unwrap();
        [plan, filtered].map(|plan| displayable(plan.as_ref()).indent(true).to_string())
    }

    #[tokio::test]
    async fn scans_of_a_task_get_the_filters_of_its_operators() {
        for sql in ["SELECT * FROM t JOIN u ON t.k = u.g", "SELECT * FROM t ORDER BY g DESC LIMIT 3"] {
            let [before, after] = task(sql).await;
            assert!(!before.contains("DynamicFilter"), "{before}");
            assert!(
                after.lines().any(|line| line.contains("DataSourceExec") && line.contains("DynamicFilter")),
                "{after}"
            );
        }
    }

    #[tokio::test]
    async fn a_task_keeps_its_operators() {
        let [before, after] = task("SELECT * FROM t JOIN (SELECT * FROM u ORDER BY g LIMIT 900) u ON u.k = t.k").await;
        let names = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.trim().split([':', ',']).next().unwrap_or_default().to_string()).collect()
        };
        assert_eq!(names(&before), names(&after), "{before}{after}");
    }
}
