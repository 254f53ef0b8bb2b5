//! Record batches as values for a template: a list of rows, each a map by column name.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use minijinja::Value;

/// All rows as values. Integers stay exact; decimals become floats, which are exact for money below 10^13; all other
/// types become text.
pub(crate) fn values(batches: &[RecordBatch]) -> Value {
    batches.iter().flat_map(batch_values).collect()
}

fn batch_values(batch: &RecordBatch) -> Vec<Value> {
    let columns: Vec<(String, Vec<Value>)> = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| (field.name().clone(), column_values(column)))
        .collect();
    let row = |row: usize| columns.iter().map(move |(name, values)| (name.clone(), values[row].clone())).collect();
    (0..batch.num_rows()).map(row).collect()
}

fn column_values(column: &dyn Array) -> Vec<Value> {
    let target = match column.data_type() {
        DataType::Boolean => DataType::Boolean,
        kind if kind.is_integer() => DataType::Int64,
        kind if kind.is_floating() || kind.is_decimal() => DataType::Float64,
        _ => DataType::Utf8,
    };
    let Ok(cast) = cast(column, &target) else { return vec![Value::from(()); column.len()] };
    let value = |row: usize| match &target {
        _ if cast.is_null(row) => Value::from(()),
        DataType::Boolean => Value::from(cast.as_boolean().value(row)),
        DataType::Int64 => Value::from(cast.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::from(cast.as_primitive::<Float64Type>().value(row)),
        _ => Value::from(cast.as_string::<i32>().value(row)),
    };
    (0..column.len()).map(value).collect()
}
