//! Coerces rows to the table's schema: the same values under the table's names, types and field ids, or a clear error.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray, UInt64Array,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use arrow::util::display::FormatOptions;

use crate::error::{Error, ErrorKind, Result};

/// A value that does not fit fails the write instead of becoming NULL.
const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: FormatOptions::new().with_display_error(false) };

/// The batch with the table's schema. Columns are matched by position.
pub(super) fn coerce(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            let column = coerce_array(column, field, field.name())?;
            check_nulls(&column, field, None, field.name())?;
            Ok(column)
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|e| unfit("rows", e))
}

/// Coerces `array` to `field`'s type; `path` names the column in errors.
pub(super) fn coerce_array(array: &ArrayRef, field: &Field, path: &str) -> Result<ArrayRef> {
    let target = field.data_type();
    if array.data_type() == target && !target.is_nested() {
        return Ok(Arc::clone(array));
    }
    if *array.data_type() == DataType::Null {
        return Ok(new_null_array(target, array.len()));
    }
    match target {
        DataType::Struct(fields) => coerce_struct(array, fields, path),
        DataType::List(element) => coerce_list(array, element, path),
        DataType::Map(entries, _) => coerce_map(array, entries, path),
        _ if array.data_type().is_nested() => Err(mismatch(array, target, path)),
        _ => cast_with_options(array, target, &STRICT).map_err(|e| unfit(path, e)),
    }
}

fn coerce_struct(array: &ArrayRef, fields: &Fields, path: &str) -> Result<ArrayRef> {
    let Some(source) = array.as_struct_opt() else {
        return Err(mismatch(array, &DataType::Struct(fields.clone()), path));
    };
    let named = fields.iter().any(|f| source.column_by_name(f.name()).is_some());
    if named {
        let unknown = source.column_names().into_iter().find(|name| fields.find(name).is_none());
        if let Some(name) = unknown {
            return Err(Error::new(ErrorKind::Invalid, format!("column {path} has no field {name}")));
        }
    } else if source.num_columns() != fields.len() {
        return Err(mismatch(array, &DataType::Struct(fields.clone()), path));
    }
    let children = fields
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let child_path = format!("{path}.{}", field.name());
            // `struct(1, 2)` has no field names: its fields are matched by position.
            let child = if named { source.column_by_name(field.name()) } else { Some(source.column(i)) };
            let child = match child {
                Some(child) => coerce_array(child, field, &child_path)?,
                None => new_null_array(field.data_type(), source.len()),
            };
            check_nulls(&child, field, source.nulls(), &child_path)?;
            Ok(child)
        })
        .collect::<Result<Vec<_>>>()?;
    let rebuilt = StructArray::try_new_with_length(fields.clone(), children, source.nulls().cloned(), source.len());
    Ok(Arc::new(rebuilt.map_err(|e| unfit(path, e))?))
}

fn coerce_list(array: &ArrayRef, element: &Arc<Field>, path: &str) -> Result<ArrayRef> {
    let list = match array.data_type() {
        DataType::List(_) => Arc::clone(array),
        DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::ListView(f) | DataType::LargeListView(f) => {
            cast_with_options(array, &DataType::List(Arc::clone(f)), &STRICT).map_err(|e| unfit(path, e))?
        }
        _ => return Err(mismatch(array, &DataType::List(Arc::clone(element)), path)),
    };
    let mut list = list.as_list::<i32>().clone();
    if !element.is_nullable() && list.values().null_count() > 0 {
        // Values outside the lists (of a slice, or under a null list) may be null: drop them before checking.
        let all = UInt64Array::from_iter_values(0..list.len() as u64);
        list = take(&list, &all, None).map_err(|e| unfit(path, e))?.as_list::<i32>().clone();
    }
    let (_, offsets, values, nulls) = list.into_parts();
    let element_path = format!("{path}.element");
    let values = coerce_array(&values, element, &element_path)?;
    check_nulls(&values, element, None, &element_path)?;
    let rebuilt = ListArray::try_new(Arc::clone(element), offsets, values, nulls);
    Ok(Arc::new(rebuilt.map_err(|e| unfit(path, e))?))
}

fn coerce_map(array: &ArrayRef, entries: &Arc<Field>, path: &str) -> Result<ArrayRef> {
    let (Some(map), DataType::Struct(pair)) = (array.as_map_opt(), entries.data_type()) else {
        return Err(mismatch(array, &DataType::Map(Arc::clone(entries), false), path));
    };
    let mut map = map.clone();
    if !pair[1].is_nullable() && map.values().null_count() > 0 {
        let all = UInt64Array::from_iter_values(0..map.len() as u64);
        map = take(&map, &all, None).map_err(|e| unfit(path, e))?.as_map().clone();
    }
    let (_, offsets, source, nulls, sorted) = map.into_parts();
    let children = pair
        .iter()
        .zip(source.columns())
        .map(|(field, child)| {
            let child_path = format!("{path}.{}", field.name());
            let child = coerce_array(child, field, &child_path)?;
            check_nulls(&child, field, source.nulls(), &child_path)?;
            Ok(child)
        })
        .collect::<Result<Vec<_>>>()?;
    let rebuilt = StructArray::try_new_with_length(pair.clone(), children, None, source.len())
        .and_then(|entry| MapArray::try_new(Arc::clone(entries), offsets, entry, nulls, sorted));
    Ok(Arc::new(rebuilt.map_err(|e| unfit(path, e))?))
}

/// Fails for nulls in a required field, except where the enclosing struct is null as well.
fn check_nulls(array: &ArrayRef, field: &Field, parent: Option<&NullBuffer>, path: &str) -> Result<()> {
    if field.is_nullable() || array.null_count() == 0 {
        return Ok(());
    }
    let (Some(own), parent) = (array.nulls(), parent) else { return Ok(()) };
    let offending = match parent {
        None => own.null_count(),
        Some(parent) => own.iter().zip(parent.iter()).filter(|(own, parent)| !own && *parent).count(),
    };
    if offending == 0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, format!("column {path} is required, but a row has no value for it")))
}

fn mismatch(array: &ArrayRef, target: &DataType, path: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("column {path}: values of type {} do not fit {target}", array.data_type()))
}

fn unfit(path: &str, e: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Invalid, format!("column {path}: values do not fit the table")).with_source(e)
}
