//! `DISTINCT` in several aggregates, or next to aggregates that [`super::distinct_groups`] does not support, as two
//! groupings.
//!
//! The sets of values that DataFusion otherwise keeps cannot spill. Grouping by each distinct argument, and once
//! without, can:
//!
//! ```sql
//! SELECT k, count(DISTINCT x), count(DISTINCT y), avg(z) ... GROUP BY k
//!
//! SELECT k, count(x) FILTER (WHERE set = 1), count(y) FILTER (WHERE set = 2), max(a) FILTER (WHERE set = 3)
//! FROM (SELECT k, x, y, <number of the set> AS set, avg(z) AS a ... GROUP BY GROUPING SETS ((k, x), (k, y), (k)))
//! GROUP BY k
//! ```
//!
//! It needs [`super::property_barriers`]: grouping sets are not in the order of their input.
//!
//! A `FILTER` of a distinct aggregate becomes part of its argument: the functions here ignore NULL.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, ExprSchemable, GroupingSet, LogicalPlan, LogicalPlanBuilder, cast, lit, when,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::or_else;

/// Each distinct argument makes the grouping read its rows once more, with one more column to compare.
const MAX_ARGUMENTS: usize = 8;

/// Groups by each distinct argument first.
#[derive(Debug)]
pub(crate) struct DistinctAsSets;

impl OptimizerRule for DistinctAsSets {
    fn name(&self) -> &str {
        "distinct_as_sets"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let Some((parts, arguments)) = parts(aggregate)? else { return Ok(Transformed::no(plan)) };
        grouped(aggregate, parts, arguments, || config.alias_generator().next("__distinct")).map(Transformed::yes)
    }
}

/// One of the aggregates.
enum Part {
    /// The function over the distinct values of the argument with this number.
    Distinct(Arc<AggregateUDF>, usize),
    /// An aggregate without distinct values.
    Other(Expr),
}

/// The aggregates in order, and the distinct arguments; `None` if there are none, or if an aggregate depends on the
/// order of rows.
fn parts(aggregate: &Aggregate) -> Result<Option<(Vec<Part>, Vec<Expr>)>> {
    if matches!(aggregate.group_expr.first(), Some(Expr::GroupingSet(_))) {
        return Ok(None);
    }
    let mut arguments = Vec::new();
    let mut parts = Vec::with_capacity(aggregate.aggr_expr.len());
    for expr in &aggregate.aggr_expr {
        // Other rules preserve the names of changed expressions by aliases.
        let expr = match expr {
            Expr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return Ok(None) };
        let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = params;
        if !order_by.is_empty() || null_treatment.is_some() {
            return Ok(None);
        }
        parts.push(match (func.name(), args.as_slice(), distinct) {
            ("count" | "sum" | "avg" | "min" | "max", [argument], true) => {
                let argument = match filter {
                    Some(filter) => when(filter.as_ref().clone(), argument.clone()).end()?,
                    None => argument.clone(),
                };
                let known = arguments.iter().position(|known| *known == argument);
                let number = known.unwrap_or(arguments.len());
                if known.is_none() {
                    arguments.push(argument);
                }
                Part::Distinct(Arc::clone(func), number)
            }
            (
                "count" | "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or" | "stddev" | "stddev_pop" | "var"
                | "var_pop" | "corr" | "covar" | "covar_pop",
                _,
                false,
            ) => Part::Other(expr.clone()),
            _ => return Ok(None),
        });
    }
    Ok((1..=MAX_ARGUMENTS).contains(&arguments.len()).then_some((parts, arguments)))
}

