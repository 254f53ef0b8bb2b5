//! Turns cross joins into inner joins, and keeps the conditions of all joins.
//!
//! DataFusion's `EliminateCrossJoin` splits inner joins, and rejoins their inputs in another order:
//!
//! - All with a single null equality: `a JOIN b ON a.x IS NOT DISTINCT FROM b.x CROSS JOIN c` loses the rows with NULL,
//!   or equalities of `WHERE` match NULL. Plans with such a join are left to the rule that pushes conditions into
//!   joins.
//! - Without the keys that are not of exactly two inputs, such as `NULL = b.x` or `a.x + b.y = c.z`: rows that do not
//!   match are returned. Such keys become filters of their joins first, which the rule keeps.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// DataFusion's rule, for plans whose inner joins never treat NULL as equal to NULL.
#[derive(Debug, Default)]
pub(crate) struct CrossJoins(EliminateCrossJoin);

impl OptimizerRule for CrossJoins {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let (mut has_inner_joins, mut matches_nulls) = (false, false);
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::Join(join) = node
                && join.join_type == JoinType::Inner
            {
                has_inner_joins = true;
                matches_nulls |= join.null_equality == NullEquality::NullEqualsNull;
            }
            Ok(if matches_nulls { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !has_inner_joins || matches_nulls {
            return Ok(Transformed::no(plan));
        }
        let filtered = plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => Ok(with_keys_of_two_inputs(join)),
            node => Ok(Transformed::no(node)),
        })?;
        filtered.transform_data(|plan| self.0.rewrite(plan, config))
    }
}

/// The join with filters in place of keys that are not of two inputs.
fn with_keys_of_two_inputs(mut join: Join) -> Transformed<LogicalPlan> {
    let mut inputs = Vec::new();
    add_inputs(&join.left, &mut inputs);
    add_inputs(&join.right, &mut inputs);
    let is_of_one = |key: &Expr| {
        let columns = key.column_refs();
        let has_all = |input: &&LogicalPlan| columns.iter().all(|column| input.schema().has_column(column));
        !columns.is_empty() && inputs.iter().any(has_all)
    };
    let (keys, others): (Vec<_>, Vec<_>) =
        std::mem::take(&mut join.on).into_iter().partition(|(left, right)| is_of_one(left) && is_of_one(right));
    join.on = keys;
    let changes = !others.is_empty();
    let filters = join.filter.take().into_iter().chain(others.into_iter().map(|(left, right)| left.eq(right)));
    join.filter = conjunction(filters);
    Transformed::new_transformed(LogicalPlan::Join(join), changes)
}

/// Adds the inputs of inner joins, as DataFusion's rule splits them.
fn add_inputs<'a>(plan: &'a Arc<LogicalPlan>, inputs: &mut Vec<&'a LogicalPlan>) {
    match plan.as_ref() {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            add_inputs(&join.left, inputs);
            add_inputs(&join.right, inputs);
        }
        input => inputs.push(input),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::optimizer::Optimizer;
    use datafusion::prelude::SessionContext;

    use super::*;

    /// The rows of a query, without the rule, and with it.
    async fn check(sql: &str, expected: usize) {
        let without = || Optimizer::new().rules.into_iter().filter(|rule| rule.name() != "eliminate_cross_join");
        let with = without().chain([Arc::new(CrossJoins::default()) as Arc<dyn OptimizerRule + Send + Sync>]);
        for rules in [without().collect(), with.collect::<Vec<_>>()] {
            let state = SessionStateBuilder::new().with_default_features().with_optimizer_rules(rules).build();
            let context = SessionContext::new_with_state(state);
            for table in [
                "CREATE TABLE a (k INT, x INT) AS VALUES (1, 1), (2, NULL)",
                "CREATE TABLE b (y INT) AS VALUES (1), (2)",
                "CREATE TABLE c (k INT, z INT) AS VALUES (1, 3), (NULL, 2)",
                "CREATE TABLE f (l BOOLEAN) AS VALUES (false), (true), (NULL)",
            ] {
                context.sql(table).await.unwrap().collect().await.unwrap();
            }
            assert_eq!(context.sql(sql).await.unwrap().count().await.unwrap(), expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn no_condition_is_lost() {
        check("SELECT * FROM a CROSS JOIN b JOIN c ON a.x + b.y = c.z AND a.k = c.k", 1).await;
        check("SELECT * FROM a, b, c WHERE a.x + b.y = c.z AND a.k = c.k", 1).await;
        check("SELECT * FROM a, b, c WHERE a.x + b.y = c.z", 2).await;
        check("SELECT * FROM (SELECT 1 AS one) q JOIN f ON true WHERE f.l = (q.one IN (NULL))", 0).await;
        check("SELECT * FROM (SELECT 1 AS one) q JOIN f ON f.l = (q.one IN (1)) CROSS JOIN b", 2).await;
        check("SELECT * FROM (SELECT 1 AS one) q JOIN b ON q.one = b.y CROSS JOIN f", 3).await;
        check("SELECT * FROM a JOIN c ON a.k = c.k JOIN b ON a.k + c.k = b.y", 1).await;
        check("SELECT * FROM b WHERE y IN (SELECT a.x FROM a, b, c WHERE a.x + b.y = c.z AND a.k = c.k)", 1).await;
    }
}
