//! The methods that operators with one input share.

/// The methods of an [`ExecutionPlan`](datafusion::physical_plan::ExecutionPlan) with one input and no expressions that
/// are the same in each: `name`, `children`, `apply_expressions`, `replace_children` and `with_new_children`.
///
/// `input` is the field that has the input; the closure rebuilds the operator over another one, as a DataFusion
/// `Result<Self>`.
///
/// ```ignore
/// impl ExecutionPlan for RowPositionExec {
///     bergmill_catalog::one_input!(scan, |_, scan| Self::try_new(scan));
///
///     fn properties(&self) -> &Arc<PlanProperties> {
///         &self.properties
///     }
///     // ...
/// }
/// ```
#[macro_export]
macro_rules! one_input {
    ($input:ident, |$this:pat_param, $new:ident| $over:expr) => {
        fn name(&self) -> &str {
            Self::static_name()
        }

        fn children(&self) -> Vec<&::std::sync::Arc<dyn ::datafusion::physical_plan::ExecutionPlan>> {
            vec![&self.$input]
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(
                &::std::sync::Arc<dyn ::datafusion::physical_expr::PhysicalExpr>,
            ) -> ::datafusion::error::Result<::datafusion::common::tree_node::TreeNodeRecursion>,
        ) -> ::datafusion::error::Result<::datafusion::common::tree_node::TreeNodeRecursion> {
            Ok(::datafusion::common::tree_node::TreeNodeRecursion::Continue)
        }

        fn replace_children(
            self: ::std::sync::Arc<Self>,
            mut children: Vec<::std::sync::Arc<dyn ::datafusion::physical_plan::ExecutionPlan>>,
            _: ::datafusion::physical_plan::execution_plan::ReplaceChildrenOptions,
        ) -> ::datafusion::error::Result<::std::sync::Arc<dyn ::datafusion::physical_plan::ExecutionPlan>> {
            let over = |$this: &Self, $new| -> ::datafusion::error::Result<Self> { $over };
            match children.pop() {
                Some(input) => Ok(::std::sync::Arc::new(over(&self, input)?)),
                None => {
                    let what = format!("{} needs an input", Self::static_name());
                    Err(::datafusion::error::DataFusionError::Internal(what))
                }
            }
        }

        fn with_new_children(
            self: ::std::sync::Arc<Self>,
            children: Vec<::std::sync::Arc<dyn ::datafusion::physical_plan::ExecutionPlan>>,
        ) -> ::datafusion::error::Result<::std::sync::Arc<dyn ::datafusion::physical_plan::ExecutionPlan>> {
            use ::datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
            self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
        }
    };
}

/// The methods of an [`ExecutionPlan`](datafusion::physical_plan::ExecutionPlan) that returns the rows of its input, in
/// their order and partitions: `properties`, those about order and partitions, and those about statistics.
///
/// `input` is the field that has the input.
///
/// ```ignore
/// impl ExecutionPlan for CompactExec {
///     bergmill_catalog::one_input!(input, |_, input| Ok(Self { input }));
///     bergmill_catalog::same_rows!(input);
///     // ...
/// }
/// ```
#[macro_export]
macro_rules! same_rows {
    ($input:ident) => {
        fn properties(&self) -> &::std::sync::Arc<::datafusion::physical_plan::PlanProperties> {
            self.$input.properties()
        }

        fn maintains_input_order(&self) -> Vec<bool> {
            vec![true]
        }

        fn benefits_from_input_partitioning(&self) -> Vec<bool> {
            vec![false]
        }

        fn child_stats_requests(
            &self,
            partition: Option<usize>,
        ) -> Vec<::datafusion::physical_plan::statistics::ChildStats> {
            vec![::datafusion::physical_plan::statistics::ChildStats::At(partition)]
        }

        fn statistics_from_inputs(
            &self,
            inputs: &[::std::sync::Arc<::datafusion::common::Statistics>],
            _: &::datafusion::physical_plan::statistics::StatisticsArgs,
        ) -> ::datafusion::error::Result<::std::sync::Arc<::datafusion::common::Statistics>> {
            Ok(::std::sync::Arc::clone(&inputs[0]))
        }

        fn cardinality_effect(&self) -> ::datafusion::physical_plan::execution_plan::CardinalityEffect {
            ::datafusion::physical_plan::execution_plan::CardinalityEffect::Equal
        }
    };
}
