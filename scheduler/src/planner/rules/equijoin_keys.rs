//! Equalities in the filter of a join that treats NULL as equal to NULL.
//!
//! DataFusion's `ExtractEquijoinPredicate` makes them keys of the join, where they then match NULL as well:
//! `a JOIN b ON a.x IS NOT DISTINCT FROM b.x WHERE NOT a.y <> b.y` returns the rows whose `y` is NULL on both sides.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// DataFusion's rule, for joins that never treat NULL as equal to NULL.
#[derive(Debug, Default)]
pub(crate) struct EquijoinKeys(ExtractEquijoinPredicate);

impl OptimizerRule for EquijoinKeys {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => Ok(Transformed::no(plan)),
            _ => self.0.rewrite(plan, config),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::planner::rules::optimizer_rules;

    /// The rows of a query, with all our rules but this one, and with it.
    async fn check(sql: &str, expected: usize) {
        let name = EquijoinKeys::default().name().to_string();
        for with in [false, true] {
            let rules = optimizer_rules().into_iter().filter(|rule| with || rule.name() != name);
            let state =
                SessionStateBuilder::new().with_default_features().with_optimizer_rules(rules.collect()).build();
            let context = SessionContext::new_with_state(state);
            for table in [
                "CREATE TABLE a (x INT, y INT) AS VALUES (1, 1), (2, NULL), (NULL, 3), (NULL, NULL)",
                "CREATE TABLE b (x INT, y INT) AS VALUES (1, 1), (2, NULL), (NULL, 3), (NULL, NULL)",
            ] {
                context.sql(table).await.unwrap().collect().await.unwrap();
            }
            assert_eq!(
                context.sql(sql).await.unwrap().count().await.unwrap(),
                expected,
                "{sql}, with the rule: {with}"
            );
        }
    }

    #[tokio::test]
    async fn null_equals_null_only_where_the_query_says_so() {
        check("SELECT * FROM a JOIN b ON a.x IS NOT DISTINCT FROM b.x", 6).await;
        check("SELECT * FROM a JOIN b ON a.x = b.x WHERE NOT (a.y <> b.y)", 1).await;
        check("SELECT * FROM a JOIN b ON a.x IS NOT DISTINCT FROM b.x WHERE NOT (a.y <> b.y)", 2).await;
        check("SELECT * FROM a JOIN b ON (a.x IS NOT DISTINCT FROM b.x) AND a.y = b.y", 2).await;
        check("SELECT * FROM (SELECT a.*, b.y AS z FROM a JOIN b ON a.x IS NOT DISTINCT FROM b.x) WHERE y = z", 2)
            .await;
        check("SELECT * FROM a LEFT JOIN b ON a.x IS NOT DISTINCT FROM b.x WHERE NOT (a.y <> b.y)", 2).await;
    }
}
