//! Parts that a plan has several times, and that run once: in plans for a single process.
//!
//! DataFusion 55 inlines `WITH`, so a query that is read three times is computed three times. What is read again here
//! are results of aggregations and of windows, and what is computed from them: other parts return too many rows to keep
//! them, or are not worth it.

use std::collections::HashMap;
use std::sync::Arc;

use bergmill_engine::{FirstRowExec, SharedExec, encoded, is_same_operator};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateOutputMode};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, displayable};

/// Puts a [`SharedExec`] above parts that run more than once. Must run before the rule that lets operators push filters
/// into their inputs at run time: these are different for each reader.
#[derive(Debug)]
pub(super) struct CommonSubplans;

impl PhysicalOptimizerRule for CommonSubplans {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let (mut results, mut repeats) = (0, false);
        plan.apply(|node| {
            results += usize::from(is_result(node));
            // Its part is executed again and again, and returns other rows each time.
            repeats |= node.is::<RecursiveQueryExec>();
            Ok(TreeNodeRecursion::Continue)
        })?;
        if results < 2 || repeats {
            return Ok(plan);
        }
        let mut parts = Parts::default();
        parts.add(&plan)?;
        let readers = parts.readers();
        if readers.is_empty() {
            return Ok(plan);
        }
        let mut of_plan = parts.of_plan.into_iter();
        shared(plan, &mut of_plan, &readers, &mut HashMap::new())
    }

    fn name(&self) -> &'static str {
        "common_subplans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The parts of a plan: an operator with everything below it. Equal parts are one.
#[derive(Default)]
struct Parts {
    /// Inputs come before the operators that read them.
    all: Vec<Part>,
    alike: HashMap<(String, Vec<usize>), Vec<usize>>,
    /// The part of each operator of the plan, inputs first.
    of_plan: Vec<usize>,
}

struct Part {
    /// Where the plan has it.
    found: Vec<Arc<dyn ExecutionPlan>>,
    inputs: Vec<usize>,
    has_result: bool,
    /// Whether each run returns the same rows, and needs nothing but the plan.
    is_steady: bool,
}

impl Parts {
    fn add(&mut self, node: &Arc<dyn ExecutionPlan>) -> Result<()> {
        let mut inputs = Vec::new();
        for input in node.children() {
            self.add(input)?;
            inputs.extend(self.of_plan.last());
        }
        let key = (displayable(node.as_ref()).one_line().to_string(), inputs);
        for at in self.alike.get(&key).map(Vec::as_slice).unwrap_or_default() {
            if is_same_operator(node, &self.all[*at].found[0])? {
                self.all[*at].found.push(Arc::clone(node));
                self.of_plan.push(*at);
                return Ok(());
            }
        }
        let at = self.all.len();
        let of_inputs = || key.1.iter().map(|at| &self.all[*at]);
        self.all.push(Part {
            found: vec![Arc::clone(node)],
            has_result: is_result(node) || of_inputs().any(|input| input.has_result),
            is_steady: is_steady(node)? && of_inputs().all(|input| input.is_steady),
            inputs: key.1.clone(),
        });
        self.alike.entry(key).or_default().push(at);
        self.of_plan.push(at);
        Ok(())
    }

    /// The parts that are to be shared, with the number of their readers. Of a part within a shared part, the readers
    /// are counted once.
    fn readers(&self) -> HashMap<usize, usize> {
        let mut runs = vec![0; self.all.len()];
        let mut readers = HashMap::new();
        // The plan itself is the last part.
        runs.last_mut().into_iter().for_each(|plan| *plan = 1);
        for at in (0..self.all.len()).rev() {
            let (part, mut of_inputs) = (&self.all[at], runs[at]);
            if of_inputs > 1 && part.is_worth_sharing() {
                readers.insert(at, of_inputs);
                of_inputs = 1;
            }
            part.inputs.iter().for_each(|input| runs[*input] += of_inputs);
        }
        readers
    }
}

impl Part {
    fn is_worth_sharing(&self) -> bool {
        let node = &self.found[0];
        let grows = node.is::<CrossJoinExec>() || node.is::<NestedLoopJoinExec>();
        self.has_result
            && self.is_steady
            && !grows
            && !is_partial(node)
            && !node.is::<RepartitionExec>()
            && self.is_one()
    }

    /// Whether the part is the same wherever it was found. Operators do not show everything that they do, for example
    /// from which side a column of a join's filter is; what executors get has all of it.
    fn is_one(&self) -> bool {
        let mut all = self.found.iter().map(encoded);
        let first = all.next();
        matches!(first, Some(Ok(first)) if all.all(|other| other.is_ok_and(|other| other == first)))
    }
}

/// The plan with a node above each part that has several readers. `made` has those that were met.
fn shared(
    node: Arc<dyn ExecutionPlan>,
    of_plan: &mut impl Iterator<Item = usize>,
    readers: &HashMap<usize, usize>,
    made: &mut HashMap<usize, Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut inputs = Vec::new();
    for input in node.children() {
        inputs.push(shared(Arc::clone(input), of_plan, readers, made)?);
    }
    let node = replace_children_if_necessary(node, inputs)?;
    let Some((at, readers)) = of_plan.next().and_then(|at| Some((at, *readers.get(&at)?))) else { return Ok(node) };
    let id = made.len();
    let make = || Arc::new(SharedExec::new(node, id, readers)) as Arc<dyn ExecutionPlan>;
    Ok(Arc::clone(made.entry(at).or_insert_with(make)))
}

/// Whether the rows of an operator were aggregated, or took other rows to compute.
fn is_result(node: &Arc<dyn ExecutionPlan>) -> bool {
    let is_window = node.is::<WindowAggExec>() || node.is::<BoundedWindowAggExec>();
    node.is::<AggregateExec>() && !is_partial(node) || node.is::<FirstRowExec>() || is_window
}

fn is_partial(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<AggregateExec>().is_some_and(|a| a.mode().output_mode() == AggregateOutputMode::Partial)
}

fn is_steady(node: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut is_steady = true;
    node.apply_expressions(&mut |expr| {
        // The value of a subquery is not in the plan.
        is_steady &= !is_volatile(expr) && !expr.exists(|inner| Ok(inner.is::<ScalarSubqueryExpr>()))?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(is_steady)
}
