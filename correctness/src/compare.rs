//! Whether two results are equal: the names and types of their columns, and their rows.
//!
//! Exact with two exceptions: floats may differ in their last digits, because sums depend on the order of their terms,
//! and the memory layout of texts, binaries and lists (views, dictionaries, large offsets) does not matter.

use std::cmp::Ordering;
use std::fmt::{self, Display};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::Answer;

/// Two floats are equal up to this fraction of the larger.
const RELATIVE_TOLERANCE: f64 = 1e-9;
/// The remainder of terms that cancel has no digit in common with that of another order of the terms.
const ABSOLUTE_TOLERANCE: f64 = 1e-9;
/// 32 bits have seven digits.
const RELATIVE_TOLERANCE_OF_SINGLE: f64 = 1e-5;
/// Above this number of rows, rows whose floats differ are not searched one by one.
const MATCHED_ONE_BY_ONE: usize = 2_000;

/// The guaranteed order of a result's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// No order.
    Any,
    /// The rows are ordered by these columns; rows that are equal in them may be in any order.
    By(Vec<usize>),
}

/// A short description of how `got` differs from what is expected, or `None` if they are equal.
///
/// # Errors
/// When a value cannot be printed.
pub fn difference(expected: &Answer, got: &Answer, order: &Order) -> Result<Option<String>, ArrowError> {
    if let Some(difference) = schema_difference(&expected.schema, &got.schema) {
        return Ok(Some(difference));
    }
    let (expected, got) = (rows(&expected.batches)?, rows(&got.batches)?);
    if expected.len() != got.len() {
        return Ok(Some(format!("expected {} rows, got {}", expected.len(), got.len())));
    }
    if let Order::By(columns) = order {
        for (n, (right, row)) in expected.iter().zip(&got).enumerate() {
            if let Some(c) = columns.iter().find(|c| !same_value(&right.0[**c], &row.0[**c])) {
                let (right, value) = (&right.0[*c], &row.0[*c]);
                return Ok(Some(format!("order: in row {} column {c} is {value}, expected {right}", n + 1)));
            }
        }
    }
    Ok(multiset_difference(expected, got))
}

fn schema_difference(expected: &Schema, got: &Schema) -> Option<String> {
    let (right, columns) = (expected.fields().len(), got.fields().len());
    if right != columns {
        return Some(format!("expected {right} columns, got {columns}"));
    }
    for (right, field) in expected.fields().iter().zip(got.fields()) {
        if right.name() != field.name() {
            return Some(format!("a column is named {:?}, expected {:?}", field.name(), right.name()));
        }
        if plain_type(right.data_type()) != plain_type(field.data_type()) {
            let (name, ty, right) = (right.name(), field.data_type(), right.data_type());
            return Some(format!("the type of {name:?} is {ty}, expected {right}"));
        }
    }
    None
}

/// The type without its layout in memory, names inside lists, and nullability.
fn plain_type(ty: &DataType) -> DataType {
    let element = |f: &FieldRef| Arc::new(Field::new("item", plain_type(f.data_type()), true));
    match ty {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, value) => plain_type(value.data_type()),
        DataType::List(f) | DataType::LargeList(f) | DataType::ListView(f) | DataType::LargeListView(f) => {
            DataType::List(element(f))
        }
        DataType::FixedSizeList(f, _) => DataType::List(element(f)),
        DataType::Struct(fields) => {
            let named = |f: &FieldRef| Field::new(f.name(), plain_type(f.data_type()), true);
            DataType::Struct(fields.iter().map(named).collect())
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { return ty.clone() };
            let pair = pair.iter().map(|f| Field::new("", plain_type(f.data_type()), true)).collect();
            DataType::Map(Arc::new(Field::new("", DataType::Struct(pair), false)), false)
        }
        other => other.clone(),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Single(f64),
    Number(f64),
    Text(String),
    List(Vec<Value>),
}

struct Row(Vec<Value>);

fn rows(batches: &[RecordBatch]) -> Result<Vec<Row>, ArrowError> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<Vec<Value>> = batch.columns().iter().map(values).collect::<Result<_, _>>()?;
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        for _ in 0..batch.num_rows() {
            rows.push(Row(columns.iter_mut().filter_map(Iterator::next).collect()));
        }
    }
    Ok(rows)
}

