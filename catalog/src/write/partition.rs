//! The partition that each row belongs to: its values, and the folder that tells them to a person.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{is_null, nullif, partition};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use iceberg::spec::{PrimitiveLiteral, PrimitiveType, Transform};

use super::WriteSpec;
use super::transform::{apply, civil_date};
use crate::error::{Error, ErrorKind, Result};

/// Partition values in the order of the spec's fields.
pub(super) type PartitionKey = Vec<Option<PrimitiveLiteral>>;

/// Computes the partition of rows.
#[derive(Debug)]
pub(super) struct Partitioner {
    fields: Vec<PartitionColumn>,
}

#[derive(Debug)]
struct PartitionColumn {
    name: String,
    transform: Transform,
    /// Index in each struct on the way to the source column.
    path: Vec<usize>,
    /// Type of the partition values.
    ty: PrimitiveType,
}

impl Partitioner {
    pub(super) fn try_new(spec: &WriteSpec) -> Result<Self> {
        let types = spec.partition_spec.partition_type(&spec.schema)?;
        let fields = spec
            .partition_spec
            .fields()
            .iter()
            .zip(types.fields())
            .map(|(field, result)| {
                let (_, path) = spec.source(field.source_id)?;
                let ty = result.field_type.as_primitive_type().cloned().ok_or_else(|| {
                    Error::new(ErrorKind::Corrupt, format!("partition field {} is not primitive", field.name))
                })?;
                Ok(PartitionColumn { name: field.name.clone(), transform: field.transform, path, ty })
            })
            .collect::<Result<_>>()?;
        Ok(Self { fields })
    }

    /// The runs of neighbouring rows that belong to one partition. `batch` has the table's schema.
    pub(super) fn split(&self, batch: &RecordBatch) -> Result<Vec<(PartitionKey, Range<usize>)>> {
        if self.fields.is_empty() {
            return Ok(vec![(Vec::new(), 0..batch.num_rows())]);
        }
        let values = self
            .fields
            .iter()
            .map(|field| apply(&field.transform, &column_at(batch, &field.path)?))
            .collect::<Result<Vec<_>>>()?;
        let runs = partition(&values)
            .map_err(|e| Error::new(ErrorKind::Internal, "finding where partitions change").with_source(e))?;
        runs.ranges().into_iter().map(|run| Ok((key_at(&values, run.start)?, run))).collect()
    }

    /// The folders of a partition, without slashes around them; empty for an unpartitioned table.
    pub(super) fn folders(&self, key: &PartitionKey) -> String {
        let folders: Vec<_> = self
            .fields
            .iter()
            .zip(key)
            .map(|(field, value)| partition_folder(&field.name, &human(&field.transform, &field.ty, value.as_ref())))
            .collect();
        folders.join("/")
    }
}

/// The column of a batch, or of a struct in it, with the nulls of all structs around it.
fn column_at(batch: &RecordBatch, path: &[usize]) -> Result<ArrayRef> {
    let mut column = Arc::clone(batch.column(path[0]));
    for index in &path[1..] {
        let parent = column.as_struct();
        let child = Arc::clone(parent.column(*index));
        column = if parent.null_count() == 0 {
            child
        } else {
            is_null(parent)
                .and_then(|absent| nullif(&child, &absent))
                .map_err(|e| Error::new(ErrorKind::Internal, "reading a partition column").with_source(e))?
        };
    }
    Ok(column)
}

fn key_at(columns: &[ArrayRef], row: usize) -> Result<PartitionKey> {
    columns.iter().map(|column| if column.is_null(row) { Ok(None) } else { literal(column, row).map(Some) }).collect()
}

/// Whether two partitions are one. The zeros, which are equal to us, are two to Java, whose readers take the values of rows from their partition.
pub(super) fn is_same(one: &PartitionKey, other: &PartitionKey) -> bool {
    let is_negative_zero = |value: &Option<PrimitiveLiteral>| match value {
        Some(PrimitiveLiteral::Float(v)) => v.0 == 0.0 && v.0.is_sign_negative(),
        Some(PrimitiveLiteral::Double(v)) => v.0 == 0.0 && v.0.is_sign_negative(),
        _ => false,
    };
    one == other && one.iter().map(is_negative_zero).eq(other.iter().map(is_negative_zero))
}

pub(super) fn literal(column: &ArrayRef, row: usize) -> Result<PrimitiveLiteral> {
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

/// Single-value serialization of the specification, except that decimals keep all 16 bytes.
pub(super) fn literal_bytes(value: &PrimitiveLiteral) -> Vec<u8> {
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

/// What Java's `Transform.toHumanString` says of a partition value; `ty` is the type of the transform's results.
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
        (_, _, other) => super::result::hex(&literal_bytes(other)),
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

/// One `name=value` folder of a partition, encoded as Java's `URLEncoder` does, which other engines write too.
///
/// Two departures: `*` is encoded as well, since it is a wildcard to some readers, and a folder name that no file
/// system would take is cut (the path only informs; the partition's values are in the manifest).
pub(super) fn partition_folder(name: &str, value: &str) -> String {
    const LONGEST: usize = 200;
    let mut folder = encode(name);
    folder.push('=');
    for c in value.chars() {
        let encoded = encode(c.encode_utf8(&mut [0; 4]));
        if folder.len() + encoded.len() > LONGEST {
            folder.push('-');
            break;
        }
        folder.push_str(&encoded);
    }
    folder
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => {
                encoded.push('%');
                encoded.push_str(&super::result::hex(&[byte]).to_uppercase());
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_encoded_as_by_java() {
        let check = |value: &str, folder: &str| {
            assert_eq!(partition_folder("종류", value), format!("%EC%A2%85%EB%A5%98={folder}"));
        };
        check("view", "view");
        check("a b/c+d%e*", "a+b%2Fc%2Bd%25e%2A");
        check("", "");
        check("..", "..");
        let long = partition_folder("text", &"가".repeat(100));
        assert!(long.len() <= 201 && long.ends_with("%EA%B0%80-"), "{long}");
    }

    #[test]
    fn values_are_told_as_by_java() {
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
