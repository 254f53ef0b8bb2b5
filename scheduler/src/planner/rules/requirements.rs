//! Required input orderings, enforced once more.
//!
//! DataFusion 55 enforces them (`EnsureRequirements`) and then moves projections. That may lose the property that made
//! a sort unnecessary, for example that a column is constant, when `5 AS c` becomes part of a scan below a join. And
//! the order of a sort is not always recognized: after `nvl(a, '0') = '0'` each `'0'` in a sort expression is replaced
//! by an expression that itself contains `'0'`. `SanityCheckPlan` then refuses a plan that only lacks a sort, or lacks
//! nothing.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::execution_plan::{InvariantLevel, replace_children_if_necessary};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ChildSatisfactionOptions, ExecutionPlan, ExecutionPlanProperties};

/// DataFusion's check, which adds missing sorts to a plan that it would refuse.
#[derive(Debug, Default)]
pub(super) struct OrderedInputs(SanityCheckPlan);

impl PhysicalOptimizerRule for OrderedInputs {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if self.0.optimize(Arc::clone(&plan), config).is_ok() {
            return Ok(plan);
        }
        plan.transform_up(|node| with_ordered_inputs(node)?.transform_data(checked)).data()
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Adds the sorts that operators of a plan require and do not have.
pub(crate) fn with_sorts(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(with_ordered_inputs).data()
}

fn with_ordered_inputs(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let mut sorted = false;
    let inputs = node.children().into_iter().zip(node.required_input_ordering()).map(|(input, required)| {
        let Some(required) = required.map(|required| required.into_single()) else { return Ok(Arc::clone(input)) };
        if input.equivalence_properties().ordering_satisfy_requirement(required.clone())? {
            return Ok(Arc::clone(input));
        }
        sorted = true;
        let input = match input.downcast_ref::<SortExec>() {
            Some(sort) if sort.fetch().is_none() => sort.input(),
            _ => input,
        };
        let is_cut = input.output_partitioning().partition_count() > 1;
        let sort = SortExec::new(LexOrdering::from(required), Arc::clone(input)).with_preserve_partitioning(is_cut);
        Ok(Arc::new(sort) as Arc<dyn ExecutionPlan>)
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    if sorted { replace_children_if_necessary(node, inputs).map(Transformed::yes) } else { Ok(Transformed::no(node)) }
}

/// The part of DataFusion's check that is not about orderings.
fn checked(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let required = node.input_distribution_requirements();
    for (i, input) in node.children().into_iter().enumerate() {
        let options = ChildSatisfactionOptions::new().with_allow_subset(true);
        if !required.child_satisfaction(i, input.as_ref(), options)?.is_satisfied() {
            return plan_err!(
                "{} does not accept the partitioning of its input {i}: {}",
                node.name(),
                input.output_partitioning()
            );
        }
    }
    node.check_invariants(InvariantLevel::Executable)?;
    Ok(Transformed::no(node))
}
