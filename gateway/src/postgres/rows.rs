//! Rows as clients of Postgres get them: types, and values in text or binary form.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Schema, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{BufMut, BytesMut};
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::StreamExt;
use pgwire::messages::data::{DataRow, FieldDescription, RowDescription};

use super::RunsFor;
use super::oid::{self, EPOCH_DAYS, EPOCH_MICROS};
use crate::error::{Error, ErrorKind, Result};
use crate::nested::nested_as_json;

/// As Postgres shows values with `datestyle = ISO`.
const TEXT: FormatOptions = FormatOptions::new()
    .with_date_format(Some("%Y-%m-%d"))
    .with_time_format(Some("%H:%M:%S%.f"))
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));

/// The type to which a column is converted before it is encoded.
fn plain(of: &DataType) -> DataType {
    match oid::of(of) {
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        oid::INT8 => DataType::Int64,
        oid::FLOAT4 => DataType::Float32,
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => match of {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            _ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        },
        oid::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        oid::BYTEA => DataType::Binary,
        oid::TEXT | oid::JSON => DataType::Utf8,
        _ => match of {
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            of => of.clone(),
        },
    }
}

/// The forms in which a client wants columns: one for each, one for all, or none for text.
#[derive(Debug, Clone, Default)]
pub(super) struct Formats(pub Vec<i16>);

impl Formats {
    /// Checks that there are as many as columns.
    pub(super) fn check(&self, columns: usize) -> Result<()> {
        if self.0.len() <= 1 || self.0.len() == columns {
            return Ok(());
        }
        let what = format!("{} formats are given for {columns} columns", self.0.len());
        Err(Error::new(ErrorKind::InvalidInput, what))
    }

    fn is_binary(&self, n: usize) -> bool {
        self.0.get(n).or(self.0.first().filter(|_| self.0.len() == 1)).is_some_and(|format| *format == 1)
    }
}

/// The columns of a result.
pub(super) fn description(schema: &Schema, formats: &Formats) -> RowDescription {
    let field = |(n, field): (usize, &Arc<Field>)| {
        let of_type = oid::of(field.data_type());
        let (name, width) = (field.name().clone(), oid::width(of_type));
        FieldDescription::new(name, 0, 0, of_type, width, -1, formats.is_binary(n).into())
    };
    RowDescription::new(schema.fields().iter().enumerate().map(field).collect())
}

/// The rows of a query, as messages. It runs until they are read or dropped.
pub(super) struct Rows {
    rows: SendableRecordBatchStream,
    formats: Formats,
    encoded: std::vec::IntoIter<DataRow>,
    _runs: Option<RunsFor>,
}

impl Rows {
    /// Rows in these forms.
    pub(super) fn new(rows: SendableRecordBatchStream, formats: &Formats, runs: Option<RunsFor>) -> Result<Self> {
        formats.check(rows.schema().fields().len())?;
        Ok(Self { rows, formats: formats.clone(), encoded: Vec::new().into_iter(), _runs: runs })
    }

    pub(super) fn description(&self) -> RowDescription {
        description(&self.rows.schema(), &self.formats)
    }

