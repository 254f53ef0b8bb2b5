//! Turns cross joins into inner joins, except where joins treat NULL as equal to NULL.
//!
//! DataFusion's `EliminateCrossJoin` splits inner joins and rejoins their inputs with a single null equality: `a JOIN b
//! ON a.x IS NOT DISTINCT FROM b.x CROSS JOIN c` loses the rows with NULL, or equalities of `WHERE` match NULL. Plans
//! with such a join are left to the rule that pushes conditions into joins.

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::LogicalPlan;
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
        let mut matches_nulls = false;
        plan.apply_with_subqueries(|node| {
            matches_nulls |= matches!(node, LogicalPlan::Join(join)
                if join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull);
            Ok(if matches_nulls { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if matches_nulls { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}
