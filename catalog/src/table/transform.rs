//! Partition transforms over Arrow arrays.
//!
//! The iceberg crate's own kernels take arrow 58 arrays, so they are implemented here. They follow the Iceberg
//! specification ("Partition Transforms" and appendix B); the tests compare them with the crate's transforms of single
//! values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, PrimitiveArray, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion::common::ScalarValue;
use iceberg::spec::Transform;

use crate::error::{Error, ErrorKind, Result};

/// Arrow type of the result of `transform` for values of type `source`.
pub(crate) fn result_type(transform: &Transform, source: &DataType) -> Result<DataType> {
    use DataType as D;
    let timestamp = matches!(source, D::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _));
    let result = match transform {
        Transform::Identity | Transform::Void => Some(source.clone()),
        Transform::Year | Transform::Month if timestamp || *source == D::Date32 => Some(D::Int32),
        Transform::Day if timestamp || *source == D::Date32 => Some(D::Date32),
        Transform::Hour if timestamp => Some(D::Int32),
        Transform::Truncate(_) => match source {
            D::Int32 | D::Int64 | D::Decimal128(..) | D::Utf8 | D::Binary => Some(source.clone()),
            _ => None,
        },
        Transform::Bucket(_) => match source {
            D::Int32 | D::Int64 | D::Date32 | D::Decimal128(..) | D::Utf8 | D::Binary | D::FixedSizeBinary(_) => {
                Some(D::Int32)
            }
            D::Time64(TimeUnit::Microsecond) => Some(D::Int32),
            _ if timestamp => Some(D::Int32),
            _ => None,
        },
        _ => None,
    };
    result.ok_or_else(|| Error::new(ErrorKind::Invalid, format!("transform {transform} does not apply to {source}")))
}

/// `transform` of each value; nulls stay null.
pub(crate) fn apply(transform: &Transform, values: &ArrayRef) -> Result<ArrayRef> {
    let canonical = canonical_type(values.data_type());
    let values = if *values.data_type() == canonical {
        Arc::clone(values)
    } else {
        cast(values, &canonical).map_err(internal)?
    };
    let result = result_type(transform, &canonical)?;
    match transform {
        Transform::Identity => Ok(values),
        Transform::Void => Ok(new_null_array(&result, values.len())),
        Transform::Year => days(&values, |day| to_i32(civil(day).0 - 1970)),
        Transform::Month => days(&values, |day| {
            let (year, month) = civil(day);
            to_i32((year - 1970) * 12 + month - 1)
        }),
        Transform::Day => {
            let days = days(&values, to_i32)?;
            Ok(Arc::new(days.as_primitive::<Int32Type>().reinterpret_cast::<Date32Type>()))
        }
        Transform::Hour => hours(&values),
        Transform::Truncate(width) => truncate(&values, *width),
        Transform::Bucket(count) => bucket(&values, *count),
        Transform::Unknown => Err(unsupported(&values)),
    }
}

/// The Arrow type that the Iceberg type has in our schemas, for any Arrow type that a query can produce.
pub(crate) fn canonical_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Dictionary(_, value) => canonical_type(value),
        other => other.clone(),
    }
}

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const NANOS_PER_HOUR: i64 = 1_000 * MICROS_PER_HOUR;

/// Days, months and years since 1970 of any timestamp fit; hours from the year 246,953 wrap around, as in Java.
fn to_i32(n: i64) -> i32 {
    n as i32
}

