//! Compares a result with that of another engine, which may have different names and types for the same values.
//!
//! Integers and decimals are compared exactly, by their digits. Where one side has a float, the other may differ in its
//! last decimal places, because each engine rounds its quotients and averages differently.

use std::cmp::Ordering;

use anyhow::{Result, ensure};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::{Answer, Order};

/// Rounding in the middle of a query is amplified at its end.
const RELATIVE_TOLERANCE: f64 = 1e-6;
/// Two numbers may differ by this many units in the last place: a sum of quotients adds up their rounding errors.
const PLACES: f64 = 100.0;

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    /// Digits without trailing zeros, or any other text.
    Text(String),
    /// A number that was a float on one side, and its last decimal place.
    Rounded(f64, f64),
}

type Row = Vec<Value>;

/// Returns how `got` differs from what is expected. `expected` has all rows in order. A query with a `limit` may return
/// that many of them: the first ones, and of rows that are equal in the columns of `order`, any.
///
/// # Errors
/// When a value has no text.
pub fn difference_by_value(
    expected: &Answer,
    got: &Answer,
    order: &Order,
    limit: Option<usize>,
) -> Result<Option<String>> {
    let (right, columns) = (expected.schema.fields().len(), got.schema.fields().len());
    if right != columns {
        return Ok(Some(format!("expected {right} columns, got {columns}")));
    }
    let (expected, got) = (one(expected)?, one(got)?);
    let (mut right, mut rows) = (vec![Row::new(); expected.num_rows()], vec![Row::new(); got.num_rows()]);
    for (x, y) in expected.columns().iter().zip(got.columns()) {
        let (x, y) = match values(x, y) {
            Ok(values) => values,
            Err(error) => return Ok(Some(error.to_string())),
        };
        right.iter_mut().zip(x).for_each(|(row, value)| row.push(value));
        rows.iter_mut().zip(y).for_each(|(row, value)| row.push(value));
    }
    let count = limit.map_or(right.len(), |limit| limit.min(right.len()));
    if rows.len() != count {
        return Ok(Some(format!("expected {count} rows, got {}", rows.len())));
    }
    if let Order::By(columns) = order {
        for (n, (right, row)) in right.iter().zip(&rows).enumerate() {
            if let Some(c) = columns.iter().find(|c| !same(&right[**c], &row[**c])) {
                let (right, value) = (&right[*c], &row[*c]);
                return Ok(Some(format!("order: in row {} column {c} is {value:?}, expected {right:?}", n + 1)));
            }
        }
    }
    Ok(without_counterpart(right, rows).map(|row| format!("there is no row {row:?}")))
}

fn one(answer: &Answer) -> Result<RecordBatch> {
    let rows = concat_batches(&answer.schema, &answer.batches)?;
    Ok(rows)
}

/// The first row without a counterpart among the expected rows, each of which matches at most once.
fn without_counterpart(mut expected: Vec<Row>, mut rows: Vec<Row>) -> Option<Row> {
    expected.sort_by(compare);
    rows.sort_by(compare);
    let mut taken = vec![false; expected.len()];
    // All expected rows before this one are taken, or come before the row that is looked for.
    let mut free = 0;
    for row in rows {
        // Rows that differ only in their floats are adjacent.
        free = free.max(expected.partition_point(|e| compare_exact(e, &row).is_lt()));
        while taken.get(free) == Some(&true) {
            free += 1;
        }
        let index = (free..expected.len())
            .take_while(|n| compare_exact(&expected[*n], &row).is_eq())
            .find(|n| !taken[*n] && expected[*n].iter().zip(&row).all(|(x, y)| same(x, y)));
        match index {
            Some(index) => taken[index] = true,
            None => return Some(row),
        }
    }
    None
}

fn compare(a: &Row, b: &Row) -> Ordering {
    let floats = |(x, y): (&Value, &Value)| match (x, y) {
        (Value::Rounded(x, _), Value::Rounded(y, _)) => x.total_cmp(y),
        _ => Ordering::Equal,
    };
    compare_exact(a, b).then_with(|| a.iter().zip(b).map(floats).find(|o| o.is_ne()).unwrap_or(Ordering::Equal))
}

fn compare_exact(a: &Row, b: &Row) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Text(_) => 1,
        Value::Rounded(_, _) => 2,
    };
    let exact = |(x, y): (&Value, &Value)| match (x, y) {
        (Value::Text(x), Value::Text(y)) => x.cmp(y),
        (x, y) => rank(x).cmp(&rank(y)),
    };
    a.iter().zip(b).map(exact).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Rounded(x, place), Value::Rounded(y, _)) => {
            x == y || (x - y).abs() <= PLACES * place + RELATIVE_TOLERANCE * x.abs().max(y.abs())
        }
        (x, y) => x == y,
    }
}

