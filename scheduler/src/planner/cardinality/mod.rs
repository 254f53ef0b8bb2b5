//! Estimates of how many rows an operator returns, and how many distinct values its columns have.
//!
//! Rows, bounds and null counts of tables are known from their manifests. An integer column has at most as many
//! distinct values as its bounds allow; the distinct values of other columns are unknown, and a join assumes as few as
//! possible. The formulas are those of System R (Selinger et al., "Access Path Selection in a Relational Database
//! Management System", SIGMOD 1979): values are evenly distributed, columns independent, and the values of the side
//! with fewer are among those of the other.

mod equijoin;
mod provider;
mod selectivity;

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, JoinType, ScalarValue};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, StatisticsArgs, StatisticsContext};

pub(crate) use equijoin::{Equijoin, joined, joined_rows, rows_of_type};
pub(crate) use provider::{registry, statistics};
pub(crate) use selectivity::filtered;

/// The rows of an operator, and what is known of their columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) rows: f64,
    pub(crate) columns: Vec<ColumnEstimate>,
}

/// What is known of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ColumnEstimate {
    /// Number of distinct values, if known.
    pub(crate) distinct: Option<f64>,
    /// The same in the table that it is from, before rows were filtered.
    pub(crate) domain: Option<f64>,
    /// Rows of the table that it is from.
    pub(crate) source_rows: f64,
    /// Share of NULL.
    pub(crate) nulls: f64,
    /// Least and greatest value of a number or a time.
    pub(crate) range: Option<(f64, f64)>,
}

impl ColumnEstimate {
    pub(crate) fn unknown(rows: f64) -> Self {
        Self { distinct: None, domain: None, source_rows: rows, nulls: 0.0, range: None }
    }

    /// The column behind an outer join that returns `rows`, of which `matched` have a row of this side.
    pub(crate) fn outer(self, rows: f64, matched: f64) -> Self {
        let missing = (1.0 - matched / rows.max(1.0)).max(selectivity::EQUAL);
        Self { nulls: self.nulls + (1.0 - self.nulls) * missing, ..self }
    }

    /// The number of distinct values among `rows`; all of them if unknown.
    fn distinct_in(&self, rows: f64) -> f64 {
        self.distinct.unwrap_or(self.source_rows).min(rows).max(1.0)
    }

    fn domain(&self) -> f64 {
        self.domain.unwrap_or(self.source_rows).max(1.0)
    }

    /// The column when only `after` of `before` rows are left, whichever they are (Yao, CACM 20 (4), 1977).
    pub(crate) fn sampled(self, before: f64, after: f64) -> Self {
        let sampled = |distinct: f64| match after < before {
            true => distinct * (1.0 - (1.0 - after / before).powf(before / distinct)),
            false => distinct,
        };
        Self { distinct: self.distinct.map(|distinct| sampled(distinct.max(1.0)).min(after).max(1.0)), ..self }
    }
}

impl Estimate {
    fn unknown(rows: f64, columns: usize) -> Self {
        Self { rows, columns: vec![ColumnEstimate::unknown(rows); columns] }
    }

    /// The same columns with fewer rows, whichever they are.
    pub(crate) fn with_rows(self, rows: f64) -> Self {
        let columns = self.columns.iter().map(|column| column.sampled(self.rows, rows)).collect();
        Self { rows, columns }
    }
}

/// Estimates the rows of a plan; `None` if those of a table that it reads are not known.
pub(crate) fn estimate(plan: &dyn ExecutionPlan) -> Option<Estimate> {
    let inputs: Vec<Option<Estimate>> = plan.children().into_iter().map(|input| estimate(input.as_ref())).collect();
    let known: Option<Vec<&Estimate>> = inputs.iter().map(Option::as_ref).collect();
    of_inputs(plan, known.as_deref())
}