fn days(values: &ArrayRef, f: impl Fn(i64) -> i32) -> Result<ArrayRef> {
    Ok(Arc::new(match values.data_type() {
        DataType::Date32 => map::<Date32Type, Int32Type>(values, |v| f(i64::from(v))),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            map::<TimestampMicrosecondType, Int32Type>(values, |v| f(v.div_euclid(24 * MICROS_PER_HOUR)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            map::<TimestampNanosecondType, Int32Type>(values, |v| f(v.div_euclid(24 * NANOS_PER_HOUR)))
        }
        _ => return Err(unsupported(values)),
    }))
}

fn hours(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(Arc::new(match values.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            map::<TimestampMicrosecondType, Int32Type>(values, |v| to_i32(v.div_euclid(MICROS_PER_HOUR)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            map::<TimestampNanosecondType, Int32Type>(values, |v| to_i32(v.div_euclid(NANOS_PER_HOUR)))
        }
        _ => return Err(unsupported(values)),
    }))
}

/// `transform` of one value; `None` if it does not apply to its type.
pub(crate) fn transform_of(transform: &Transform, value: &ScalarValue) -> Option<ScalarValue> {
    let result = apply(transform, &value.to_array().ok()?).ok()?;
    ScalarValue::try_from_array(&result, 0).ok()
}

/// The first day of a month (1 to 12) of a year, counted from 1970-01-01: the algorithm is Howard Hinnant's
/// `days_from_civil`.
pub(crate) fn civil_days(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year and month (1 to 12) of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// chrono stops at year 262,143, but a table may contain any number that a client wrote.
pub(crate) fn civil(day: i64) -> (i64, i64) {
    let (year, month, _) = civil_date(day);
    (year, month)
}

/// Year, month and day of the month; the algorithm is Howard Hinnant's `civil_from_days`.
pub(crate) fn civil_date(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_month)
}

fn truncate(values: &ArrayRef, width: u32) -> Result<ArrayRef> {
    if width == 0 {
        return Err(Error::new(ErrorKind::Corrupt, "a truncate transform has width 0"));
    }
    let w = i64::from(width);
    let characters = usize::try_from(width).unwrap_or(usize::MAX);
    Ok(match values.data_type() {
        DataType::Int32 => Arc::new(map::<Int32Type, Int32Type>(values, |v| {
            // Wraps at the lowest values, as Java's arithmetic does.
            (i64::from(v) - i64::from(v).rem_euclid(w)) as i32
        })),
        DataType::Int64 => Arc::new(map::<Int64Type, Int64Type>(values, |v| v.wrapping_sub(v.rem_euclid(w)))),
        DataType::Decimal128(p, s) => {
            let truncated =
                map::<Decimal128Type, Decimal128Type>(values, |v| v.wrapping_sub(v.rem_euclid(i128::from(width))));
            Arc::new(truncated.with_precision_and_scale(*p, *s).map_err(internal)?)
        }
        DataType::Utf8 => {
            let cut = |s: &'_ str| s.char_indices().nth(characters).map_or(s.len(), |(end, _)| end);
            Arc::new(StringArray::from_iter(values.as_string::<i32>().iter().map(|v| v.map(|s| &s[..cut(s)]))))
        }
        DataType::Binary => {
            let short = values.as_binary::<i32>().iter().map(|v| v.map(|b| &b[..b.len().min(characters)]));
            Arc::new(BinaryArray::from_iter(short))
        }
        _ => return Err(unsupported(values)),
    })
}

fn bucket(values: &ArrayRef, count: u32) -> Result<ArrayRef> {
    if count == 0 {
        return Err(Error::new(ErrorKind::Corrupt, "a bucket transform has 0 buckets"));
    }
    let of_hash = |hash: u32| ((hash & 0x7FFF_FFFF) % count) as i32;
    let of_bytes = |bytes: &[u8]| of_hash(murmur3(bytes));
    let of_long = |v: i64| of_bytes(&v.to_le_bytes());
    let buckets = match values.data_type() {
        DataType::Int32 => map::<Int32Type, Int32Type>(values, |v| of_long(i64::from(v))),
        DataType::Int64 => map::<Int64Type, Int32Type>(values, of_long),
        DataType::Date32 => map::<Date32Type, Int32Type>(values, |v| of_long(i64::from(v))),
        DataType::Time64(TimeUnit::Microsecond) => map::<Time64MicrosecondType, Int32Type>(values, of_long),
        DataType::Timestamp(TimeUnit::Microsecond, _) => map::<TimestampMicrosecondType, Int32Type>(values, of_long),
        // Nanoseconds hash as their microsecond, so that a promoted column keeps its buckets.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            map::<TimestampNanosecondType, Int32Type>(values, |v| of_long(v.div_euclid(1_000)))
        }
        DataType::Decimal128(..) => map::<Decimal128Type, Int32Type>(values, |v| of_bytes(&shortest(v))),
        DataType::Utf8 => {
            Int32Array::from_iter(values.as_string::<i32>().iter().map(|v| v.map(|s| of_bytes(s.as_bytes()))))
        }
        DataType::Binary => Int32Array::from_iter(values.as_binary::<i32>().iter().map(|v| v.map(of_bytes))),
        DataType::FixedSizeBinary(_) => {
            Int32Array::from_iter(values.as_fixed_size_binary().iter().map(|v| v.map(of_bytes)))
        }
        _ => return Err(unsupported(values)),
    };
    Ok(Arc::new(buckets))
}

/// The shortest big-endian two's complement encoding of a number.
fn shortest(v: i128) -> Vec<u8> {
    let bytes = v.to_be_bytes();
    let fill = if v < 0 { 0xFF } else { 0 };
    let redundant = bytes.windows(2).take_while(|w| w[0] == fill && (w[1] ^ fill) & 0x80 == 0).count();
    bytes[redundant..].to_vec()
}

/// MurmurHash3, x86, 32 bits, seed 0.
pub(crate) fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |k: u32| k.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0u32, |hash, block| {
        (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64)
    });
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash ^= mix(u32::from_le_bytes(last));
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xC2B2_AE35);
    hash ^ (hash >> 16)
}

fn map<S: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    values: &ArrayRef,
    f: impl Fn(S::Native) -> T::Native,
) -> PrimitiveArray<T> {
    values.as_primitive::<S>().unary(f)
}

fn unsupported(values: &ArrayRef) -> Error {
    Error::new(ErrorKind::Internal, format!("a transform was planned over {}", values.data_type()))
}

fn internal(e: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "computing a partition value").with_source(e)
}

/// The least text, at most as long as `prefix`, that is above all texts with this prefix; `None` if there is none.
pub(crate) fn above_all_with(prefix: impl Iterator<Item = char>) -> Option<String> {
    let mut kept: Vec<char> = prefix.collect();
    while let Some(last) = kept.pop() {
        if let Some(next) = next_char(last) {
            kept.push(next);
            return Some(kept.into_iter().collect());
        }
    }
    None
}

/// The next character. Between U+D7FF and U+E000 there are none.
fn next_char(c: char) -> Option<char> {
    match c {
        '\u{D7FF}' => Some('\u{E000}'),
        _ => char::from_u32(u32::from(c) + 1),
    }
}

#[cfg(test)]
#[path = "tests/transform.rs"]
mod tests;
