//! One row per key: `ROW_NUMBER() OVER (PARTITION BY key ORDER BY ...)` of which only row 1 is kept.
//!
//! This is how SQL expresses "drop duplicates" and "the latest of each". DataFusion sorts all rows by key for it. This
//! module has the rule that finds such queries, and the logical node that replaces window and filter; the operator is
//! [`FirstRowExec`].

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use bergmill_engine::FirstRowExec;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, DFSchemaRef, ScalarValue, TableReference};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Extension, Filter, LogicalPlan, Operator, Projection, SortExpr, UserDefinedLogicalNodeCore,
    Window, WindowFunctionDefinition,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_plan::ExecutionPlan;

/// The first row of each key of its input, with its row number, which is 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FirstRow {
    keys: Vec<Column>,
    order: Vec<SortExpr>,
    /// The column of the row number, after the input's.
    number: (Option<TableReference>, FieldRef),
    input: Arc<LogicalPlan>,
    schema: DFSchemaRef,
}

impl FirstRow {
    fn try_new(
        keys: Vec<Column>,
        order: Vec<SortExpr>,
        number: (Option<TableReference>, FieldRef),
        input: Arc<LogicalPlan>,
    ) -> Result<Self> {
        let from = input.schema();
        let fields = from.iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).chain([number.clone()]).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, from.metadata().clone())?);
        Ok(Self { keys, order, number, input, schema })
    }

    /// The operator over `input`, which has the same column positions as the logical input.
    pub(crate) fn plan(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let at = |column: &Column| self.input.schema().index_of_column(column);
        let keys = self.keys.iter().map(at).collect::<Result<Vec<_>>>()?;
        let order = self.order.iter().map(|s| {
            let options = SortOptions { descending: !s.asc, nulls_first: s.nulls_first };
            Ok((at(column(&s.expr).ok_or_else(not_a_column)?)?, options))
        });
        let number = self.number.1.name().clone();
        Ok(Arc::new(FirstRowExec::try_new(input, keys, order.collect::<Result<_>>()?, number)?))
    }
}

fn column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        _ => None,
    }
}

fn not_a_column() -> DataFusionError {
    DataFusionError::Internal("FirstRow needs columns as keys and order".to_string())
}

// Plans are not ordered.
impl PartialOrd for FirstRow {
    fn partial_cmp(&self, _: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for FirstRow {
    fn name(&self) -> &str {
        "FirstRow"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let keys = self.keys.iter().cloned().map(Expr::Column);
        keys.chain(self.order.iter().map(|s| s.expr.clone())).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |parts: Vec<String>| parts.join(", ");
        let keys = list(self.keys.iter().map(ToString::to_string).collect());
        let order = list(self.order.iter().map(ToString::to_string).collect());
        write!(f, "FirstRow: keys=[{keys}], order=[{order}]")
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let columns = exprs.iter().map(|e| column(e).cloned().ok_or_else(not_a_column)).collect::<Result<Vec<_>>>()?;
        let (Some(input), true) = (inputs.pop(), inputs.is_empty() && columns.len() == self.expressions().len()) else {
            return Err(DataFusionError::Internal("FirstRow must keep one input and its number of columns".into()));
        };
        let (keys, order) = columns.split_at(self.keys.len());
        let order = self.order.iter().zip(order).map(|(s, c)| s.with_expr(Expr::Column(c.clone()))).collect();
        Self::try_new(keys.to_vec(), order, self.number.clone(), Arc::new(input))
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let from = self.input.schema();
        let own = self.expressions();
        let own = own.iter().filter_map(column).map(|c| from.index_of_column(c)).collect::<Result<Vec<_>>>().ok()?;
        let passed = output.iter().copied().filter(|at| *at < from.fields().len());
        let mut needed: Vec<usize> = passed.chain(own).collect();
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// Inserts [`FirstRow`] where a plan numbers the rows of each key and keeps number 1.
#[derive(Debug)]
pub(crate) struct KeepFirstRow;

impl OptimizerRule for KeepFirstRow {
    fn name(&self) -> &str {
        "keep_first_row"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        // A projection between the two may remove unused columns.
        let (chosen, numbered) = match filter.input.as_ref() {
            LogicalPlan::Projection(p) if p.expr.iter().all(|e| column(e).is_some()) => {
                (Some(&p.expr), p.input.as_ref())
            }
            other => (None, other),
        };
        let LogicalPlan::Window(window) = numbered else { return Ok(Transformed::no(plan)) };
        let Some((keys, order)) = row_number(window) else { return Ok(Transformed::no(plan)) };
        let Some((qualifier, number)) = window.schema.iter().last() else { return Ok(Transformed::no(plan)) };
        let number = (qualifier.cloned(), Arc::clone(number));

        let (first, rest): (Vec<&Expr>, Vec<&Expr>) =
            split_conjunction(&filter.predicate).into_iter().partition(|e| is_first(e, number.1.name()));
        if first.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let node = FirstRow::try_new(keys, order, number, Arc::clone(&window.input))?;
        let mut kept = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        if let Some(columns) = chosen {
            kept = LogicalPlan::Projection(Projection::try_new(columns.clone(), Arc::new(kept))?);
        }
        Ok(Transformed::yes(match conjunction(rest.into_iter().cloned()) {
            Some(rest) => LogicalPlan::Filter(Filter::try_new(rest, Arc::new(kept))?),
            None => kept,
        }))
    }
}

/// Keys and order of a window that only numbers rows, if both are columns.
fn row_number(window: &Window) -> Option<(Vec<Column>, Vec<SortExpr>)> {
    let [expr] = window.window_expr.as_slice() else { return None };
    let Expr::WindowFunction(function) = expr else { return None };
    let WindowFunction { fun: WindowFunctionDefinition::WindowUDF(udf), params } = function.as_ref() else {
        return None;
    };
    if udf.name() != "row_number" || params.filter.is_some() || params.partition_by.is_empty() {
        return None;
    }
    let keys = params.partition_by.iter().map(|e| column(e).cloned()).collect::<Option<Vec<_>>>()?;
    params.order_by.iter().all(|s| column(&s.expr).is_some()).then(|| (keys, params.order_by.clone()))
}

/// Whether the condition is true only for row number 1.
fn is_first(condition: &Expr, number: &str) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return false };
    let (column, op, limit) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(c), Expr::Literal(v, _)) => (c, *op, v),
        (Expr::Literal(v, _), Expr::Column(c)) => match op.swap() {
            Some(op) => (c, op, v),
            None => return false,
        },
        _ => return false,
    };
    let limit = match limit {
        ScalarValue::UInt64(Some(v)) => *v,
        ScalarValue::Int64(Some(v)) if *v >= 0 => v.unsigned_abs(),
        _ => return false,
    };
    column.name == number && matches!((op, limit), (Operator::Eq | Operator::LtEq, 1) | (Operator::Lt, 2))
}
