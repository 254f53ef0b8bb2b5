//! Partition values: read from Arrow arrays, as bytes, and as display text.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use iceberg::spec::{PartitionField, PrimitiveLiteral, PrimitiveType, Struct, TableMetadata, Transform};

use crate::error::{Error, ErrorKind, Result};
use crate::table::transform::civil_date;

/// The display text of a partition, `day=2026-02-14/type=view`; `None` for unpartitioned files.
pub(crate) fn partition_text(metadata: &TableMetadata, spec_id: i32, partition: &Struct) -> Option<String> {
    Some(field_texts(metadata, spec_id, partition)?.join("/"))
}

/// The display text of each field of a partition, `day=2026-02-14`; `None` for unpartitioned files.
pub(crate) fn field_texts(metadata: &TableMetadata, spec_id: i32, partition: &Struct) -> Option<Vec<String>> {
    let spec = metadata.partition_spec_by_id(spec_id).filter(|s| !s.is_unpartitioned())?;
    let types = spec.partition_type(metadata.current_schema()).ok();
    let text = |(at, field): (usize, &PartitionField)| {
        let value = partition.fields().get(at).and_then(|v| v.as_ref()?.as_primitive_literal());
        let ty = types.as_ref().and_then(|t| t.fields().get(at)?.field_type.as_primitive_type());
        // The source column of a field may have been dropped; its values are then shown as they are stored.
        format!("{}={}", field.name, human(&field.transform, ty.unwrap_or(&PrimitiveType::Binary), value.as_ref()))
    };
    Some(spec.fields().iter().enumerate().map(text).collect())
}