/// Estimates the rows of an operator from those of its inputs, if these are known.
fn of_inputs(plan: &dyn ExecutionPlan, inputs: Option<&[&Estimate]>) -> Option<Estimate> {
    let width = plan.schema().fields().len();
    let found = match (inputs, plan.cardinality_effect()) {
        (Some([input]), effect) => of_input(plan, input, effect)?,
        (Some([left, right]), _) if Equijoin::of(plan).is_some() => {
            let join = Equijoin::of(plan)?;
            projected(equijoin::estimate(&join, left, right), join.projection)
        }
        (Some([left, right]), _) if plan.is::<CrossJoinExec>() => pairs(left, right),
        (Some([left, right]), _) if plan.is::<NestedLoopJoinExec>() => {
            nested_loop(plan.downcast_ref::<NestedLoopJoinExec>()?, left, right)
        }
        (Some(inputs), _) if plan.is::<UnionExec>() => union(inputs, width),
        _ => of_statistics(plan)?,
    };
    debug_assert_eq!(found.columns.len(), width, "{}", plan.name());
    let rows = plan.fetch().map_or(found.rows, |fetch| found.rows.min(fetch as f64));
    Some(if rows < found.rows { found.with_rows(rows) } else { found })
}

fn of_input(plan: &dyn ExecutionPlan, input: &Estimate, effect: CardinalityEffect) -> Option<Estimate> {
    let width = plan.schema().fields().len();
    Some(if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        projected(filtered(input.clone(), filter.predicate()), filter.projection().as_deref())
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let columns = projection.expr().iter().map(|column| of_expr(input, &column.expr)).collect();
        Estimate { rows: input.rows, columns }
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        grouped(input, aggregate, width)
    } else if matches!(effect, CardinalityEffect::Equal | CardinalityEffect::LowerEqual) {
        // Sorts, exchanges, limits; a window adds columns behind those of its input.
        let mut columns = input.columns.clone();
        columns.resize(width, ColumnEstimate::unknown(input.rows));
        Estimate { rows: input.rows, columns }
    } else {
        of_statistics(plan)?
    })
}

fn of_statistics(plan: &dyn ExecutionPlan) -> Option<Estimate> {
    let known = StatisticsContext::new().compute(plan, &StatisticsArgs::new()).ok()?;
    let rows = *known.num_rows.get_value()? as f64;
    let mut columns: Vec<_> = known.column_statistics.iter().map(|column| of_column(column, rows)).collect();
    columns.resize(plan.schema().fields().len(), ColumnEstimate::unknown(rows));
    Some(Estimate { rows, columns })
}

fn of_column(column: &ColumnStatistics, rows: f64) -> ColumnEstimate {
    let nulls = column.null_count.get_value().map_or(0.0, |nulls| *nulls as f64 / rows.max(1.0)).clamp(0.0, 1.0);
    let bound = |bound: &Precision<ScalarValue>| bound.get_value().and_then(number);
    let range = bound(&column.min_value).zip(bound(&column.max_value));
    let counted = column.distinct_count.get_value().map(|distinct| *distinct as f64);
    let spanned = || {
        let step = step(column.min_value.get_value()?)?;
        range.map(|(low, high)| (high - low) / step + 1.0)
    };
    let distinct = counted.or_else(spanned).map(|distinct| distinct.min(rows * (1.0 - nulls)).max(1.0));
    ColumnEstimate { distinct, domain: distinct, source_rows: rows, nulls, range }
}

/// A number or a time as a number; times in their own unit.
fn number(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Boolean(Some(v)) => f64::from(u8::from(*v)),
        ScalarValue::Int8(Some(v)) => f64::from(*v),
        ScalarValue::Int16(Some(v)) => f64::from(*v),
        ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => f64::from(*v),
        ScalarValue::Int64(Some(v))
        | ScalarValue::TimestampSecond(Some(v), _)
        | ScalarValue::TimestampMillisecond(Some(v), _)
        | ScalarValue::TimestampMicrosecond(Some(v), _)
        | ScalarValue::TimestampNanosecond(Some(v), _) => *v as f64,
        ScalarValue::UInt8(Some(v)) => f64::from(*v),
        ScalarValue::UInt16(Some(v)) => f64::from(*v),
        ScalarValue::UInt32(Some(v)) => f64::from(*v),
        ScalarValue::UInt64(Some(v)) => *v as f64,
        ScalarValue::Float32(Some(v)) => f64::from(*v),
        ScalarValue::Float64(Some(v)) => *v,
        ScalarValue::Decimal128(Some(v), _, scale) => *v as f64 / 10f64.powi(i32::from(*scale)),
        _ => return None,
    })
}

