//! Filter pushdown in physical plans whose columns share names.
//!
//! DataFusion 55 maps a filter's columns through projections, filters and exchanges by name (`FilterRemapper`). If two
//! columns of an operator have the same name, for example from both sides of a join, `a.x < b.x` becomes `a.x < a.x`.
//! So a fence is put above such operators during filter pushdown, which passes only filters whose columns have unique
//! names.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};

/// DataFusion's rule, with fences.
#[derive(Debug)]
pub struct NamedFilters(FilterPushdown);

impl NamedFilters {
    /// Pushes down the filters of the plan.
    pub fn before() -> Self {
        Self(FilterPushdown::new())
    }

    /// Pushes down the filters that joins and top-k operators create at run time.
    pub fn while_running() -> Self {
        Self(FilterPushdown::new_post_optimization())
    }
}

impl PhysicalOptimizerRule for NamedFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let fenced = plan.transform_up(|node| Ok(with_fence(node)))?;
        let plan = self.0.optimize(fenced.data, config)?;
        if fenced.transformed { plan.transform_up(|node| Ok(without_fence(node))).data() } else { Ok(plan) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn with_fence(node: Arc<dyn ExecutionPlan>) -> Transformed<Arc<dyn ExecutionPlan>> {
    let mut ambiguous = BTreeSet::new();
    for schema in node.children().into_iter().map(|input| input.schema()).chain([node.schema()]) {
        let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
        schema.fields().iter().for_each(|field| *counts.entry(field.name()).or_default() += 1);
        ambiguous.extend(counts.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name.clone()));
    }
    if ambiguous.is_empty() {
        return Transformed::no(node);
    }
    Transformed::yes(Arc::new(Fence { input: node, ambiguous: Arc::new(ambiguous) }))
}

fn without_fence(node: Arc<dyn ExecutionPlan>) -> Transformed<Arc<dyn ExecutionPlan>> {
    match node.downcast_ref::<Fence>() {
        Some(fence) => Transformed::yes(Arc::clone(&fence.input)),
        None => Transformed::no(node),
    }
}

/// Is above an operator during filter pushdown, and never in an executed plan.
#[derive(Debug)]
struct Fence {
    input: Arc<dyn ExecutionPlan>,
    /// Names of more than one column of the operator or of one of its inputs.
    ambiguous: Arc<BTreeSet<String>>,
}

impl DisplayAs for Fence {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Fence")
    }
}

impl ExecutionPlan for Fence {
    bergmill_catalog::one_input!(input, |this, input| Ok(Self { input, ambiguous: Arc::clone(&this.ambiguous) }));

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn fetch(&self) -> Option<usize> {
        self.input.fetch()
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let input = self.input.with_fetch(fetch)?;
        Some(Arc::new(Self { input, ambiguous: Arc::clone(&self.ambiguous) }))
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(DataFusionError::Internal("a fence cannot be executed".to_string()))
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let fields = self.schema();
        let fields = fields.fields().iter().enumerate();
        let allowed: HashSet<usize> =
            fields.filter(|(_, field)| !self.ambiguous.contains(field.name())).map(|(index, _)| index).collect();
        let passed = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, allowed, &self.input)?;
        Ok(FilterDescription::new().with_child(passed))
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

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn context() -> SessionContext {
        let ours = [NamedFilters::before(), NamedFilters::while_running()].map(Arc::new);
        let rules = PhysicalOptimizer::new().rules.into_iter().map(|rule| {
            let own = ours.iter().find(|own| own.name() == rule.name());
            own.map_or(rule, |own| Arc::clone(own) as Arc<dyn PhysicalOptimizerRule + Send + Sync>)
        });
        let state = SessionStateBuilder::new().with_default_features();
        let context = SessionContext::new_with_state(state.with_physical_optimizer_rules(rules.collect()).build());
        for sql in [
            "CREATE TABLE few (id BIGINT, n INT, word VARCHAR) AS VALUES (5, 0, 'a'), (1348, 9, NULL)",
            "CREATE TABLE many (id BIGINT, n INT) AS VALUES (1347, 177), (1348, 8648), (1349, 3723), (1350, 8448), (1351, 1), (1352, 6)",
        ] {
            context.sql(sql).await.unwrap().collect().await.unwrap();
        }
        context
    }

    #[tokio::test]
    async fn a_filter_reads_the_columns_that_it_names() {
        let context = context().await;
        for (condition, rows) in [
            // No pair matches, but one would match few.n >= 0 AND few.n >= few.n.
            ("CASE WHEN many.n BETWEEN 0 AND few.n THEN few.word IS NOT NULL END", 0),
            ("CASE WHEN many.n BETWEEN 9 AND 9000 THEN few.word IS NULL END", 1),
            ("CASE WHEN many.n >= 0 AND many.n <> few.n THEN few.word IS NULL ELSE few.word = 'a' END", 2),
        ] {
            let sql =
                format!("SELECT 1 FROM many RIGHT JOIN few ON many.id IS NOT DISTINCT FROM few.id WHERE {condition}");
            let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
            let answer = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
            let found: usize = answer.iter().map(|batch| batch.num_rows()).sum();
            assert_eq!(found, rows, "{condition}\n{}", pretty_format_batches(&answer).unwrap());
            let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
            assert!(!text.contains("Fence"), "{text}");
        }
    }
}
