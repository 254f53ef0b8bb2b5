//! `DISTINCT` in one aggregate among others, as two groupings.
//!
//! For `SELECT k, count(DISTINCT x), count(*) ... GROUP BY k` DataFusion keeps a set of values for each group. Sets are
//! slow for many groups; they can spill only as one list of all values, which takes several times the memory that is
//! reported to the pool; and with few groups, few tasks share the work. Grouping by `k, x` first, and then by `k`,
//! needs no sets:
//!
//! ```sql
//! SELECT k, count(x), sum(n) FROM (SELECT k, x, count(*) AS n ... GROUP BY k, x) GROUP BY k
//! ```
//!
//! This replaces DataFusion's own rule (`SingleDistinctToGroupBy`), which applies only if the other aggregates are
//! `sum`, `min` and `max`, and makes sums of decimals wider than announced. This rule also supports `count`, `avg` and
//! `FILTER`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::or_else;

/// Groups by the distinct argument first.
#[derive(Debug)]
pub(crate) struct DistinctAsGroups;

impl OptimizerRule for DistinctAsGroups {
    fn name(&self) -> &str {
        "distinct_as_groups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let Some(parts) = parts(aggregate)? else { return Ok(Transformed::no(plan)) };
        two_groupings(aggregate, parts, || config.alias_generator().next("__distinct")).map(Transformed::yes)
    }
}

/// One of the aggregates, as computed by two groupings.
enum Part {
    /// The function over the distinct values of the first grouping.
    Distinct(Arc<AggregateUDF>, Expr),
    /// `sum`, `min`, `max`: the function over its own results for parts of the group.
    OfItself(Arc<AggregateUDF>, Expr),
    /// `count`: the sum of the counts of parts of the group.
    Count(Expr),
    /// `avg`: the sum and the count, each as above.
    Average { sum: Expr, count: Expr },
}

/// The parts of the aggregates, in order; `None` if the rule does not apply.
fn parts(aggregate: &Aggregate) -> Result<Option<Vec<Part>>> {
    if matches!(aggregate.group_expr.first(), Some(Expr::GroupingSet(_))) {
        return Ok(None);
    }
    let mut parts = Vec::with_capacity(aggregate.aggr_expr.len());
    for expr in &aggregate.aggr_expr {
        match part(expr, aggregate.input.schema())? {
            Some(part) => parts.push(part),
            None => return Ok(None),
        }
    }
    let mut distinct = parts.iter().filter_map(|part| match part {
        Part::Distinct(_, argument) => Some(argument),
        _ => None,
    });
    let Some(argument) = distinct.next() else { return Ok(None) };
    let same = distinct.all(|other| other == argument);
    Ok(same.then_some(parts))
}

fn part(expr: &Expr, input: &DFSchema) -> Result<Option<Part>> {
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
    let with = |func| {
        let filter = filter.clone();
        Expr::AggregateFunction(AggregateFunction::new_udf(func, args.clone(), false, filter, vec![], None))
    };
    Ok(match (func.name(), args.as_slice(), distinct) {
        (_, [argument], true) if filter.is_none() => Some(Part::Distinct(Arc::clone(func), argument.clone())),
        (_, _, true) => None,
        ("sum" | "min" | "max", _, false) => Some(Part::OfItself(Arc::clone(func), expr.clone())),
        ("count", _, false) => Some(Part::Count(expr.clone())),
        // Averages of decimals have their own rounding.
        ("avg", [argument], false) if argument.get_type(input)? == DataType::Float64 => {
            Some(Part::Average { sum: with(sum_udaf()), count: with(count_udaf()) })
        }
        _ => None,
    })
}