/// The distance of neighbouring values of a type, in terms of [`number`]; `None` if values are not evenly spaced.
fn step(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Float32(_) | ScalarValue::Float64(_) => None,
        ScalarValue::Decimal128(_, _, scale) => Some(10f64.powi(-i32::from(*scale))),
        value => number(value).map(|_| 1.0),
    }
}

fn of_expr(input: &Estimate, expr: &Arc<dyn PhysicalExpr>) -> ColumnEstimate {
    let column = expr.downcast_ref::<Column>().and_then(|column| input.columns.get(column.index()));
    column.copied().unwrap_or_else(|| ColumnEstimate::unknown(input.rows))
}

fn projected(input: Estimate, projection: Option<&[usize]>) -> Estimate {
    let Some(projection) = projection else { return input };
    let columns = projection.iter().map(|at| input.columns[*at]).collect();
    Estimate { rows: input.rows, columns }
}

/// One row per combination of the grouped values.
fn grouped(input: &Estimate, aggregate: &AggregateExec, width: usize) -> Estimate {
    let groups = aggregate.group_expr();
    let keys: Vec<ColumnEstimate> = groups.expr().iter().map(|(expr, _)| of_expr(input, expr)).collect();
    let combinations: f64 =
        keys.iter().map(|key| key.distinct_in(input.rows) + f64::from(u8::from(key.nulls > 0.0))).product();
    let rows = match keys.is_empty() {
        true => 1.0,
        false => combinations.min(input.rows) * groups.groups().len().max(1) as f64,
    };
    let mut columns: Vec<_> =
        keys.iter().map(|key| ColumnEstimate { source_rows: rows, ..key.sampled(input.rows, rows) }).collect();
    columns.resize(width, ColumnEstimate::unknown(rows));
    Estimate { rows, columns }
}

fn pairs(left: &Estimate, right: &Estimate) -> Estimate {
    Estimate { rows: left.rows * right.rows, columns: [left.columns.as_slice(), &right.columns].concat() }
}

fn nested_loop(join: &NestedLoopJoinExec, left: &Estimate, right: &Estimate) -> Estimate {
    let share = join.filter().map_or(1.0, |_| selectivity::UNKNOWN);
    let (inner, both) = (left.rows * right.rows * share, pairs(left, right));
    let marked = |kept: &Estimate, other: &Estimate| {
        let columns = [kept.columns.as_slice(), &[ColumnEstimate::unknown(other.rows)]].concat();
        Estimate { rows: kept.rows, columns }
    };
    let found = match join.join_type() {
        JoinType::LeftSemi | JoinType::LeftAnti => left.clone().with_rows(left.rows * selectivity::HALF),
        JoinType::RightSemi | JoinType::RightAnti => right.clone().with_rows(right.rows * selectivity::HALF),
        JoinType::LeftMark => marked(left, right),
        JoinType::RightMark => marked(right, left),
        JoinType::Inner => Estimate { rows: inner, ..both },
        JoinType::Left => Estimate { rows: inner.max(left.rows), ..both },
        JoinType::Right => Estimate { rows: inner.max(right.rows), ..both },
        JoinType::Full => Estimate { rows: inner.max(left.rows + right.rows), ..both },
    };
    projected(found, join.projection().as_deref())
}

fn union(inputs: &[&Estimate], width: usize) -> Estimate {
    let rows = inputs.iter().map(|input| input.rows).sum();
    let mut all = Estimate::unknown(rows, width);
    for (at, column) in all.columns.iter_mut().enumerate() {
        let known: Option<Vec<f64>> = inputs.iter().map(|input| input.columns.get(at)?.distinct).collect();
        column.distinct = known.and_then(|known| known.into_iter().reduce(f64::max));
        column.domain = column.distinct;
    }
    all
}

#[cfg(test)]
mod tests;
