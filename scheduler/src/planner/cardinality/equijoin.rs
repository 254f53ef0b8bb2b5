//! Joins with equalities between columns.

use std::sync::Arc;

use datafusion::common::{JoinType, NullEquality};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, JoinOnRef, SortMergeJoinExec};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::{ColumnEstimate, Estimate, selectivity};

/// A hash join or a sort-merge join.
#[derive(Debug)]
pub(crate) struct Equijoin<'a> {
    pub(crate) left: &'a Arc<dyn ExecutionPlan>,
    pub(crate) right: &'a Arc<dyn ExecutionPlan>,
    pub(crate) on: JoinOnRef<'a>,
    pub(crate) filter: Option<&'a JoinFilter>,
    pub(crate) join_type: JoinType,
    pub(crate) null_equality: NullEquality,
    /// Whether it is an anti join with the semantics of `NOT IN`.
    pub(crate) null_aware: bool,
    /// The columns that it returns, of those of both inputs.
    pub(crate) projection: Option<&'a [usize]>,
}

impl<'a> Equijoin<'a> {
    /// The join that `plan` is, if it is one.
    pub(crate) fn of(plan: &'a dyn ExecutionPlan) -> Option<Self> {
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            return Some(Self {
                left: join.left(),
                right: join.right(),
                on: join.on(),
                filter: join.filter(),
                join_type: *join.join_type(),
                null_equality: join.null_equality(),
                null_aware: join.null_aware,
                projection: join.projection.as_deref(),
            });
        }
        let join = plan.downcast_ref::<SortMergeJoinExec>()?;
        Some(Self {
            left: join.left(),
            right: join.right(),
            on: join.on(),
            filter: join.filter().as_ref(),
            join_type: join.join_type(),
            null_equality: join.null_equality(),
            null_aware: false,
            projection: None,
        })
    }

    /// The indices of the columns that are equal, in both inputs; `None` if one is not a column.
    pub(crate) fn columns(&self) -> Option<Vec<(usize, usize)>> {
        let index = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().map(Column::index);
        self.on.iter().map(|(left, right)| index(left).zip(index(right))).collect()
    }
}

/// All columns of a join, before its projection.
pub(super) fn estimate(join: &Equijoin<'_>, left: &Estimate, right: &Estimate) -> Estimate {
    let keys = join.columns().unwrap_or_default();
    let pairs: Vec<_> = keys.iter().map(|(l, r)| (left.columns[*l], right.columns[*r])).collect();
    let share = if join.filter.is_some() { selectivity::UNKNOWN } else { 1.0 };
    let inner = joined_rows(left.rows, right.rows, &pairs) * share;
    let rows = rows_of_type(join.join_type, left.rows, right.rows, inner, &pairs);
    let mut found = (left.columns.clone(), right.columns.clone());
    if join.join_type == JoinType::Inner {
        for (l, r) in keys {
            (found.0[l], found.1[r]) = joined(left.columns[l], right.columns[r]);
        }
    }
    if matches!(join.join_type, JoinType::Left | JoinType::Full) {
        found.1.iter_mut().for_each(|column| *column = column.outer(rows, inner));
    }
    if matches!(join.join_type, JoinType::Right | JoinType::Full) {
        found.0.iter_mut().for_each(|column| *column = column.outer(rows, inner));
    }
    let sampled = |columns: Vec<ColumnEstimate>, before: f64| {
        columns.into_iter().map(move |column| column.sampled(before, rows)).collect::<Vec<_>>()
    };
    let mark = ColumnEstimate::unknown(2.0);
    let columns = match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => sampled(found.0, left.rows),
        JoinType::RightSemi | JoinType::RightAnti => sampled(found.1, right.rows),
        JoinType::LeftMark => [found.0, vec![mark]].concat(),
        JoinType::RightMark => [found.1, vec![mark]].concat(),
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            [sampled(found.0, left.rows), sampled(found.1, right.rows)].concat()
        }
    };
    Estimate { rows, columns }
}

/// The number of pairs of rows whose keys are equal.
pub(crate) fn joined_rows(left: f64, right: f64, keys: &[(ColumnEstimate, ColumnEstimate)]) -> f64 {
    let matching: f64 = keys.iter().map(|(l, r)| (1.0 - l.nulls) * (1.0 - r.nulls)).product();
    let each = keys.iter().map(|pair| with_distinct(*pair)).map(|(l, r)| divisor(&l, &r, left, right));
    let (product, greatest) = each.fold((1.0, 1.0f64), |(all, most), one| (all * one, one.max(most)));
    // Several keys have no more combinations than the tables they are from have rows.
    let combinations = keys.iter().map(|(l, r)| l.source_rows.max(r.source_rows)).fold(1.0, f64::max);
    left * right * matching / product.min(combinations.max(greatest))
}

/// Two keys, of which an unknown number of distinct values is the least possible: that of the other key, or of the rows
/// of the smaller table, whose key is then unique and that of the larger table refers to it.
fn with_distinct((l, r): (ColumnEstimate, ColumnEstimate)) -> (ColumnEstimate, ColumnEstimate) {
    let least = l.domain().min(r.domain());
    let known = |column: ColumnEstimate| ColumnEstimate {
        distinct: column.distinct.or(Some(least)),
        domain: column.domain.or(Some(least)),
        ..column
    };
    (known(l), known(r))
}

/// One in how many pairs is equal. If both inputs are filtered, each has lost values that the other still has.
fn divisor(l: &ColumnEstimate, r: &ColumnEstimate, left: f64, right: f64) -> f64 {
    l.domain().min(r.domain()).max(l.distinct_in(left)).max(r.distinct_in(right))
}

/// The number of rows that a join of this type returns, given the pairs that match.
pub(crate) fn rows_of_type(
    join_type: JoinType,
    left: f64,
    right: f64,
    inner: f64,
    keys: &[(ColumnEstimate, ColumnEstimate)],
) -> f64 {
    let share = |of_left: bool| {
        let one = |pair: &(ColumnEstimate, ColumnEstimate)| {
            let (l, r) = with_distinct(*pair);
            let (found, nulls) = if of_left { (r.distinct_in(right), l.nulls) } else { (l.distinct_in(left), r.nulls) };
            (found / divisor(&l, &r, left, right)).min(1.0) * (1.0 - nulls)
        };
        keys.iter().map(one).fold(if keys.is_empty() { selectivity::HALF } else { 1.0 }, f64::min)
    };
    let unmatched = |share: f64| (1.0 - share).max(selectivity::LEAST);
    match join_type {
        JoinType::Inner => inner,
        JoinType::Left => inner.max(left),
        JoinType::Right => inner.max(right),
        JoinType::Full => inner.max(left).max(right),
        JoinType::LeftSemi => left * share(true),
        JoinType::RightSemi => right * share(false),
        JoinType::LeftAnti => left * unmatched(share(true)),
        JoinType::RightAnti => right * unmatched(share(false)),
        JoinType::LeftMark => left,
        JoinType::RightMark => right,
    }
}

/// Two columns that an inner join has found equal.
pub(crate) fn joined(l: ColumnEstimate, r: ColumnEstimate) -> (ColumnEstimate, ColumnEstimate) {
    let least = |l: Option<f64>, r: Option<f64>| match (l, r) {
        (Some(l), Some(r)) => Some(l.min(r)),
        (known, None) | (None, known) => known,
    };
    let (distinct, domain) = (least(l.distinct, r.distinct), least(l.domain, r.domain));
    let both = |column| ColumnEstimate { distinct, domain, nulls: 0.0, ..column };
    (both(l), both(r))
}