/// The plan of two groupings, with the schema of the original aggregate; `name` returns unique names.
fn grouped(
    aggregate: &Aggregate,
    parts: Vec<Part>,
    arguments: Vec<Expr>,
    mut name: impl FnMut() -> String,
) -> Result<LogicalPlan> {
    let by_name = |name: &str| Expr::Column(Column::new_unqualified(name));
    // Every group key is a column with a unique name.
    let mut input: Vec<Expr> = aggregate.input.schema().iter().map(|field| Expr::Column(field.into())).collect();
    let mut named = |exprs: &[Expr]| -> Vec<Expr> {
        let columns = exprs.iter().map(|expr| {
            let name = name();
            input.push(expr.clone().alias(&name));
            by_name(&name)
        });
        columns.collect()
    };
    let (keys, values) = (named(&aggregate.group_expr), named(&arguments));
    let input = LogicalPlanBuilder::from(Arc::clone(&aggregate.input)).project(input)?.build()?;

    let mut others = Vec::new();
    let results: Vec<(Arc<AggregateUDF>, Expr, u64)> = {
        // The rightmost column has the lowest bit, which is set if the grouping is not by it.
        let without = (1_u64 << values.len()) - 1;
        let mut result = |part| match part {
            Part::Distinct(function, number) => {
                (function, values[number].clone(), without ^ (1 << (values.len() - 1 - number)))
            }
            Part::Other(expr) => {
                let name = name();
                others.push(expr.alias(&name));
                (max_udaf(), by_name(&name), without)
            }
        };
        parts.into_iter().map(&mut result).collect()
    };
    let mut sets: Vec<Vec<Expr>> = values.iter().map(|value| keys.iter().chain([value]).cloned().collect()).collect();
    if !others.is_empty() {
        sets.push(keys.clone());
    }
    let sets = Expr::GroupingSet(GroupingSet::GroupingSets(sets));
    let first = Arc::new(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), vec![sets], others)?));

    let set = by_name(Aggregate::INTERNAL_GROUPING_ID);
    let of_set = set.get_type(first.schema())?;
    let results = results.into_iter().map(|(function, value, number)| {
        let number = lit(ScalarValue::UInt64(Some(number)).cast_to(&of_set)?);
        let filter = Some(Box::new(set.clone().eq(number)));
        Ok(Expr::AggregateFunction(AggregateFunction::new_udf(function, vec![value], false, filter, vec![], None)))
    });
    let second = Aggregate::try_new(first, keys, results.collect::<Result<Vec<_>>>()?)?;

    let columns = second.schema.columns().into_iter().map(Expr::Column);
    let projected = columns.zip(aggregate.schema.iter()).map(|(column, (qualifier, field))| {
        let is_nullable = column.nullable(&second.schema)?;
        let typed = if column.get_type(&second.schema)? == *field.data_type() {
            column
        } else {
            cast(column, field.data_type().clone())
        };
        // No set has NULL in place of a key, though the plan cannot know. Without rows there is no set without a
        // distinct argument, and counts are 0.
        let result = if is_nullable && !field.is_nullable() {
            or_else(typed, ScalarValue::new_default(field.data_type())?)?
        } else {
            typed
        };
        Ok(result.alias_qualified(qualifier.cloned(), field.name()))
    });
    let projected = projected.collect::<Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(LogicalPlan::Aggregate(second)).project(projected)?.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::rules::same_result::{assert_same_results, assert_unchanged};

    #[tokio::test]
    async fn two_groupings_return_the_result_of_one() {
        let queries = [
            "SELECT k, count(DISTINCT x), count(DISTINCT f), count(*) FROM t GROUP BY k",
            "SELECT k, count(DISTINCT x), count(DISTINCT f), count(DISTINCT d) FROM t GROUP BY k",
            "SELECT count(DISTINCT x), count(DISTINCT f), count(DISTINCT d), count(*), avg(d), max(x) FROM t",
            "SELECT count(DISTINCT x), count(DISTINCT f), count(*), count(x), avg(d), sum(f) FROM t WHERE k > 100",
            "SELECT k, count(DISTINCT x), count(DISTINCT f), count(*) FROM t WHERE k > 100 GROUP BY k",
            "SELECT k, count(DISTINCT x) FILTER (WHERE f > 1), count(DISTINCT x), count(*) FILTER (WHERE d > 3) FROM t GROUP BY k",
            "SELECT k, count(DISTINCT x), avg(d) FROM t GROUP BY k",
            "SELECT k, sum(DISTINCT d), avg(DISTINCT d), count(DISTINCT x), min(DISTINCT x), stddev(i) \
             FROM (SELECT *, k * 3.5 AS i FROM t) AS s GROUP BY k",
            "SELECT k % 2 AS odd, upper(x) AS u, count(DISTINCT d), count(DISTINCT k), sum(d) FROM t GROUP BY k % 2, upper(x)",
            "SELECT k, count(DISTINCT k), count(DISTINCT x), count(DISTINCT k + 1) FROM t GROUP BY k",
            "SELECT a.k, count(DISTINCT b.x), count(DISTINCT a.x), count(*) FROM t a JOIN t b ON a.k = b.k AND a.f = b.f GROUP BY a.k",
            "SELECT count(f), count(DISTINCT x), count(DISTINCT f) FROM t UNION SELECT 1, 2, 3",
            "SELECT n, s, count(DISTINCT x), avg(d) FROM (SELECT x, d, coalesce(k, 0) AS n, 'a' AS s FROM t) AS s GROUP BY n, s \
             UNION SELECT 1, 'b', 2, 3",
            "SELECT n, count(DISTINCT k), count(DISTINCT m) FROM \
             (SELECT x, count(DISTINCT k) AS n, count(DISTINCT f) AS m, max(k) AS k FROM t GROUP BY x) AS s GROUP BY n",
        ];
        assert_same_results(Arc::new(DistinctAsSets), &queries).await;
    }

    #[tokio::test]
    async fn aggregates_that_depend_on_order_are_unchanged() {
        let queries = [
            "SELECT k, count(DISTINCT x), count(DISTINCT f), array_agg(f ORDER BY d), count(*) FROM t GROUP BY k",
            "SELECT k, f, count(DISTINCT x), count(DISTINCT d) FROM t GROUP BY ROLLUP (k, f)",
            "SELECT k, count(x), count(*) FROM t GROUP BY k",
        ];
        assert_unchanged(Arc::new(DistinctAsSets), &queries).await;
    }
}
