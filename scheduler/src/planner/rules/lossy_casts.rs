//! Filters that compare a rounded column.
//!
//! DataFusion estimates the share of rows that a filter returns from the bounds of its columns. Where a column is
//! rounded, as `CAST(time AS DATE)` is, it takes the bounds of the rounded value for those of the column, which may be
//! wider: the share is then more than 1, and the query fails. Such a predicate is written as `predicate IS TRUE`, which
//! returns the same rows and is not estimated.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, Filter, LogicalPlan, TryCast};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Hides such predicates. Must run after the rules that simplify them.
#[derive(Debug)]
pub(super) struct LossyCasts;

impl OptimizerRule for LossyCasts {
    fn name(&self) -> &'static str {
        "lossy_casts"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else { return Ok(Transformed::no(plan)) };
        let mut hidden = false;
        let hide = |part: Expr| {
            let hides = !matches!(part, Expr::IsTrue(_)) && rounds(&part, input.schema())?;
            hidden |= hides;
            Ok(if hides { part.is_true() } else { part })
        };
        let parts = split_conjunction_owned(predicate).into_iter().map(hide).collect::<Result<Vec<_>>>()?;
        let Some(predicate) = conjunction(parts) else { return Ok(Transformed::no(LogicalPlan::clone(&input))) };
        let filter = LogicalPlan::Filter(Filter::try_new(predicate, input)?);
        Ok(if hidden { Transformed::yes(filter) } else { Transformed::no(filter) })
    }
}

/// Whether an expression rounds a value that is not a constant.
fn rounds(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    expr.exists(|part| match part {
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            Ok(!expr.column_refs().is_empty() && is_lossy(&expr.get_type(schema)?, field.data_type()))
        }
        _ => Ok(false),
    })
}

/// Whether different values of a type may become the same value of another.
fn is_lossy(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Timestamp(..), DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_)) => {
            true
        }
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) => digits(*to) < digits(*from),
        (DataType::Float64, DataType::Float16 | DataType::Float32) | (DataType::Float32, DataType::Float16) => true,
        (from, to) if from.is_floating() => to.is_integer() || to.is_decimal(),
        (from, to) if from.is_decimal() => scale(to).is_some_and(|to| to < scale(from).unwrap_or_default()),
        _ => false,
    }
}

/// Digits of a second.
fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Digits behind the decimal point, if their number is fixed.
fn scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        integer if integer.is_integer() => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use crate::planner::rules::optimizer_rules;

    /// The optimized plan of a query over `t`.
    async fn planned(predicate: &str) -> String {
        let context = SessionContext::new();
        let rows = "CREATE TABLE t (d DATE, at TIMESTAMPTZ, f DOUBLE, n DECIMAL(9, 2), i INT)";
        context.sql(rows).await.unwrap().collect().await.unwrap();
        let state = datafusion::execution::SessionStateBuilder::from(context.state())
            .with_optimizer_rules(optimizer_rules())
            .build();
        let plan = state.create_logical_plan(&format!("SELECT i FROM t WHERE {predicate}")).await.unwrap();
        state.optimize(&plan).unwrap().to_string()
    }

    #[tokio::test]
    async fn only_predicates_that_round_a_column_are_hidden() {
        for (predicate, hidden) in [
            ("d > CAST(at AS DATE) AND i > 3", 1),
            ("i < CAST(f AS INT) OR i = 3", 1),
            ("i + CAST(n AS INT) > 5 AND CAST(n AS DECIMAL(9, 1)) < f", 2),
            ("d > DATE '2026-01-01'", 0),
            ("n > i AND f > i", 0),
            ("CAST(i AS BIGINT) > n AND CAST(d AS TIMESTAMP) < at", 0),
        ] {
            let plan = planned(predicate).await;
            assert_eq!(plan.matches("IS TRUE").count(), hidden, "{predicate}\n{plan}");
        }
    }
}
