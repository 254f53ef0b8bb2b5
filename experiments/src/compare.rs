//! Compares two results of one query: of clusters and DataFusion, with the same types, or of other engines by value.

use std::cmp::Ordering;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Tolerance for floating-point sums, which depend on the order of their terms.
const RELATIVE_TOLERANCE: f64 = 1e-9;
/// The same for results of other engines, which may divide at another place of a query.
const RELATIVE_TOLERANCE_BY_VALUE: f64 = 1e-6;
/// Units in the last decimal place by which a quotient may differ that is a decimal on one side and a float on the
/// other: engines cut off its digits, and queries add up quotients.
const UNITS: f64 = 10.0;
/// Decimal places of a decimal from which on it counts as a quotient.
const PLACES_OF_QUOTIENTS: i8 = 4;

/// How far two floats may be apart.
#[derive(Debug, Clone, Copy)]
struct Tolerance {
    /// As a fraction of the larger one.
    relative: f64,
    absolute: f64,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(f64),
    Text(String),
}

/// The first difference between `a` and `b`, or `None` if they hold the same rows in any order. All string types count
/// as one type.
pub(crate) fn difference(a: &[RecordBatch], b: &[RecordBatch]) -> Result<Option<String>, ArrowError> {
    difference_within(a, b, Tolerance { relative: RELATIVE_TOLERANCE, absolute: 0.0 })
}

/// The first difference between rows that two engines returned, whose types may differ: see [`by_value`].
pub(crate) fn difference_by_value(a: &[RecordBatch], b: &[RecordBatch]) -> Result<Option<String>, ArrowError> {
    let tolerance = Tolerance { relative: RELATIVE_TOLERANCE_BY_VALUE, absolute: of_quotients(a, b) };
    difference_within(&by_value(a)?, &by_value(b)?, tolerance)
}

/// How far quotients may be apart, by the types of the columns.
fn of_quotients(a: &[RecordBatch], b: &[RecordBatch]) -> f64 {
    let (Some(a), Some(b)) = (a.first(), b.first()) else { return 0.0 };
    let units = a.columns().iter().zip(b.columns()).filter_map(|(a, b)| match (a.data_type(), b.data_type()) {
        (DataType::Decimal128(_, places), other) | (other, DataType::Decimal128(_, places))
            if other.is_floating() && *places >= PLACES_OF_QUOTIENTS =>
        {
            Some(UNITS * 10_f64.powi(-i32::from(*places)))
        }
        _ => None,
    });
    units.fold(0.0, f64::max)
}

/// The same rows with one type for all numbers, one for all times and one for all texts.
pub(crate) fn by_value(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
    let converted = |batch: &RecordBatch| {
        let columns = batch.columns().iter().enumerate().map(|(n, column)| {
            let to = match column.data_type() {
                number if number.is_numeric() => DataType::Float64,
                // Without a time zone: those of engines have several names for UTC.
                DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Microsecond, None),
                other => other.clone(),
            };
            Ok((format!("{n}"), cast(column, &to)?, true))
        });
        let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
        if columns.is_empty() { Ok(batch.clone()) } else { RecordBatch::try_from_iter_with_nullable(columns) }
    };
    batches.iter().map(converted).collect()
}

fn difference_within(a: &[RecordBatch], b: &[RecordBatch], tolerance: Tolerance) -> Result<Option<String>, ArrowError> {
    let (mut a, mut b) = (rows(a)?, rows(b)?);
    if a.len() != b.len() {
        return Ok(Some(format!("{} rows and {}", a.len(), b.len())));
    }
    a.sort_by(|x, y| order(x, y));
    b.sort_by(|x, y| order(x, y));
    let differing = a.iter().zip(&b).find(|(x, y)| !same(x, y, tolerance));
    Ok(differing.map(|(x, y)| format!("{x:?} and {y:?}")))
}

/// A hash of the rows in any order, with six digits of each float: FNV-1a of 64 bits, by the reference of G. Fowler,
/// L. C. Noll and K.-P. Vo, <http://www.isthe.com/chongo/tech/comp/fnv/>.
pub(crate) fn fingerprint(batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let text = |value: &Value| match value {
        Value::Number(number) => format!("{number:.5e}"),
        Value::Text(text) => text.clone(),
    };
    let line = |row: &Vec<Value>| row.iter().map(text).collect::<Vec<_>>().join("\u{1f}");
    let mut lines: Vec<String> = rows(batches)?.iter().map(line).collect();
    lines.sort_unstable();
    let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
    let hash = bytes
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    Ok(format!("{hash:016x}"))
}

fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<Value>>, ArrowError> {
    let mut rows = Vec::new();
    for batch in batches {
        let first = rows.len();
        rows.resize_with(first + batch.num_rows(), || Vec::with_capacity(batch.num_columns()));
        for column in batch.columns() {
            match column.data_type() {
                DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                    let numbers = cast(column, &DataType::Float64)?;
                    let numbers = numbers.as_primitive::<Float64Type>();
                    for (row, number) in rows[first..].iter_mut().zip(numbers) {
                        row.push(number.map_or(Value::Text(String::new()), Value::Number));
                    }
                }
                _ => {
                    let text = ArrayFormatter::try_new(column, &FormatOptions::new())?;
                    for (n, row) in rows[first..].iter_mut().enumerate() {
                        row.push(Value::Text(text.value(n).try_to_string()?));
                    }
                }
            }
        }
    }
    Ok(rows)
}

