//! The share of rows that a predicate keeps.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_plan::PhysicalExpr;

use super::{Estimate, number};

/// Comparisons of which nothing is known (System R).
pub(super) const UNKNOWN: f64 = 1.0 / 3.0;
/// Equality with a value of a column whose distinct values are unknown (System R).
pub(super) const EQUAL: f64 = 0.1;
/// Whether there is a match, if nothing is known.
pub(super) const HALF: f64 = 0.5;
/// No estimate is lower, since a wrong one would hide the rows that there are.
pub(super) const LEAST: f64 = 1e-6;

/// The rows that match a predicate.
pub(crate) fn filtered(input: Estimate, predicate: &Arc<dyn PhysicalExpr>) -> Estimate {
    let before = input.rows;
    let (mut narrowed, mut share) = (input, 1.0);
    for conjunct in split_conjunction(predicate) {
        share *= of(&mut narrowed, conjunct).clamp(LEAST, 1.0);
    }
    narrowed.with_rows((before * share).max(1.0f64.min(before)))
}

/// The share of rows for which `predicate` is true. What it says of columns is noted in `rows`.
fn of(rows: &mut Estimate, predicate: &Arc<dyn PhysicalExpr>) -> f64 {
    if let Some(binary) = predicate.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::And => of(rows, binary.left()) * of(rows, binary.right()),
            Operator::Or => {
                let (left, right) = (of(&mut rows.clone(), binary.left()), of(&mut rows.clone(), binary.right()));
                (left + right).min(1.0)
            }
            _ => comparison(rows, binary),
        };
    }
    if let Some(not) = predicate.downcast_ref::<NotExpr>() {
        return 1.0 - of(&mut rows.clone(), not.arg());
    }
    if let Some(list) = predicate.downcast_ref::<InListExpr>() {
        let one = column(list.expr()).map_or(EQUAL, |at| equality(rows, at));
        let share = (one * list.len() as f64).min(if one < EQUAL { 1.0 } else { HALF });
        if let Some(at) = column(list.expr()).filter(|_| !list.negated()) {
            rows.columns[at].distinct = Some(list.len() as f64);
        }
        return if list.negated() { 1.0 - share } else { share };
    }
    if let Some(null) = predicate.downcast_ref::<IsNullExpr>() {
        return column(null.arg()).map_or(EQUAL, |at| rows.columns[at].nulls);
    }
    if let Some(null) = predicate.downcast_ref::<IsNotNullExpr>() {
        let Some(at) = column(null.arg()) else { return 1.0 };
        return 1.0 - std::mem::take(&mut rows.columns[at].nulls);
    }
    if let Some(like) = predicate.downcast_ref::<LikeExpr>() {
        return if like.negated() { 1.0 - EQUAL } else { EQUAL };
    }
    match predicate.downcast_ref::<Literal>().map(Literal::value) {
        Some(ScalarValue::Boolean(Some(true))) => 1.0,
        Some(_) => LEAST,
        None => UNKNOWN,
    }
}

fn comparison(rows: &mut Estimate, binary: &BinaryExpr) -> f64 {
    let (left, right) = (column(binary.left()), column(binary.right()));
    let (at, literal, op) = match (left, right) {
        (Some(left), Some(right)) if *binary.op() == Operator::Eq => {
            return equality(rows, left).min(equality(rows, right));
        }
        (Some(at), None) => (at, binary.right(), Some(*binary.op())),
        (None, Some(at)) => (at, binary.left(), binary.op().swap()),
        _ => return if *binary.op() == Operator::Eq { EQUAL } else { UNKNOWN },
    };
    let value = literal.downcast_ref::<Literal>().map(Literal::value);
    let known = value.and_then(number);
    match op {
        Some(Operator::Eq) => {
            let outside = known.zip(rows.columns[at].range).is_some_and(|(v, (low, high))| v < low || v > high);
            let share = if outside { LEAST } else { equality(rows, at) };
            if value.is_some() {
                (rows.columns[at].distinct, rows.columns[at].nulls) = (Some(1.0), 0.0);
            }
            share
        }
        Some(Operator::NotEq) => 1.0 - equality(rows, at),
        Some(op @ (Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)) => {
            let column = &mut rows.columns[at];
            let Some((value, (low, high))) = known.zip(column.range) else { return UNKNOWN };
            let kept = match op {
                Operator::Lt | Operator::LtEq => (low, high.min(value)),
                _ => (low.max(value), high),
            };
            if kept.0 > kept.1 {
                return LEAST;
            }
            // One more for the bound itself, which matters in short ranges.
            let unit = column.distinct.map_or(0.0, |distinct| (high - low) / (distinct - 1.0).max(1.0));
            let share = ((kept.1 - kept.0 + unit) / (high - low + unit)).clamp(0.0, 1.0);
            let share = if share.is_finite() { share } else { 1.0 };
            let share = share * (1.0 - column.nulls);
            column.range = Some(kept);
            column.nulls = 0.0;
            column.distinct = column.distinct.map(|distinct| (distinct * share).max(1.0));
            share
        }
        _ => UNKNOWN,
    }
}

fn equality(rows: &Estimate, at: usize) -> f64 {
    let column = &rows.columns[at];
    column.distinct.map_or(EQUAL, |distinct| 1.0 / distinct.max(1.0)) * (1.0 - column.nulls)
}

/// The index of the column that an expression is, apart from casts to numbers.
fn column(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    if let Some(cast) = expr.downcast_ref::<CastExpr>().filter(|cast| cast.cast_type().is_numeric()) {
        return column(cast.expr());
    }
    expr.downcast_ref::<Column>().map(Column::index)
}
