//! Rules of the optimizer, beside DataFusion's own: each makes a plan of the same rows that runs right, or faster.

mod distinct_groups;
mod distinct_sets;
mod empty_relations;
mod empty_tables;
mod first_row;
mod not_in;
mod requirements;

use std::sync::Arc;

use datafusion::optimizer::{Optimizer, OptimizerRule};

pub(crate) use first_row::{FirstRow, FirstRowExec};
pub(crate) use requirements::physical_optimizer_rules;

/// All rules over logical plans, in the order in which they are applied.
pub(crate) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![Arc::new(not_in::NotIn)];
    let empty_relations: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(empty_relations::EmptyRelations::default());
    for rule in Optimizer::new().rules {
        // In the place of DataFusion's.
        rules.push(if rule.name() == empty_relations.name() { Arc::clone(&empty_relations) } else { rule });
    }
    rules.push(Arc::new(empty_tables::EmptyTables));
    rules.push(Arc::new(first_row::KeepFirstRow));
    rules.push(Arc::new(distinct_groups::DistinctAsGroups));
    rules.push(Arc::new(distinct_sets::DistinctAsSets));
    rules
}
