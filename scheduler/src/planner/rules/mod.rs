//! Optimizer rules in addition to DataFusion's own. Each keeps the rows of a plan and makes it correct or faster.

mod aggregate_statistics;
mod common_subplans;
mod constant_filters;
mod cross_joins;
mod distinct_groups;
mod distinct_sets;
mod empty_relations;
mod empty_tables;
mod equijoin_keys;
mod first_row;
mod hash_partitions;
mod join_inputs;
mod join_order;
mod lossy_casts;
mod not_in;
mod offsets;
mod property_barriers;
mod requirements;
#[cfg(test)]
mod same_result;
mod stage_orders;
mod top_rows;

use std::sync::Arc;

use bergmill_engine::NamedFilters;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;

pub(crate) use first_row::FirstRow;
pub(crate) use join_inputs::without_estimates;
pub(crate) use requirements::with_sorts;
pub(crate) use top_rows::may_drop_first_rows;

/// All rules over logical plans, in order of application.
pub(crate) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![Arc::new(not_in::NotIn)];
    // Replace the rules of the same name.
    let ours: [Arc<dyn OptimizerRule + Send + Sync>; 4] = [
        Arc::new(constant_filters::ConstantFilters::default()),
        Arc::new(cross_joins::CrossJoins::default()),
        Arc::new(empty_relations::EmptyRelations::default()),
        Arc::new(equijoin_keys::EquijoinKeys::default()),
    ];
    // Replaced by DistinctAsGroups, which does not make decimals wider than announced.
    let unwanted = "single_distinct_aggregation_to_group_by";
    for rule in Optimizer::new().rules.into_iter().filter(|rule| rule.name() != unwanted) {
        rules.push(ours.iter().find(|own| own.name() == rule.name()).cloned().unwrap_or(rule));
    }
    rules.push(Arc::new(empty_tables::EmptyTables));
    rules.push(Arc::new(first_row::KeepFirstRow));
    rules.push(Arc::new(distinct_groups::DistinctAsGroups));
    rules.push(Arc::new(distinct_sets::DistinctAsSets));
    rules.push(Arc::new(lossy_casts::LossyCasts));
    rules
}

/// The given rules over physical plans, with ours replacing those of the same name, and added before and after them.
pub(crate) fn physical_optimizer_rules(
    rules: &[Arc<dyn PhysicalOptimizerRule + Send + Sync>],
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let ours: [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 5] = [
        Arc::new(aggregate_statistics::OwnStatistics::default()),
        Arc::new(offsets::KeptOffsets::default()),
        Arc::new(NamedFilters::before()),
        Arc::new(NamedFilters::while_running()),
        Arc::new(requirements::OrderedInputs::default()),
    ];
    let mut all: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> =
        vec![Arc::new(property_barriers::PropertyBarriers), Arc::new(join_order::JoinOrder)];
    all.extend(rules.iter().map(|rule| ours.iter().find(|own| own.name() == rule.name()).unwrap_or(rule)).cloned());
    let at_run_time = all.iter().rposition(|rule| rule.name() == NamedFilters::while_running().name());
    all.insert(at_run_time.unwrap_or(all.len()), Arc::new(common_subplans::CommonSubplans));
    all.push(Arc::new(top_rows::TopRows));
    all.push(Arc::new(hash_partitions::HashPartitions));
    all
}

/// The same for a plan that is cut into stages.
pub(crate) fn stage_optimizer_rules(
    rules: &[Arc<dyn PhysicalOptimizerRule + Send + Sync>],
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut all = physical_optimizer_rules(rules);
    // In stages the partitions of an exchange are tasks, which share nothing.
    let of_one_process = [common_subplans::CommonSubplans.name(), hash_partitions::HashPartitions.name()];
    all.retain(|rule| !of_one_process.contains(&rule.name()));
    let ordered = all.iter().position(|rule| rule.name() == join_order::JoinOrder.name()).map_or(0, |at| at + 1);
    let ours: [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 2] =
        [Arc::new(stage_orders::StageOrders), Arc::new(join_inputs::JoinInputs)];
    all.splice(ordered..ordered, ours);
    all
}

/// Whether these rules are the result of [`physical_optimizer_rules`].
pub(crate) fn has_physical_optimizer_rules(rules: &[Arc<dyn PhysicalOptimizerRule + Send + Sync>]) -> bool {
    rules.first().is_some_and(|first| first.name() == property_barriers::PropertyBarriers.name())
}

/// `coalesce(expr, otherwise)`, in a form that DataFusion recognizes as not nullable.
fn or_else(expr: Expr, otherwise: ScalarValue) -> Result<Expr> {
    when(expr.clone().is_not_null(), expr).otherwise(lit(otherwise))
}

#[cfg(test)]
fn physical_session(config: datafusion::prelude::SessionConfig) -> datafusion::prelude::SessionContext {
    use datafusion::execution::SessionStateBuilder;
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    let state = SessionStateBuilder::new().with_default_features().with_config(config);
    let rules = physical_optimizer_rules(&PhysicalOptimizer::new().rules);
    datafusion::prelude::SessionContext::new_with_state(state.with_physical_optimizer_rules(rules).build())
}