fn values(column: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
    let nulls = column.logical_nulls();
    let is_null = |row: usize| nulls.as_ref().is_some_and(|n| n.is_null(row));
    let mut values = match column.data_type() {
        DataType::Float16 | DataType::Float32 => floats(column, Value::Single)?,
        DataType::Float64 => floats(column, Value::Number)?,
        DataType::Dictionary(_, value) => values(&cast(column, value)?)?,
        DataType::RunEndEncoded(_, value) => values(&cast(column, value.data_type())?)?,
        DataType::List(_) => lists(column.len(), |row| column.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => lists(column.len(), |row| column.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(_, _) => lists(column.len(), |row| column.as_fixed_size_list().value(row))?,
        DataType::ListView(_) => lists(column.len(), |row| column.as_list_view::<i32>().value(row))?,
        DataType::LargeListView(_) => lists(column.len(), |row| column.as_list_view::<i64>().value(row))?,
        DataType::Map(_, _) => lists(column.len(), |row| Arc::new(column.as_map().value(row)) as ArrayRef)?,
        DataType::Struct(_) => structs(column)?,
        _ => texts(column)?,
    };
    for (row, value) in values.iter_mut().enumerate() {
        if is_null(row) {
            *value = Value::Null;
        }
    }
    Ok(values)
}

fn floats(column: &ArrayRef, value: fn(f64) -> Value) -> Result<Vec<Value>, ArrowError> {
    let numbers = cast(column, &DataType::Float64)?;
    Ok(numbers.as_primitive::<Float64Type>().iter().map(|n| n.map_or(Value::Null, value)).collect())
}

fn lists(rows: usize, list: impl Fn(usize) -> ArrayRef) -> Result<Vec<Value>, ArrowError> {
    (0..rows).map(|row| values(&list(row)).map(Value::List)).collect()
}

fn structs(column: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
    let columns: Vec<Vec<Value>> = column.as_struct().columns().iter().map(values).collect::<Result<_, _>>()?;
    let row = |row: usize| Value::List(columns.iter().map(|c| c[row].clone()).collect());
    Ok((0..column.len()).map(row).collect())
}

fn texts(column: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
    // A time outside of the calendar has no text: its number is used.
    let options = FormatOptions::new().with_display_error(true);
    let text = ArrayFormatter::try_new(column, &options)?;
    // `arrow_typeof` shows the layout too.
    let plain = |text: String| Value::Text(if text.contains("View") { text.replace("Utf8View", "Utf8") } else { text });
    (0..column.len()).map(|row| Ok(plain(text.value(row).try_to_string()?))).collect()
}

/// Describes a row that only one side has.
fn multiset_difference(mut expected: Vec<Row>, mut got: Vec<Row>) -> Option<String> {
    expected.sort_by(compare_rows);
    got.sort_by(compare_rows);
    let differs = |(right, row): (&Row, &Row)| !same_row(right, row);
    let first = expected.iter().zip(&got).position(differs)?;
    // Rows whose floats differ in the last digit may be sorted differently.
    if got.len() <= MATCHED_ONE_BY_ONE {
        let mut missing = Vec::new();
        for right in expected {
            match got.iter().position(|row| same_row(&right, row)) {
                Some(n) => drop(got.swap_remove(n)),
                None => missing.push(right),
            }
        }
        let [right, ..] = missing.as_slice() else { return None };
        let row = got.first()?;
        return Some(format!("{} rows differ: got {row}, expected {right}", missing.len()));
    }
    Some(format!("got {}, expected {}", got[first], expected[first]))
}

/// Exact values first, so that corresponding rows are aligned even if their floats differ a little.
fn compare_rows(a: &Row, b: &Row) -> Ordering {
    let exact = a.0.iter().zip(&b.0).map(|(x, y)| compare_values(x, y, |_, _| Ordering::Equal));
    let floats = a.0.iter().zip(&b.0).map(|(x, y)| compare_values(x, y, f64::total_cmp));
    exact.chain(floats).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn compare_values(a: &Value, b: &Value, floats: fn(&f64, &f64) -> Ordering) -> Ordering {
    match (a, b) {
        (Value::Text(x), Value::Text(y)) => x.cmp(y),
        (Value::Number(x) | Value::Single(x), Value::Number(y) | Value::Single(y)) => floats(x, y),
        (Value::List(x), Value::List(y)) => {
            let elements = x.iter().zip(y).map(|(x, y)| compare_values(x, y, floats)).find(|o| o.is_ne());
            elements.unwrap_or(x.len().cmp(&y.len()))
        }
        (x, y) => x.rank().cmp(&y.rank()),
    }
}

fn same_row(a: &Row, b: &Row) -> bool {
    a.0.len() == b.0.len() && a.0.iter().zip(&b.0).all(|(x, y)| same_value(x, y))
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => close(*x, *y, RELATIVE_TOLERANCE),
        (Value::Single(x), Value::Single(y)) => close(*x, *y, RELATIVE_TOLERANCE_OF_SINGLE),
        (Value::List(x), Value::List(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same_value(x, y)),
        (x, y) => x == y,
    }
}

fn close(x: f64, y: f64, relative: f64) -> bool {
    // -0 equals 0, and all NaNs are equal.
    x == y || (x.is_nan() && y.is_nan()) || {
        let distance = (x - y).abs();
        distance.is_finite() && (distance <= relative * x.abs().max(y.abs()) || distance <= ABSOLUTE_TOLERANCE)
    }
}

impl Value {
    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Single(_) | Value::Number(_) => 1,
            Value::Text(_) => 2,
            Value::List(_) => 3,
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Single(n) | Value::Number(n) => write!(f, "{n}"),
            Value::Text(text) => f.write_str(text),
            Value::List(values) => write!(f, "[{}]", listed(values)),
        }
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", listed(&self.0))
    }
}

fn listed(values: &[Value]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