/// Compares exact columns first, so that equal rows are paired even if their floats differ slightly.
fn order(a: &[Value], b: &[Value]) -> Ordering {
    let exact = a.iter().zip(b).map(|(x, y)| match (x, y) {
        (Value::Text(x), Value::Text(y)) => x.cmp(y),
        (Value::Number(_), Value::Number(_)) => Ordering::Equal,
        (Value::Number(_), Value::Text(_)) => Ordering::Less,
        (Value::Text(_), Value::Number(_)) => Ordering::Greater,
    });
    let floats = a.iter().zip(b).map(|(x, y)| match (x, y) {
        (Value::Number(x), Value::Number(y)) => x.total_cmp(y),
        _ => Ordering::Equal,
    });
    exact.chain(floats).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn same(a: &[Value], b: &[Value], tolerance: Tolerance) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| match pair {
            (Value::Number(x), Value::Number(y)) => {
                let allowed = tolerance.absolute.max(tolerance.relative * x.abs().max(y.abs()));
                x.total_cmp(y).is_eq() || (x - y).abs() <= allowed
            }
            (x, y) => x == y,
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, Float64Array, Int32Array, LargeStringArray, StringArray, StringViewArray,
        TimestampMicrosecondArray, TimestampNanosecondArray,
    };

    use super::*;

    fn batch(names: ArrayRef, values: &[Option<f64>]) -> RecordBatch {
        let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        RecordBatch::try_from_iter_with_nullable([("n", names, true), ("v", values, true)]).unwrap()
    }

    #[test]
    fn order_text_type_and_the_last_digits_do_not_matter_but_rows_do() {
        let a = batch(Arc::new(StringArray::from(vec!["a", "b"])), &[Some(0.1 + 0.2), None]);
        let b = batch(Arc::new(StringViewArray::from(vec!["b", "a"])), &[None, Some(0.3)]);
        assert_eq!(difference(std::slice::from_ref(&a), std::slice::from_ref(&b)).unwrap(), None);
        assert_eq!(fingerprint(std::slice::from_ref(&a)).unwrap(), fingerprint(&[b]).unwrap());
        let c = batch(Arc::new(StringArray::from(vec!["a", "b"])), &[Some(0.300001), None]);
        assert_ne!(fingerprint(std::slice::from_ref(&a)).unwrap(), fingerprint(std::slice::from_ref(&c)).unwrap());
        assert!(difference(std::slice::from_ref(&a), &[c]).unwrap().is_some());
        assert!(difference(std::slice::from_ref(&a), &[a.slice(0, 1)]).unwrap().unwrap().contains("2 rows and 1"));
        let d = batch(Arc::new(StringArray::from(vec!["a", "c"])), &[Some(0.3), None]);
        assert!(difference(&[a], &[d]).unwrap().is_some());
    }

    /// The same row of two engines.
    #[test]
    fn results_of_other_engines_are_compared_by_value() {
        let columns = |n: ArrayRef, text: ArrayRef, time: ArrayRef, amount: ArrayRef| {
            RecordBatch::try_from_iter([("n", n), ("text", text), ("time", time), ("amount", amount)]).unwrap()
        };
        let amount =
            |cents: i128| Arc::new(Decimal128Array::from(vec![cents]).with_precision_and_scale(20, 2).unwrap());
        let ours = |cents: i128| {
            columns(
                Arc::new(Int32Array::from(vec![7])),
                Arc::new(StringArray::from(vec!["a"])),
                Arc::new(TimestampMicrosecondArray::from(vec![1_000_000]).with_timezone("UTC")),
                amount(cents),
            )
        };
        let theirs = columns(
            Arc::new(Float64Array::from(vec![7.0])),
            Arc::new(LargeStringArray::from(vec!["a"])),
            Arc::new(TimestampNanosecondArray::from(vec![1_000_000_000]).with_timezone("+00:00")),
            Arc::new(Float64Array::from(vec![12.340_000_001])),
        );
        assert_eq!(difference_by_value(&[ours(1234)], std::slice::from_ref(&theirs)).unwrap(), None);
        assert!(difference(&[ours(1234)], std::slice::from_ref(&theirs)).unwrap().is_some());
        let found = difference_by_value(&[ours(1235)], &[theirs]).unwrap().unwrap();
        assert!(found.contains("12.35") && found.contains("12.34"), "{found}");
    }

    #[test]
    fn quotients_of_decimals_may_lack_digits_that_floats_have() {
        let check = |decimal: i128, places: i8, float: f64, expected: bool| {
            let decimal = Decimal128Array::from(vec![decimal]).with_precision_and_scale(20, places).unwrap();
            let a = RecordBatch::try_from_iter([("n", Arc::new(decimal) as ArrayRef)]).unwrap();
            let b = RecordBatch::try_from_iter([("n", Arc::new(Float64Array::from(vec![float])) as ArrayRef)]).unwrap();
            let equal = difference_by_value(std::slice::from_ref(&b), std::slice::from_ref(&a)).unwrap().is_none();
            assert_eq!(equal, expected, "{a:?} {b:?}");
            assert_eq!(difference_by_value(&[a], &[b]).unwrap().is_none(), expected);
        };
        check(30_191, 6, 0.030_192_2, true);
        check(30_191, 6, 0.030_211, false);
        // An amount of money.
        check(1234, 2, 12.35, false);
    }
}