/// The plan of two groupings, with the schema of the original aggregate; `name` returns unique names.
fn two_groupings(aggregate: &Aggregate, parts: Vec<Part>, mut name: impl FnMut() -> String) -> Result<LogicalPlan> {
    let by_name = |name: String| Expr::Column(Column::new_unqualified(name));
    // Columns keep their names; computed keys get one, by which the second grouping refers to them.
    let (mut inner_keys, outer_keys): (Vec<Expr>, Vec<Expr>) = aggregate
        .group_expr
        .iter()
        .map(|key| match key {
            Expr::Column(_) => (key.clone(), key.clone()),
            _ => {
                let name = name();
                (key.clone().alias(&name), by_name(name))
            }
        })
        .unzip();
    let distinct = name();
    let mut has_distinct = false;
    let (mut inner, mut outer, mut used) = (Vec::new(), Vec::new(), Vec::new());
    let mut combined = |first: Expr, second: Arc<AggregateUDF>, outer: &mut Vec<Expr>| {
        let name = name();
        inner.push(first.alias(&name));
        outer.push(plain(second, by_name(name)));
    };
    for part in parts {
        let from = outer.len();
        let result: fn(&[Expr]) -> Result<Expr> = match part {
            Part::Distinct(function, argument) => {
                if !has_distinct {
                    inner_keys.push(argument.alias(&distinct));
                    has_distinct = true;
                }
                outer.push(plain(function, by_name(distinct.clone())));
                |outer| Ok(outer[0].clone())
            }
            Part::OfItself(function, expr) => {
                combined(expr, function, &mut outer);
                |outer| Ok(outer[0].clone())
            }
            Part::Count(expr) => {
                combined(expr, sum_udaf(), &mut outer);
                // Without rows there are no counts to sum.
                |outer| or_else(outer[0].clone(), ScalarValue::Int64(Some(0)))
            }
            Part::Average { sum, count } => {
                combined(sum, sum_udaf(), &mut outer);
                combined(count, sum_udaf(), &mut outer);
                // The sum of no rows is NULL, and so is the quotient.
                |outer| Ok(outer[0].clone() / cast(outer[1].clone(), DataType::Float64))
            }
        };
        used.push((from..outer.len(), result));
    }
    let first = Aggregate::try_new(Arc::clone(&aggregate.input), inner_keys, inner)?;
    let second = Aggregate::try_new(Arc::new(LogicalPlan::Aggregate(first)), outer_keys, outer)?;

    let columns: Vec<Expr> = second.schema.columns().into_iter().map(Expr::Column).collect();
    let (keys, made) = columns.split_at(aggregate.group_expr.len());
    let results = used.into_iter().map(|(range, result)| result(&made[range]));
    let results = keys.iter().cloned().map(Ok).chain(results).collect::<Result<Vec<_>>>()?;
    let projected = results.into_iter().zip(aggregate.schema.iter()).map(|(result, (qualifier, field))| {
        // The sum of sums of decimals is wider than the sum.
        let typed = match result.get_type(&second.schema)? == *field.data_type() {
            true => result,
            false => cast(result, field.data_type().clone()),
        };
        Ok(typed.alias_qualified(qualifier.cloned(), field.name()))
    });
    let projected = projected.collect::<Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(LogicalPlan::Aggregate(second)).project(projected)?.build()
}

fn plain(function: Arc<AggregateUDF>, argument: Expr) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(function, vec![argument], false, None, vec![], None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::rules::same_result::{assert_same_results, assert_unchanged};

    #[tokio::test]
    async fn two_groupings_return_the_result_of_one() {
        let queries = [
            "SELECT k, count(DISTINCT x), count(*), count(f), sum(d), sum(f), min(x), max(d), avg(f) FROM t GROUP BY k",
            "SELECT count(DISTINCT x), count(*), avg(f), sum(d) FROM t",
            "SELECT count(DISTINCT x), count(*), count(x), avg(f), sum(d), min(f) FROM t WHERE k > 100",
            "SELECT k, count(DISTINCT x), count(*) FROM t WHERE k > 100 GROUP BY k",
            "SELECT k % 2 AS odd, upper(x) AS u, count(DISTINCT d), sum(DISTINCT d), count(*) FROM t GROUP BY k % 2, upper(x)",
            "SELECT k, count(DISTINCT x || 'y'), min(DISTINCT x || 'y'), count(*) FROM t GROUP BY k HAVING count(*) > 259",
            "SELECT k, count(DISTINCT x), count(*) FILTER (WHERE f > 3), sum(f) FILTER (WHERE d > 1000), avg(f) FILTER (WHERE x > 'x5') \
             FROM t GROUP BY k",
            "SELECT k, count(DISTINCT k), count(*) FROM t GROUP BY k",
            "SELECT distinct_1, count(DISTINCT x), count(*) AS distinct_2 FROM (SELECT k AS distinct_1, x FROM t) AS d GROUP BY distinct_1",
            "SELECT a.k, count(DISTINCT b.x), count(*) FROM t a JOIN t b ON a.k = b.k AND a.f = b.f GROUP BY a.k",
            "SELECT k, rank() OVER (ORDER BY count(DISTINCT x) DESC, k), count(*) FROM t GROUP BY k",
            "SELECT n, count(DISTINCT k), count(*) FROM (SELECT x, count(DISTINCT k) AS n, count(*), max(k) AS k FROM t GROUP BY x) GROUP BY n",
        ];
        assert_same_results(Arc::new(DistinctAsGroups), &queries).await;
    }

    #[tokio::test]
    async fn other_aggregates_are_unchanged() {
        let queries = [
            "SELECT k, count(DISTINCT x), count(DISTINCT f), count(*) FROM t GROUP BY k",
            "SELECT k, count(DISTINCT x), count(DISTINCT f) FROM t GROUP BY k",
            "SELECT k, count(DISTINCT x) FILTER (WHERE f > 1), count(*) FROM t GROUP BY k",
            "SELECT k, count(DISTINCT x), avg(d) FROM t GROUP BY k",
            "SELECT k, count(DISTINCT x), array_agg(f ORDER BY d), count(*) FROM t GROUP BY k",
            "SELECT k, f, count(DISTINCT x), count(*) FROM t GROUP BY ROLLUP (k, f)",
            "SELECT k, count(x), count(*) FROM t GROUP BY k",
        ];
        assert_unchanged(Arc::new(DistinctAsGroups), &queries).await;
    }
}
