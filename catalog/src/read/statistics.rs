//! DataFusion statistics of data files, from the manifests.
//!
//! Row counts, null counts and the bounds of numbers and times are exact, so `count(*)`, `min` and `max` need no scan.
//! Bounds of text may be truncated (the Iceberg specification allows it) and bounds of floating point exclude NaN:
//! both are inexact.

use std::collections::HashMap;

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use iceberg::spec::{DataFile, Datum, NestedField, PartitionSpec, PrimitiveType, Schema, Transform, Type};

use crate::bridge;

/// Bytes in memory for one byte of text in the file: between dictionary encoding (many) and plain (one).
const TEXT_EXPANSION: usize = 4;

/// The statistics of one data file, one entry per column of `schema`, with bounds of the types in `read_as`.
pub fn file_statistics(
    file: &DataFile,
    schema: &Schema,
    spec: Option<&PartitionSpec>,
    read_as: &arrow::datatypes::Schema,
) -> Statistics {
    let rows = usize::try_from(file.record_count()).unwrap_or(usize::MAX);
    let constants = spec.map(|s| constants(file, s)).unwrap_or_default();
    let mut columns: Vec<_> = schema
        .as_struct()
        .fields()
        .iter()
        .map(|field| match (field.field_type.as_ref(), constants.get(&field.id)) {
            // A partition of a float column may hold both zeros, or different NaN.
            (Type::Primitive(ty), Some(Some(literal))) if !bridge::is_float(ty) => match bridge::scalar_of(ty, literal)
            {
                Some(value) => constant(&value, rows),
                None => column(file, field, rows),
            },
            _ => column(file, field, rows),
        })
        .collect();
    for (column, field) in columns.iter_mut().zip(read_as.fields()) {
        // Text may be read as views, and bounds of a widened column are of its former type.
        let of_type = |bound: &Precision<ScalarValue>| match bound.get_value() {
            Some(value) if value.data_type() != *field.data_type() => {
                bound.cast_to(field.data_type()).unwrap_or(Precision::Absent)
            }
            _ => bound.clone(),
        };
        (column.min_value, column.max_value) = (of_type(&column.min_value), of_type(&column.max_value));
    }
    let bytes = columns.iter().map(|c| c.byte_size.get_value().copied().unwrap_or(rows)).sum();
    Statistics {
        num_rows: Precision::Exact(rows),
        total_byte_size: Precision::Inexact(bytes),
        column_statistics: columns,
    }
}

/// Identity partition values: field id of the column to its value in every row of the file.
fn constants(file: &DataFile, spec: &PartitionSpec) -> HashMap<i32, Option<iceberg::spec::PrimitiveLiteral>> {
    spec.fields()
        .iter()
        .zip(file.partition().iter())
        .filter(|(field, _)| field.transform == Transform::Identity)
        .map(|(field, value)| (field.source_id, value.and_then(|v| v.as_primitive_literal())))
        .collect()
}

fn constant(value: &ScalarValue, rows: usize) -> ColumnStatistics {
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: Precision::Exact(value.clone()),
        max_value: Precision::Exact(value.clone()),
        sum_value: Precision::Absent,
        distinct_count: Precision::Exact(1),
        byte_size: Precision::Inexact(rows.saturating_mul(value.size())),
    }
}

fn column(file: &DataFile, field: &NestedField, rows: usize) -> ColumnStatistics {
    let Type::Primitive(ty) = field.field_type.as_ref() else {
        // A nested column: only its leaves have entries.
        let stored: u64 = leaves(&field.field_type).iter().filter_map(|id| file.column_sizes().get(id)).sum();
        let bytes = usize::try_from(stored).unwrap_or(usize::MAX).saturating_mul(TEXT_EXPANSION);
        return ColumnStatistics { byte_size: Precision::Inexact(bytes), ..ColumnStatistics::new_unknown() };
    };
    let nulls = file.null_value_counts().get(&field.id).and_then(|n| usize::try_from(*n).ok());
    let nan_free = file.nan_value_counts().get(&field.id) == Some(&0);
    let bound = |of: &HashMap<i32, Datum>| match of.get(&field.id).and_then(bridge::scalar) {
        Some(v) if is_exact(ty, nan_free) => Precision::Exact(v),
        Some(v) => Precision::Inexact(v),
        None => Precision::Absent,
    };
    ColumnStatistics {
        null_count: nulls.map_or(Precision::Absent, Precision::Exact),
        min_value: bound(file.lower_bounds()),
        max_value: bound(file.upper_bounds()),
        sum_value: Precision::Absent,
        distinct_count: Precision::Absent,
        byte_size: Precision::Inexact(column_bytes(file, field.id, ty, rows)),
    }
}

fn is_exact(ty: &PrimitiveType, nan_free: bool) -> bool {
    match ty {
        PrimitiveType::String | PrimitiveType::Binary | PrimitiveType::Fixed(_) | PrimitiveType::Uuid => false,
        ty => nan_free || !bridge::is_float(ty),
    }
}

fn column_bytes(file: &DataFile, id: i32, ty: &PrimitiveType, rows: usize) -> usize {
    match bridge::arrow_type(&Type::Primitive(ty.clone())).ok().and_then(|t| t.primitive_width()) {
        Some(width) => rows.saturating_mul(width),
        None => {
            let stored = file.column_sizes().get(&id).and_then(|n| usize::try_from(*n).ok()).unwrap_or(rows);
            stored.saturating_mul(TEXT_EXPANSION).max(rows.saturating_mul(4))
        }
    }
}

fn leaves(ty: &Type) -> Vec<i32> {
    let nested = |f: &NestedField| match f.field_type.as_ref() {
        Type::Primitive(_) => vec![f.id],
        other => leaves(other),
    };
    match ty {
        Type::Primitive(_) => Vec::new(),
        Type::Struct(s) => s.fields().iter().flat_map(|f| nested(f)).collect(),
        Type::List(l) => nested(&l.element_field),
        Type::Map(m) => [nested(&m.key_field), nested(&m.value_field)].concat(),
    }
}
