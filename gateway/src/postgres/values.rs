//! The values that a client binds to parameters, as a row of columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    NullArray, RecordBatch, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use bytes::Bytes;

use super::oid::{self, EPOCH_DAYS, EPOCH_MICROS};
use crate::error::{Error, ErrorKind, Result};

/// The signs of a number.
const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_POSITIVE: u16 = 0;

/// Values as one row, a column for each; `None` if there are none. `types` are those of the parameters.
pub(super) fn bound(values: &[Option<Bytes>], formats: &[i16], types: &[u32]) -> Result<Option<RecordBatch>> {
    if values.is_empty() {
        return Ok(None);
    }
    if formats.len() > 1 && formats.len() != values.len() {
        return Err(invalid(format!("{} values are bound with {} formats", values.len(), formats.len())));
    }
    let mut columns = Vec::with_capacity(values.len());
    for (n, value) in values.iter().enumerate() {
        let of_type = types.get(n).copied().unwrap_or(oid::TEXT);
        let is_binary = formats.get(n).or(formats.first()).is_some_and(|format| *format == 1);
        let column: ArrayRef = match value {
            None => Arc::new(NullArray::new(1)),
            Some(bytes) if is_binary => binary(bytes, of_type).ok_or_else(|| unreadable(n, of_type))??,
            Some(bytes) => text(std::str::from_utf8(bytes).map_err(|_| unreadable(n, of_type))?, of_type)?,
        };
        columns.push((format!("${}", n + 1), column, true));
    }
    Ok(Some(RecordBatch::try_from_iter_with_nullable(columns)?))
}

/// A value in text form.
fn text(text: &str, of_type: u32) -> Result<ArrayRef> {
    let to = match of_type {
        oid::INT2 | oid::INT4 | oid::INT8 | oid::OID => DataType::Int64,
        oid::FLOAT4 | oid::FLOAT8 => DataType::Float64,
        oid::BOOL => DataType::Boolean,
        oid::NUMERIC => return decimal(text),
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        oid::BYTEA => {
            let bytes = text.strip_prefix("\\x").and_then(from_hex);
            let bytes = bytes.ok_or_else(|| invalid("binary values in text form are \\x and hexadecimal digits"))?;
            return Ok(Arc::new(BinaryArray::from_vec(vec![&bytes])));
        }
        _ => return Ok(Arc::new(StringArray::from(vec![text]))),
    };
    as_type(text, &to)
}

/// A text as a value of a type.
fn as_type(text: &str, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&StringArray::from(vec![text]), to, &options)
        .map_err(|e| invalid(format!("{text:?} is no value of a parameter: {e}")))
}

/// A number with as many digits after the point as its text.
fn decimal(text: &str) -> Result<ArrayRef> {
    let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    match i8::try_from(scale) {
        Ok(scale) if scale <= 38 && !text.contains(['e', 'E']) => as_type(text, &DataType::Decimal128(38, scale)),
        _ => as_type(text, &DataType::Float64),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// A value in binary form; `None` if it is of another length than its type.
fn binary(bytes: &[u8], of_type: u32) -> Option<Result<ArrayRef>> {
    let column: ArrayRef = match of_type {
        oid::BOOL => Arc::new(BooleanArray::from(vec![*bytes.first()? != 0])),
        oid::INT2 => Arc::new(Int16Array::from(vec![i16::from_be_bytes(bytes.try_into().ok()?)])),
        oid::INT4 | oid::OID => Arc::new(Int32Array::from(vec![i32::from_be_bytes(bytes.try_into().ok()?)])),
        oid::INT8 => Arc::new(Int64Array::from(vec![i64::from_be_bytes(bytes.try_into().ok()?)])),
        oid::FLOAT4 => Arc::new(Float32Array::from(vec![f32::from_be_bytes(bytes.try_into().ok()?)])),
        oid::FLOAT8 => Arc::new(Float64Array::from(vec![f64::from_be_bytes(bytes.try_into().ok()?)])),
        oid::BYTEA => Arc::new(BinaryArray::from_vec(vec![bytes])),
        oid::DATE => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?);
            Arc::new(Date32Array::from(vec![days.checked_add(EPOCH_DAYS)?]))
        }
        oid::TIME => Arc::new(Time64MicrosecondArray::from(vec![i64::from_be_bytes(bytes.try_into().ok()?)])),
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_MICROS)?;
            let times = TimestampMicrosecondArray::from(vec![micros]);
            Arc::new(if of_type == oid::TIMESTAMPTZ { times.with_timezone("UTC") } else { times })
        }
        oid::NUMERIC => return Some(decimal(&numeric(bytes)?)),
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::UNKNOWN | oid::JSON => {
            Arc::new(StringArray::from(vec![std::str::from_utf8(bytes).ok()?]))
        }
        oid::UUID if bytes.len() == 16 => {
            let uuid = uuid::Uuid::from_slice(bytes).ok()?;
            Arc::new(StringArray::from(vec![uuid.to_string()]))
        }
        _ => return None,
    };
    Some(Ok(column))
}

