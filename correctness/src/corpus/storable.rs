//! The type of a DataFusion column in an Iceberg table: the nearest type that holds all its values, or none.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array, new_empty_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;

/// The rows with column types that Iceberg has.
///
/// # Errors
/// The type that Iceberg does not have, or whose values it cannot hold.
pub fn storable(schema: &Schema, batches: &[RecordBatch]) -> Result<RecordBatch, String> {
    let own = Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Result<Vec<_>, _>>()?));
    let bare = Arc::new(schema.clone());
    let rows = concat_batches(&bare, batches).map_err(|e| e.to_string())?;
    let columns = rows.columns().iter().zip(own.fields());
    let columns = columns.map(|(column, field)| exact(column, field.data_type())).collect::<Result<_, _>>()?;
    batch(own, columns, rows.num_rows()).map_err(|e| e.to_string())
}

/// The schema with list elements named as in lists that DataFusion creates: Iceberg has another name for them, which
/// must not be visible in results.
pub fn with_plain_lists(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(plain_lists).collect::<Vec<_>>()))
}

fn plain_lists(field: &FieldRef) -> Field {
    let ty = match field.data_type() {
        DataType::List(f) => DataType::List(Arc::new(plain_lists(f).with_name(Field::LIST_FIELD_DEFAULT_NAME))),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_lists).collect()),
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(plain_lists(entries)), *sorted),
        other => other.clone(),
    };
    Field::new(field.name(), ty, field.is_nullable())
}

/// The same rows in columns of another schema, exactly.
///
/// # Errors
/// When a value does not fit.
pub fn as_schema(rows: &RecordBatch, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| strict(column, field.data_type())).collect::<Result<_, _>>()?;
    batch(schema, columns, rows.num_rows())
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows)))
}

fn strict(column: &ArrayRef, ty: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.is_empty() {
        return Ok(new_empty_array(ty));
    }
    let column = cast_with_options(column, ty, &CastOptions { safe: false, format_options: FormatOptions::new() })?;
    // A null among fixed-size lists has elements, which some functions expose. Copied one by one it has none.
    let rows: UInt64Array = (0..column.len() as u64).collect();
    take(&column, &rows, None)
}

/// The column as another type, if converting it back restores it.
fn exact(column: &ArrayRef, ty: &DataType) -> Result<ArrayRef, String> {
    let lost = || format!("values of {} that {ty} cannot hold", column.data_type());
    let stored = strict(column, ty).map_err(|_| lost())?;
    // Finer times lose digits without an error; all other conversions fail or are lossless.
    if matches!(column.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Time64(_)) {
        let back = strict(&stored, column.data_type()).map_err(|_| lost())?;
        if back.to_data() != column.to_data() {
            return Err(lost());
        }
    }
    Ok(stored)
}

fn field(field: &FieldRef) -> Result<Field, String> {
    Ok(Field::new(field.name(), data_type(field.data_type())?, field.is_nullable()))
}

/// The nearest type that a table of Bergmill returns unchanged.
fn data_type(ty: &DataType) -> Result<DataType, String> {
    let element =
        |f: &FieldRef| Ok::<_, String>(Arc::new(Field::new("item", data_type(f.data_type())?, f.is_nullable())));
    Ok(match ty {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => {
            DataType::Decimal128(*p, *s)
        }
        DataType::Decimal256(p, s) if *p <= 38 && *s >= 0 => DataType::Decimal128(*p, *s),
        DataType::Dictionary(_, value) => data_type(value)?,
        DataType::RunEndEncoded(_, value) => data_type(value.data_type())?,
        DataType::List(f) | DataType::LargeList(f) | DataType::ListView(f) | DataType::LargeListView(f) => {
            DataType::List(element(f)?)
        }
        DataType::FixedSizeList(f, _) => DataType::List(element(f)?),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect::<Result<_, _>>()?),
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(field(entries)?), *sorted),
        DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32 => ty.clone(),
        other => return Err(name(other)),
    })
}

/// The type as counted in reports, without its parameters.
fn name(ty: &DataType) -> String {
    let text = ty.to_string();
    text.split(['(', '<']).next().unwrap_or_default().trim().to_string()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array, TimestampNanosecondArray, UInt64Array};

    use super::*;

    fn check(column: ArrayRef, expected: Result<ArrayRef, &str>) {
        let rows = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let stored = storable(&rows.schema(), std::slice::from_ref(&rows));
        match expected {
            Ok(expected) => assert_eq!(stored.unwrap().column(0), &expected),
            Err(reason) => assert!(stored.unwrap_err().contains(reason)),
        }
    }

    #[test]
    fn values_are_kept_or_the_table_is_refused() {
        check(Arc::new(arrow::array::UInt8Array::from(vec![255])), Ok(Arc::new(Int32Array::from(vec![255]))));
        check(Arc::new(UInt64Array::from(vec![7])), Ok(Arc::new(Int64Array::from(vec![7]))));
        check(Arc::new(UInt64Array::from(vec![u64::MAX])), Err("UInt64"));
        check(Arc::new(TimestampNanosecondArray::from(vec![1])), Err("values of Timestamp"));
        check(Arc::new(arrow::array::DurationSecondArray::from(vec![1])), Err("Duration"));
        check(Arc::new(arrow::array::NullArray::new(1)), Err("Null"));
    }
}