/// The values of both columns, in a form that can be compared.
fn values(expected: &ArrayRef, got: &ArrayRef) -> Result<(Vec<Value>, Vec<Value>)> {
    // A column of only NULLs can have any type.
    if [expected, got].iter().all(|column| column.logical_null_count() == column.len()) {
        return Ok((vec![Value::Null; expected.len()], vec![Value::Null; got.len()]));
    }
    let (right, ty) = (expected.data_type(), got.data_type());
    if right.is_floating() || ty.is_floating() {
        let place = last_place(right).max(last_place(ty));
        return Ok((rounded(expected, place)?, rounded(got, place)?));
    }
    if right.is_numeric() || ty.is_numeric() {
        ensure!(right.is_numeric() && ty.is_numeric(), "a column is {ty}, expected {right}");
        return Ok((digits(expected)?, digits(got)?));
    }
    // Times, and texts in another layout.
    Ok((texts(&cast(expected, ty)?)?, texts(got)?))
}

fn last_place(ty: &DataType) -> f64 {
    match ty {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => 10_f64.powi(-i32::from(*scale)),
        _ => 0.0,
    }
}

fn rounded(column: &ArrayRef, place: f64) -> Result<Vec<Value>> {
    ensure!(column.data_type().is_numeric() || column.data_type().is_null(), "{} is no number", column.data_type());
    let numbers = cast(column, &DataType::Float64)?;
    let value = |n: Option<f64>| n.map_or(Value::Null, |n| Value::Rounded(n, place));
    Ok(numbers.as_primitive::<Float64Type>().iter().map(value).collect())
}

fn digits(column: &ArrayRef) -> Result<Vec<Value>> {
    let plain = |value| match value {
        Value::Text(text) if text.contains('.') => {
            Value::Text(text.trim_end_matches('0').trim_end_matches('.').to_string())
        }
        other => other,
    };
    Ok(texts(column)?.into_iter().map(plain).collect())
}

fn texts(column: &ArrayRef) -> Result<Vec<Value>> {
    let text = ArrayFormatter::try_new(column, &FormatOptions::new())?;
    let nulls = column.logical_nulls();
    let value = |row| {
        let is_null = nulls.as_ref().is_some_and(|n| n.is_null(row));
        Ok(if is_null { Value::Null } else { Value::Text(text.value(row).try_to_string()?) })
    };
    (0..column.len()).map(value).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, Float64Array, Int64Array};

    use super::*;

    fn answer(columns: Vec<ArrayRef>) -> Answer {
        let named = columns.into_iter().enumerate().map(|(n, c)| (n.to_string(), c, true));
        let batch = RecordBatch::try_from_iter_with_nullable(named).unwrap();
        Answer { schema: batch.schema(), batches: vec![batch] }
    }

    fn decimals(values: Vec<i128>, scale: i8) -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(20, scale).unwrap())
    }

    #[test]
    fn numbers_are_compared_by_value_and_floats_up_to_the_last_places() {
        let check = |right: ArrayRef, got: ArrayRef, is_same: bool| {
            let found = difference_by_value(&answer(vec![right]), &answer(vec![got]), &Order::Any, None).unwrap();
            assert_eq!(found.is_none(), is_same, "{found:?}");
        };
        check(decimals(vec![120, 300], 2), decimals(vec![3000, 1200], 3), true);
        check(decimals(vec![100], 2), Arc::new(Int64Array::from(vec![1])), true);
        check(decimals(vec![101], 2), Arc::new(Int64Array::from(vec![1])), false);
        check(Arc::new(Float64Array::from(vec![0.33303])), decimals(vec![333_000], 6), true);
        check(Arc::new(Float64Array::from(vec![0.3336])), decimals(vec![333_000], 6), false);
    }

    #[test]
    fn a_limit_may_choose_between_equals_only() {
        let ints = |v: Vec<i64>| Arc::new(Int64Array::from(v)) as ArrayRef;
        let right = answer(vec![ints(vec![1, 2, 2, 3]), ints(vec![10, 20, 21, 30])]);
        let check = |a: Vec<i64>, b: Vec<i64>, is_same: bool| {
            let got = answer(vec![ints(a), ints(b)]);
            let found = difference_by_value(&right, &got, &Order::By(vec![0]), Some(2)).unwrap();
            assert_eq!(found.is_none(), is_same, "{found:?}");
        };
        check(vec![1, 2], vec![10, 21], true);
        check(vec![1, 3], vec![10, 30], false);
        check(vec![1, 2], vec![10, 30], false);
        check(vec![1], vec![10], false);
    }

    /// If each row were compared with all of its equals, this would not end.
    #[test]
    fn many_equal_rows_are_compared_in_linear_time() {
        let ints = |last: i64| {
            let mut all = vec![7; 200_000];
            all.push(last);
            answer(vec![Arc::new(Int64Array::from(all)) as ArrayRef])
        };
        let found = |last| difference_by_value(&ints(8), &ints(last), &Order::Any, None).unwrap();
        assert_eq!(found(8), None);
        assert!(found(9).is_some());
    }
}
