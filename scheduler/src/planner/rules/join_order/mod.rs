//! The order of joins, from estimates of how many rows each returns.
//!
//! DataFusion 55 joins in the order of the statement, and only chooses which side of a join is hashed. This rule takes
//! a tree of equijoins apart into a graph (`graph.rs`), searches for the cheapest order (`search.rs`), and builds that
//! (`build.rs`). Besides inner joins, left, semi and anti joins are moved, as they can be once what they refer to is
//! joined. A cross join is never introduced, and the order remains if the rows of a table are unknown, or if another
//! is not clearly cheaper. Columns, their order and their types remain as well.

mod build;
mod graph;
mod search;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;

use graph::Graph;

/// Orders joins by their cost. Must run before rules that choose how joins are executed.
#[derive(Debug)]
pub(super) struct JoinOrder;

impl PhysicalOptimizerRule for JoinOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        ordered(plan)
    }

    fn name(&self) -> &'static str {
        "join_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn ordered(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(mut graph) = Graph::of(&plan) else {
        let inputs = plan.children().into_iter().cloned().map(ordered).collect::<Result<_>>()?;
        return replace_children_if_necessary(plan, inputs);
    };
    // The joins within what this order takes as given.
    let mut changed = false;
    for relation in &mut graph.relations {
        let inner = ordered(Arc::clone(&relation.plan))?;
        changed |= !Arc::ptr_eq(&inner, &relation.plan);
        relation.plan = inner;
    }
    let tree = match search::cheapest(&graph) {
        Some(tree) => tree,
        None if changed => graph.written.clone(),
        None => return Ok(plan),
    };
    let built = build::plan(&graph, &tree, &plan)?;
    Ok(if built.schema() == plan.schema() { built } else { plan })
}

#[cfg(test)]
mod tests;