    /// The next row; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<DataRow>> {
        loop {
            if let Some(row) = self.encoded.next() {
                return Ok(Some(row));
            }
            match self.rows.next().await {
                Some(batch) => self.encoded = encode(&batch.map_err(Error::from)?, &self.formats)?.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

fn encode(batch: &RecordBatch, formats: &Formats) -> Result<Vec<DataRow>> {
    let batch = nested_as_json(batch)?;
    let columns = batch.columns().iter().map(|column| Ok(cast(column, &plain(column.data_type()))?));
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let texts = columns.iter().map(|column| Ok(ArrayFormatter::try_new(column.as_ref(), &TEXT)?));
    let texts = texts.collect::<Result<Vec<_>>>()?;
    let count = i16::try_from(columns.len())
        .map_err(|_| Error::new(ErrorKind::Unsupported, "a result has at most 32767 columns in this protocol"))?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    let (mut data, mut scratch) = (BytesMut::new(), String::new());
    for row in 0..batch.num_rows() {
        for (n, (column, text)) in columns.iter().zip(&texts).enumerate() {
            if column.is_null(row) {
                data.put_i32(-1);
                continue;
            }
            let start = data.len();
            data.put_i32(0);
            if formats.is_binary(n) {
                put_binary(&mut data, column, text, row)?;
            } else {
                scratch.clear();
                put_text(&mut scratch, column, text, row)?;
                data.put_slice(scratch.as_bytes());
            }
            let length = i32::try_from(data.len() - start - 4)
                .map_err(|_| Error::new(ErrorKind::Unsupported, "a value has at most 2 GiB in this protocol"))?;
            data[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        rows.push(DataRow::new(data.split(), count));
    }
    Ok(rows)
}

fn put_text(to: &mut String, column: &ArrayRef, text: &ArrayFormatter<'_>, row: usize) -> Result<()> {
    let written = match column.data_type() {
        DataType::Boolean => to.write_str(if column.as_boolean().value(row) { "t" } else { "f" }),
        DataType::Binary => {
            let bytes = column.as_binary::<i32>().value(row);
            to.push_str("\\x");
            bytes.iter().try_for_each(|byte| write!(to, "{byte:02x}"))
        }
        DataType::Float32 => put_float(to, column.as_primitive::<Float32Type>().value(row).into(), text, row),
        DataType::Float64 => put_float(to, column.as_primitive::<Float64Type>().value(row), text, row),
        DataType::Interval(_) => {
            let value = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
            put_interval(to, value.months, value.days, value.nanoseconds / 1000)
        }
        _ => write!(to, "{}", text.value(row)),
    };
    written.map_err(|e| Error::new(ErrorKind::Internal, format!("a value cannot be shown: {e}")))
}

fn put_float(to: &mut String, value: f64, text: &ArrayFormatter<'_>, row: usize) -> std::fmt::Result {
    match value {
        f64::INFINITY => to.write_str("Infinity"),
        f64::NEG_INFINITY => to.write_str("-Infinity"),
        _ => write!(to, "{}", text.value(row)),
    }
}

/// `1 mons 2 days 03:04:05.000006`.
fn put_interval(to: &mut String, months: i32, days: i32, micros: i64) -> std::fmt::Result {
    if months != 0 {
        write!(to, "{months} mons ")?;
    }
    if days != 0 {
        write!(to, "{days} days ")?;
    }
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, rest) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    write!(to, "{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    if rest != 0 { write!(to, ".{rest:06}") } else { Ok(()) }
}

fn put_binary(to: &mut BytesMut, column: &ArrayRef, text: &ArrayFormatter<'_>, row: usize) -> Result<()> {
    match column.data_type() {
        DataType::Boolean => to.put_u8(column.as_boolean().value(row).into()),
        DataType::Int16 => to.put_i16(column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => to.put_i32(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => to.put_i64(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => to.put_f32(column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => to.put_f64(column.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => {
            to.put_i32(column.as_primitive::<Date32Type>().value(row).saturating_sub(EPOCH_DAYS));
        }
        DataType::Time64(_) => to.put_i64(column.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(..) => {
            to.put_i64(column.as_primitive::<TimestampMicrosecondType>().value(row).saturating_sub(EPOCH_MICROS));
        }
        DataType::Interval(_) => {
            let value = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
            to.put_i64(value.nanoseconds / 1000);
            to.put_i32(value.days);
            to.put_i32(value.months);
        }
        DataType::Binary => to.put_slice(column.as_binary::<i32>().value(row)),
        DataType::Utf8 => to.put_slice(column.as_string::<i32>().value(row).as_bytes()),
        _ => put_numeric(to, &text.value(row).to_string()),
    }
    Ok(())
}

/// A number from its text: its count of groups of four digits, those before the point less one, its sign, the digits
/// after the point, and the groups.
fn put_numeric(to: &mut BytesMut, text: &str) {
    let (sign, digits) = text.strip_prefix('-').map_or((0, text), |digits| (0x4000, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{whole:0>width$}", width = whole.len().next_multiple_of(4));
    let after = format!("{fraction:0<width$}", width = fraction.len().next_multiple_of(4));
    let all = padded + &after;
    let groups: Vec<i16> = all.as_bytes().chunks(4).map(group).collect();
    let before = whole.len().div_ceil(4);
    let first = groups.iter().position(|group| *group != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|group| *group != 0).map_or(first, |last| last + 1);
    let short = |n: usize| i16::try_from(n).unwrap_or(i16::MAX);
    to.put_i16(short(last - first));
    to.put_i16(if first == last { 0 } else { short(before) - 1 - short(first) });
    to.put_i16(sign);
    to.put_i16(short(fraction.len()));
    groups[first..last].iter().for_each(|group| to.put_i16(*group));
}

fn group(digits: &[u8]) -> i16 {
    digits.iter().fold(0, |sum, digit| sum * 10 + i16::from(digit.wrapping_sub(b'0').min(9)))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, IntervalMonthDayNanoArray, ListArray,
        TimestampMicrosecondArray, UInt64Array,
    };
    use arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    /// The value of a column with one row, in a form.
    fn value(column: ArrayRef, format: &Formats) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
        encode(&batch, format).unwrap()[0].data[4..].to_vec()
    }

    #[test]
    fn values_are_shown_as_postgres_does() {
        let interval = |months, days, nanos| {
            Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(months, days, nanos)])) as ArrayRef
        };
        let time = TimestampMicrosecondArray::from(vec![1_771_027_200_500_000]);
        for (column, expected) in [
            (Arc::new(BooleanArray::from(vec![true])) as ArrayRef, "t"),
            (Arc::new(UInt64Array::from(vec![u64::MAX])), "18446744073709551615"),
            (Arc::new(Decimal128Array::from(vec![-150]).with_precision_and_scale(9, 2).unwrap()), "-1.50"),
            (Arc::new(Float64Array::from(vec![f64::NEG_INFINITY])), "-Infinity"),
            (Arc::new(Float64Array::from(vec![0.1])), "0.1"),
            (Arc::new(BinaryArray::from_vec(vec![b"\x00\xff"])), "\\x00ff"),
            (Arc::new(time.clone()), "2026-02-14 00:00:00.500"),
            (Arc::new(time.with_timezone("+09:00")), "2026-02-14 09:00:00.500+09:00"),
            (interval(1, 2, 3_723_000_004_000), "1 mons 2 days 01:02:03.000004"),
            (interval(0, 0, -1_000_000_000), "-00:00:01"),
            (Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None])])), "[1,null]"),
        ] {
            let shown = value(column, &Formats::default());
            assert_eq!(String::from_utf8(shown).unwrap(), expected);
        }
    }

    #[test]
    fn numbers_in_binary_form_have_groups_of_four_digits() {
        for (unscaled, scale, expected) in [
            (-1_234_567_i128, 2, [3_i16, 1, 0x4000, 2, 1, 2345, 6700].as_slice()),
            (5, 4, &[1, -1, 0, 4, 5]),
            (30_000, 0, &[1, 1, 0, 0, 3]),
            (0, 0, &[0, 0, 0, 0]),
        ] {
            let column = Decimal128Array::from(vec![unscaled]).with_precision_and_scale(38, scale).unwrap();
            let expected: Vec<u8> = expected.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(value(Arc::new(column), &Formats(vec![1])), expected, "{unscaled} {scale}");
        }
        let binary = value(Arc::new(Int64Array::from(vec![7])), &Formats(vec![1]));
        assert_eq!(binary, 7_i64.to_be_bytes());
    }

    #[test]
    fn a_null_has_no_value() {
        let batch =
            RecordBatch::try_from_iter_with_nullable([("c", Arc::new(Int64Array::from(vec![None])) as _, true)]);
        let batch = batch.unwrap();
        assert_eq!(encode(&batch, &Formats::default()).unwrap()[0].data.as_ref(), (-1_i32).to_be_bytes());
        assert!(Formats(vec![0, 0]).check(1).is_err());
    }
}