/// The value at a row of an array of partition values, which must not be null.
pub(crate) fn literal(column: &ArrayRef, row: usize) -> Result<PrimitiveLiteral> {
    use PrimitiveLiteral as L;
    let binary = |bytes: &[u8]| L::Binary(bytes.to_vec());
    Ok(match column.data_type() {
        DataType::Boolean => L::Boolean(column.as_boolean().value(row)),
        DataType::Int32 => L::Int(column.as_primitive::<Int32Type>().value(row)),
        DataType::Date32 => L::Int(column.as_primitive::<Date32Type>().value(row)),
        DataType::Int64 => L::Long(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => L::Float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => L::Double(column.as_primitive::<Float64Type>().value(row).into()),
        DataType::Time64(TimeUnit::Microsecond) => L::Long(column.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            L::Long(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            L::Long(column.as_primitive::<TimestampNanosecondType>().value(row))
        }
        DataType::Decimal128(..) => L::Int128(column.as_primitive::<Decimal128Type>().value(row)),
        DataType::Utf8 => L::String(column.as_string::<i32>().value(row).to_string()),
        DataType::Binary => binary(column.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => binary(column.as_fixed_size_binary().value(row)),
        other => return Err(Error::new(ErrorKind::Internal, format!("partition values of type {other}"))),
    })
}

/// The specification's single-value serialization, except that decimals keep all 16 bytes.
pub(crate) fn literal_bytes(value: &PrimitiveLiteral) -> Vec<u8> {
    use PrimitiveLiteral as L;
    match value {
        L::Boolean(v) => vec![u8::from(*v)],
        L::Int(v) => v.to_le_bytes().to_vec(),
        L::Long(v) => v.to_le_bytes().to_vec(),
        L::Float(v) => v.0.to_le_bytes().to_vec(),
        L::Double(v) => v.0.to_le_bytes().to_vec(),
        L::String(v) => v.clone().into_bytes(),
        L::Binary(v) => v.clone(),
        L::Int128(v) => v.to_be_bytes().to_vec(),
        L::UInt128(v) => v.to_be_bytes().to_vec(),
        L::AboveMax | L::BelowMin => Vec::new(),
    }
}

/// The display text of a partition value, as by Java's `Transform.toHumanString`; `ty` is the type of the transform's
/// results.
pub(crate) fn human(transform: &Transform, ty: &PrimitiveType, value: Option<&PrimitiveLiteral>) -> String {
    use PrimitiveLiteral as L;
    let Some(value) = value else { return "null".to_string() };
    match (transform, ty, value) {
        (Transform::Year, _, L::Int(v)) => format!("{:04}", i64::from(*v) + 1970),
        (Transform::Month, _, L::Int(v)) => {
            format!("{:04}-{:02}", i64::from(*v).div_euclid(12) + 1970, i64::from(*v).rem_euclid(12) + 1)
        }
        (Transform::Hour, _, L::Int(v)) => {
            format!("{}-{:02}", date(i64::from(*v).div_euclid(24)), i64::from(*v).rem_euclid(24))
        }
        (_, PrimitiveType::Date, L::Int(v)) => date(i64::from(*v)),
        (_, PrimitiveType::Time, L::Long(v)) => time(*v, 1_000_000),
        (_, PrimitiveType::Timestamp, L::Long(v)) => timestamp(*v, 1_000_000),
        (_, PrimitiveType::Timestamptz, L::Long(v)) => format!("{}+00:00", timestamp(*v, 1_000_000)),
        (_, PrimitiveType::TimestampNs, L::Long(v)) => timestamp(*v, 1_000_000_000),
        (_, PrimitiveType::TimestamptzNs, L::Long(v)) => format!("{}+00:00", timestamp(*v, 1_000_000_000)),
        (_, PrimitiveType::Decimal { scale, .. }, L::Int128(v)) => decimal(*v, *scale),
        (_, PrimitiveType::Uuid, L::Binary(v)) => uuid::Uuid::from_slice(v).unwrap_or_default().to_string(),
        (_, _, L::Boolean(v)) => v.to_string(),
        (_, _, L::Int(v)) => v.to_string(),
        (_, _, L::Long(v)) => v.to_string(),
        (_, _, L::Float(v)) => v.to_string(),
        (_, _, L::Double(v)) => v.to_string(),
        (_, _, L::String(v)) => v.clone(),
        (_, _, other) => hex(&literal_bytes(other)),
    }
}

fn date(day: i64) -> String {
    let (year, month, day) = civil_date(day);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time(value: i64, per_second: i64) -> String {
    let (seconds, fraction) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let digits = if per_second == 1_000_000 { format!("{fraction:06}") } else { format!("{fraction:09}") };
        text = format!("{text}.{}", digits.trim_end_matches('0'));
    }
    text
}

fn timestamp(value: i64, per_second: i64) -> String {
    let per_day = 86_400 * per_second;
    format!("{}T{}", date(value.div_euclid(per_day)), time(value.rem_euclid(per_day), per_second))
}

fn decimal(unscaled: i128, scale: u32) -> String {
    if scale == 0 {
        return unscaled.to_string();
    }
    let sign = if unscaled < 0 { "-" } else { "" };
    let width = scale as usize + 1;
    let digits = format!("{:0width$}", unscaled.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    format!("{sign}{whole}.{fraction}")
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_by_java() {
        use PrimitiveLiteral as L;
        use PrimitiveType as T;
        let check = |transform: &str, ty: T, value: L, expected: &str| {
            assert_eq!(human(&transform.parse().unwrap_or(Transform::Unknown), &ty, Some(&value)), expected);
        };
        check("year", T::Int, L::Int(-1), "1969");
        check("month", T::Int, L::Int(-1), "1969-12");
        check("month", T::Int, L::Int(673), "2026-02");
        check("day", T::Date, L::Int(20_498), "2026-02-14");
        check("hour", T::Int, L::Int(-1), "1969-12-31-23");
        check("identity", T::Date, L::Int(i32::MAX), "5881580-07-11");
        check("identity", T::Timestamptz, L::Long(-1), "1969-12-31T23:59:59.999999+00:00");
        check("identity", T::Decimal { precision: 9, scale: 2 }, L::Int128(-5), "-0.05");
        check("bucket[4]", T::Int, L::Int(3), "3");
        assert_eq!(human(&Transform::Void, &T::Int, None), "null");
    }
}
