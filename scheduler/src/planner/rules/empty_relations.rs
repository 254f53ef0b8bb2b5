//! Simplifies a plan of which a part is known to have no rows.
//!
//! This is DataFusion's `PropagateEmptyRelation`, except for unions: if one branch remains, DataFusion gives it the
//! union's names without a projection from its own, and the next rule does not find them: "No field named a".

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, Projection, Union};
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// DataFusion's rule, with unions that keep their names.
#[derive(Debug, Default)]
pub(crate) struct EmptyRelations(PropagateEmptyRelation);

impl OptimizerRule for EmptyRelations {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Union(union) = &plan else { return self.0.rewrite(plan, config) };
        let remains = |input: &&Arc<LogicalPlan>| {
            !matches!(input.as_ref(), LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, .. }))
        };
        let mut remaining: Vec<Arc<LogicalPlan>> = union.inputs.iter().filter(remains).cloned().collect();
        if remaining.is_empty() || remaining.len() == union.inputs.len() {
            return self.0.rewrite(plan, config);
        }
        // A union takes its names from its first branch.
        remaining[0] = Arc::new(named(&remaining[0], &union.schema)?);
        let plan = match remaining.as_slice() {
            [only] => only.as_ref().clone(),
            _ => LogicalPlan::Union(Union { inputs: remaining, schema: Arc::clone(&union.schema) }),
        };
        Ok(Transformed::yes(plan))
    }
}

/// The rows of the plan with the names of the schema.
fn named(plan: &Arc<LogicalPlan>, schema: &DFSchema) -> Result<LogicalPlan> {
    let names = schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.name()));
    let columns = plan.schema().iter().map(|field| Expr::Column(field.into()));
    let named = columns.zip(names).map(|(column, (qualifier, name))| column.alias_qualified(qualifier, name));
    Projection::try_new(named.collect(), Arc::clone(plan)).map(LogicalPlan::Projection)
}
