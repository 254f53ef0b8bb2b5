//! Cross joins that become inner joins, but not where joins take NULL for equal to NULL.
//!
//! DataFusion's `EliminateCrossJoin` takes inner joins apart and joins their inputs anew, all in one way: `a JOIN b ON
//! a.x IS NOT DISTINCT FROM b.x CROSS JOIN c` loses the rows with NULL, and the equalities of `WHERE` may begin to
//! match NULL. Plans with such a join are left to the rule that pushes conditions into joins.

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// DataFusion's rule, for plans whose inner joins compare in one way.
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
        let mut takes_nulls = false;
        plan.apply_with_subqueries(|node| {
            takes_nulls |= matches!(node, LogicalPlan::Join(join)
                if join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull);
            Ok(if takes_nulls { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if takes_nulls { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}
