//! Our estimates for the inputs of joins, in plans that are cut into stages.
//!
//! Ballista decides which input of a join is hashed, and whether it is sent to every task instead of exchanging both,
//! by the statistics of the inputs. Those that DataFusion derives for joins and groups are often absent, or smaller by
//! orders of magnitude: then a large input is exchanged though the other is small. So such inputs get our estimates.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, replace_children_if_necessary};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};

use super::property_barriers::join_type;
use crate::planner::cardinality::{Estimate, estimate, statistics};

/// Rows of a table that should not be read by every task.
const LARGE_TABLE_ROWS: f64 = 500_000.0;

/// Puts an [`EstimatedExec`] above the inputs of joins whose statistics DataFusion does not know well.
#[derive(Debug)]
pub(super) struct JoinInputs;

impl PhysicalOptimizerRule for JoinInputs {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(with_estimates).data()
    }

    fn name(&self) -> &'static str {
        "join_inputs"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_estimates(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if !node.is::<HashJoinExec>() && !node.is::<SortMergeJoinExec>() {
        return Ok(Transformed::no(node));
    }
    let inputs: Vec<_> =
        node.children().into_iter().map(|input| estimated(input).unwrap_or(Arc::clone(input))).collect();
    Ok(Transformed::yes(replace_children_if_necessary(node, inputs)?))
}

/// The input with our estimate, if it has a join or groups, or filters a large table. A small table is better read by
/// every task, which Ballista only does if it sees that the input is a scan.
fn estimated(input: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let is_derived = input.exists(|node| Ok(join_type(node).is_some() || node.is::<AggregateExec>())).ok()?;
    let is_filtered = input.exists(|node| Ok(node.is::<FilterExec>())).ok()?;
    let is_large = |estimate: &Estimate| estimate.columns.iter().any(|column| column.source_rows >= LARGE_TABLE_ROWS);
    let estimate = estimate(input.as_ref()).filter(|found| is_derived || is_filtered && is_large(found))?;
    let statistics = Arc::new(statistics(&estimate, &input.schema()));
    Some(Arc::new(EstimatedExec { input: Arc::clone(input), statistics }))
}

/// The plan of a stage without the estimates, which executors need not know.
pub(crate) fn without_estimates(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        Ok(match node.downcast_ref::<EstimatedExec>() {
            Some(estimated) => Transformed::yes(Arc::clone(&estimated.input)),
            None => Transformed::no(node),
        })
    })
    .data()
}

/// Returns the rows of its input, and has other statistics.
#[derive(Debug)]
struct EstimatedExec {
    input: Arc<dyn ExecutionPlan>,
    statistics: Arc<Statistics>,
}

impl DisplayAs for EstimatedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EstimatedExec: rows={}", self.statistics.num_rows)
    }
}

impl ExecutionPlan for EstimatedExec {
    bergmill_catalog::one_input!(input, |this, input| Ok(Self { input, statistics: Arc::clone(&this.statistics) }));

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, _: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::Skip]
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&self.statistics))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
