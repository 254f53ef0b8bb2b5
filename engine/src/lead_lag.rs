//! `lead` and `lag` with correct `IGNORE NULLS`.
//!
//! DataFusion 55 evaluates them row by row where it can, and then miscounts the rows that `lead(x, n) IGNORE NULLS`
//! skips. Evaluated over a whole partition at once they are correct, so `IGNORE NULLS` always does that.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    Documentation, LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

/// Wraps `lead` and `lag`, and leaves other functions unchanged.
pub(crate) fn with_nulls_ignored(functions: Vec<Arc<WindowUDF>>) -> Vec<Arc<WindowUDF>> {
    functions.into_iter().map(|function| if is_shift(&function) { wrapped(function) } else { function }).collect()
}

fn is_shift(function: &WindowUDF) -> bool {
    matches!(function.name(), "lead" | "lag")
}

fn wrapped(function: Arc<WindowUDF>) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::new_from_impl(Shift(function)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift(Arc<WindowUDF>);

impl WindowUDFImpl for Shift {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn expressions(&self, arguments: ExpressionArgs<'_>) -> Vec<Arc<dyn PhysicalExpr>> {
        self.0.expressions(arguments)
    }

    fn partition_evaluator(&self, arguments: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        let ignores_nulls = arguments.ignore_nulls();
        let evaluator = self.0.partition_evaluator_factory(arguments)?;
        Ok(if ignores_nulls { Box::new(AllRows(evaluator)) } else { evaluator })
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        self.0.simplify()
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        self.0.field(arguments)
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.0.sort_options()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(types)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        match self.0.reverse_expr() {
            ReversedUDWF::Reversed(function) => ReversedUDWF::Reversed(wrapped(function)),
            other => other,
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }

    fn limit_effect(&self, arguments: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.0.inner().limit_effect(arguments)
    }
}

/// Evaluates whole partitions only.
#[derive(Debug)]
struct AllRows(Box<dyn PartitionEvaluator>);

impl PartitionEvaluator for AllRows {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        self.0.evaluate_all(values, rows)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        self.0.evaluate(values, range)
    }

    fn supports_bounded_execution(&self) -> bool {
        false
    }
}