/// The text of a number: its count of digits, of groups before the point, its sign and scale, and groups of four
/// digits.
fn numeric(bytes: &[u8]) -> Option<String> {
    let words: Vec<u16> =
        bytes.chunks(2).map(|pair| pair.try_into().ok().map(u16::from_be_bytes)).collect::<Option<_>>()?;
    let ([count, weight, sign, scale], groups) = words.split_first_chunk::<4>()?;
    if groups.len() != usize::from(*count) || ![NUMERIC_NEGATIVE, NUMERIC_POSITIVE].contains(sign) {
        return None;
    }
    let weight = i32::from(weight.cast_signed());
    let group = |at: i32| {
        let at = usize::try_from(weight - at).ok();
        format!("{:04}", at.and_then(|at| groups.get(at)).unwrap_or(&0))
    };
    let whole: String = (0..=weight.max(0)).rev().map(group).collect();
    let whole = whole.trim_start_matches('0');
    let scale = usize::from(*scale);
    let groups_after = i32::try_from(scale.div_ceil(4)).ok()?;
    let fraction: String = (1..=groups_after).map(|n| group(-n)).collect();
    let sign = if *sign == NUMERIC_NEGATIVE { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{}", &fraction[..scale]) })
}

fn unreadable(n: usize, of_type: u32) -> Error {
    invalid(format!("the value of ${} cannot be read as {}; send it as text", n + 1, oid::name(of_type)))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn shown(column: Result<ArrayRef>) -> String {
        column.map_or_else(|e| e.to_string(), |column| array_value_to_string(&column, 0).unwrap())
    }

    #[test]
    fn values_in_text_form_have_the_type_of_their_parameter() {
        for (value, of_type, expected) in [
            ("42", oid::INT4, "42"),
            ("-1.50", oid::NUMERIC, "-1.50"),
            ("t", oid::BOOL, "true"),
            ("2026-02-14", oid::DATE, "2026-02-14"),
            ("2026-02-14 01:02:03.5", oid::TIMESTAMP, "2026-02-14T01:02:03.500"),
            ("2026-02-14 09:00:00+09:00", oid::TIMESTAMPTZ, "2026-02-14T00:00:00Z"),
            ("\\x00ff", oid::BYTEA, "00ff"),
            ("it's", oid::TEXT, "it's"),
            ("42", oid::UNKNOWN, "42"),
        ] {
            assert_eq!(shown(text(value, of_type)), expected, "{value} as {of_type}");
        }
        assert!(text("many", oid::INT4).is_err());
    }

    #[test]
    fn values_in_binary_form_have_the_type_of_their_parameter() {
        let numeric = |words: &[i16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        for (bytes, of_type, expected) in [
            (7_i16.to_be_bytes().to_vec(), oid::INT2, "7"),
            (1.5_f64.to_be_bytes().to_vec(), oid::FLOAT8, "1.5"),
            (1_i32.to_be_bytes().to_vec(), oid::DATE, "2000-01-02"),
            (1_000_000_i64.to_be_bytes().to_vec(), oid::TIMESTAMPTZ, "2000-01-01T00:00:01Z"),
            (numeric(&[3, 1, 0x4000, 2, 1, 2345, 6700]), oid::NUMERIC, "-12345.67"),
            (numeric(&[1, -1, 0, 4, 5]), oid::NUMERIC, "0.0005"),
            (numeric(&[1, 1, 0, 0, 3]), oid::NUMERIC, "30000"),
            (numeric(&[0, 0, 0, 0]), oid::NUMERIC, "0"),
        ] {
            assert_eq!(shown(binary(&bytes, of_type).unwrap()), expected, "{of_type}");
        }
        assert!(binary(&[1, 2, 3], oid::INT4).is_none());
    }
}
