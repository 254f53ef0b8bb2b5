//! Results that are equal, and results that are not.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, StringViewArray};

use super::*;

fn answer(columns: Vec<(&str, ArrayRef)>) -> Answer {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    Answer { schema: batch.schema(), batches: vec![batch] }
}

fn texts_and_floats(texts: ArrayRef, floats: &[Option<f64>]) -> Answer {
    answer(vec![("n", texts), ("v", Arc::new(Float64Array::from(floats.to_vec())))])
}

#[test]
fn row_order_text_layout_and_the_last_digits_do_not_matter() {
    let a = texts_and_floats(Arc::new(StringArray::from(vec!["a", "b"])), &[Some(0.1 + 0.2), None]);
    let b = texts_and_floats(Arc::new(StringViewArray::from(vec!["b", "a"])), &[None, Some(0.3)]);
    assert_eq!(difference(&a, &b, &Order::Any).unwrap(), None);
    let order = difference(&a, &b, &Order::By(vec![0])).unwrap().unwrap();
    assert_eq!(order, "order: in row 1 column 0 is b, expected a");
}

#[test]
fn floats_that_differ_a_little_do_not_misalign_other_rows() {
    let floats = |v: Vec<f64>, w: Vec<f64>| {
        answer(vec![("v", Arc::new(Float64Array::from(v)) as ArrayRef), ("w", Arc::new(Float64Array::from(w)))])
    };
    let a = floats(vec![1.0, 1.0 + 1e-12], vec![5.0, 6.0]);
    let b = floats(vec![1.0 + 1e-12, 1.0], vec![5.0, 6.0]);
    assert_eq!(difference(&a, &b, &Order::Any).unwrap(), None);
}

#[test]
fn rows_values_types_and_names_matter() {
    let numbers = |name, values: Vec<Option<i64>>| answer(vec![(name, Arc::new(Int64Array::from(values)) as ArrayRef)]);
    let a = numbers("a", vec![Some(1), Some(1), None]);
    let check = |b: &Answer, expected: &str| assert_eq!(difference(&a, b, &Order::Any).unwrap().unwrap(), expected);
    check(&numbers("a", vec![Some(1)]), "expected 3 rows, got 1");
    check(&numbers("a", vec![Some(1), None, None]), "1 rows differ: got (null), expected (1)");
    check(&numbers("b", vec![]), "a column is named \"b\", expected \"a\"");
    let decimals = Decimal128Array::from(vec![1, 1]).with_precision_and_scale(3, 1).unwrap();
    check(&answer(vec![("a", Arc::new(decimals))]), "the type of \"a\" is Decimal128(3, 1), expected Int64");
}

#[test]
fn a_null_is_neither_an_empty_text_nor_nan() {
    let a = texts_and_floats(Arc::new(StringArray::from(vec![Some("")])), &[Some(f64::NAN)]);
    let b = texts_and_floats(Arc::new(StringArray::from(vec![None::<&str>])), &[Some(f64::NAN)]);
    let c = texts_and_floats(Arc::new(StringArray::from(vec![Some("")])), &[None]);
    assert_eq!(difference(&a, &a, &Order::Any).unwrap(), None);
    assert!(difference(&a, &b, &Order::Any).unwrap().is_some());
    assert!(difference(&a, &c, &Order::Any).unwrap().is_some());
}
