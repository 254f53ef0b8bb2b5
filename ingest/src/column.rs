//! Columns that grow value by value and can be truncated, so that no value of a bad line remains.
//!
//! Arrow's builders cannot remove values, so these are plain vectors that become arrays at the end.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, MapArray, NullBufferBuilder, PrimitiveArray, StringArray, StructArray, Time64MicrosecondArray,
    new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Fields, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use chrono::{DateTime, Timelike, Utc};

use crate::describe::{a_type, clipped, did_you_mean, quoted};
use crate::error::Bad;
use crate::json::{self, Json};
use crate::value;

/// One column, or one field inside a column.
pub(crate) struct Column {
    field: FieldRef,
    values: Values,
    nulls: NullBufferBuilder,
}

enum Values {
    Boolean(BooleanBufferBuilder),
    /// Integers of all widths, with the range of the column's type.
    Integer(Vec<i64>, RangeInclusive<i64>),
    /// Doubles, and singles that are already rounded.
    Float(Vec<f64>),
    Decimal(Vec<i128>, u8, i8),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp(Vec<i64>, TimeUnit),
    /// The bytes of all texts, and the end of each.
    Text(Vec<u8>, Vec<i32>),
    Struct(Object),
    /// The items of all lists, and the end of each list.
    List(Box<Column>, Vec<i32>),
    /// Keys and values of all maps, and the end of each map.
    Map(Box<Column>, Box<Column>, Vec<i32>),
    /// Nulls of any type: the file has no such column, or text cannot express its values.
    Absent,
}

impl Column {
    /// A column whose values are in the file.
    pub(crate) fn new(field: &FieldRef) -> Self {
        let values = match field.data_type() {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Integer(Vec::new(), i8::MIN.into()..=i8::MAX.into()),
            DataType::Int16 => Values::Integer(Vec::new(), i16::MIN.into()..=i16::MAX.into()),
            DataType::Int32 => Values::Integer(Vec::new(), i32::MIN.into()..=i32::MAX.into()),
            DataType::Int64 => Values::Integer(Vec::new(), i64::MIN..=i64::MAX),
            DataType::UInt8 => Values::Integer(Vec::new(), 0..=u8::MAX.into()),
            DataType::UInt16 => Values::Integer(Vec::new(), 0..=u16::MAX.into()),
            DataType::UInt32 => Values::Integer(Vec::new(), 0..=u32::MAX.into()),
            // Tables store it as BIGINT, so larger values cannot be used.
            DataType::UInt64 => Values::Integer(Vec::new(), 0..=i64::MAX),
            DataType::Float32 | DataType::Float64 => Values::Float(Vec::new()),
            DataType::Decimal128(precision, scale) => Values::Decimal(Vec::new(), *precision, *scale),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Time64(_) => Values::Time(Vec::new()),
            DataType::Timestamp(unit, None) => Values::Timestamp(Vec::new(), *unit),
            DataType::Timestamp(unit, Some(zone)) if matches!(zone.as_ref(), "UTC" | "+00:00" | "Z") => {
                Values::Timestamp(Vec::new(), *unit)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Values::Text(Vec::new(), Vec::new()),
            DataType::Struct(fields) => Values::Struct(Object::new(fields)),
            DataType::List(item) => Values::List(Box::new(Self::new(item)), Vec::new()),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 && pair[0].data_type() == &DataType::Utf8 => {
                    Values::Map(Box::new(Self::new(&pair[0])), Box::new(Self::new(&pair[1])), Vec::new())
                }
                _ => Values::Absent,
            },
            // Binary, and types that tables do not have: text can only express null.
            _ => Values::Absent,
        };
        Self { field: Arc::clone(field), values, nulls: NullBufferBuilder::new(0) }
    }

    /// A column that the file does not have.
    pub(crate) fn absent(field: &FieldRef) -> Self {
        Self { field: Arc::clone(field), values: Values::Absent, nulls: NullBufferBuilder::new(0) }
    }

    pub(crate) fn name(&self) -> &str {
        self.field.name()
    }

    /// Whether a field of CSV can be a value of it.
    pub(crate) fn is_flat_text(&self) -> bool {
        !matches!(self.values, Values::Struct(_) | Values::List(..) | Values::Map(..) | Values::Absent)
    }

    fn is_text(&self) -> bool {
        matches!(self.values, Values::Text(..))
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Appends a field of a CSV record. An empty field is null; an empty field in quotes is an empty text.
    pub(crate) fn append_csv(&mut self, field: &[u8], in_quotes: bool) -> Result<(), Bad> {
        if field.is_empty() && !(in_quotes && self.is_text()) {
            return self.append_null();
        }
        let Ok(text) = std::str::from_utf8(field) else {
            let reason = format!("{} is not valid UTF-8", quoted(&String::from_utf8_lossy(field)));
            return Err(Bad::line(reason).within(self.name()));
        };
        // A space after the comma is not part of a number.
        let text = if self.is_text() { text } else { text.trim() };
        match self.push(text) {
            true => Ok(()),
            false => Err(self.wrong(&quoted(text))),
        }
    }

    /// Appends a value of a JSON object.
    pub(crate) fn append_json(&mut self, value: Json<'_>) -> Result<(), Bad> {
        let kind = value.kind();
        if kind == json::Kind::Null {
            return self.append_null();
        }
        let fits = match (&mut self.values, kind) {
            (Values::Absent, _) => false,
            (Values::Boolean(_), json::Kind::Boolean) => self.push(value.text()),
            (Values::Integer(..) | Values::Float(_) | Values::Decimal(..), json::Kind::Number) => {
                self.push(value.text())
            }
            // Amounts of money are often sent as strings so that no program converts them to floats.
            (
                Values::Text(..) | Values::Decimal(..) | Values::Date(_) | Values::Time(_) | Values::Timestamp(..),
                json::Kind::String,
            ) => {
                let text = value.string().map_err(|bad| bad.within(self.field.name()))?;
                self.push(&text)
            }
            (Values::Struct(object), json::Kind::Object) => {
                object.append(value).map_err(|bad| bad.within(self.field.name()))?;
                self.nulls.append_non_null();
                true
            }
            (Values::List(items, ends), json::Kind::Array) => {
                for item in value.items().map_err(|bad| bad.within(self.field.name()))? {
                    items.append_json(item).map_err(|bad| bad.within(self.field.name()))?;
                }
                ends.push(end(items.len())?);
                self.nulls.append_non_null();
                true
            }
            (Values::Map(keys, values, ends), json::Kind::Object) => {
                for (key, item) in value.entries().map_err(|bad| bad.within(self.field.name()))? {
                    keys.push(&key);
                    values.append_json(item).map_err(|bad| bad.within(self.field.name()))?;
                }
                ends.push(end(keys.len())?);
                self.nulls.append_non_null();
                true
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.wrong(&clipped(value.text()))) }
    }

    /// Appends a null if the column is nullable.
    pub(crate) fn append_null(&mut self) -> Result<(), Bad> {
        if !self.field.is_nullable() {
            return Err(Bad::line("null in a NOT NULL column").within(self.name()));
        }
        self.append_hole();
        Ok(())
    }

    /// Appends a null, also to a field that is not nullable, where the struct around it is null.
    fn append_hole(&mut self) {
        match &mut self.values {
            Values::Boolean(v) => v.append(false),
            Values::Integer(v, _) | Values::Time(v) | Values::Timestamp(v, _) => v.push(0),
            Values::Float(v) => v.push(0.0),
            Values::Decimal(v, ..) => v.push(0),
            Values::Date(v) => v.push(0),
            Values::Text(_, ends) | Values::List(_, ends) | Values::Map(.., ends) => {
                ends.push(ends.last().copied().unwrap_or(0));
            }
            Values::Struct(object) => object.columns.iter_mut().for_each(Self::append_hole),
            Values::Absent => {}
        }
        self.nulls.append_null();
    }

    /// Parses `text` and appends the value; returns false and appends nothing if it is not of the column's type.
    fn push(&mut self, text: &str) -> bool {
        let pushed = match &mut self.values {
            Values::Boolean(v) => value::boolean(text).map(|b| v.append(b)),
            Values::Integer(v, range) => value::integer(text).filter(|i| range.contains(i)).map(|i| v.push(i)),
            Values::Float(v) if self.field.data_type() == &DataType::Float32 => {
                value::single(text).map(|f| v.push(f.into()))
            }
            Values::Float(v) => value::double(text).map(|f| v.push(f)),
            Values::Decimal(v, precision, scale) => value::decimal(text, *precision, *scale).map(|d| v.push(d)),
            Values::Date(v) => value::date(text).map(|d| v.push(Date32Type::from_naive_date(d))),
            Values::Time(v) => value::time(text).map(|t| {
                v.push(i64::from(t.num_seconds_from_midnight()) * 1_000_000 + i64::from(t.nanosecond() / 1000));
            }),
            Values::Timestamp(v, unit) => {
                let zoned = matches!(self.field.data_type(), DataType::Timestamp(_, Some(_)));
                value::moment(text)
                    // A time without a zone is in UTC; one of another zone would be misread.
                    .filter(|m| zoned || m.offset.is_none_or(|offset| offset.is_zero()))
                    .and_then(value::in_utc)
                    .and_then(|utc| since_1970(utc, *unit))
                    .map(|t| v.push(t))
            }
            Values::Text(bytes, ends) => i32::try_from(bytes.len() + text.len()).ok().map(|end| {
                bytes.extend_from_slice(text.as_bytes());
                ends.push(end);
            }),
            Values::Struct(_) | Values::List(..) | Values::Map(..) | Values::Absent => None,
        };
        if pushed.is_some() {
            self.nulls.append_non_null();
        }
        pushed.is_some()
    }

    fn wrong(&self, shown: &str) -> Bad {
        let ty = a_type(self.field.data_type());
        let verb = if matches!(self.values, Values::Absent) { "cannot be read as" } else { "is not" };
        Bad::line(format!("{shown} {verb} {ty}")).within(self.name())
    }

    /// Removes all but the first `len` values.
    pub(crate) fn truncate(&mut self, len: usize) {
        fn total(ends: &[i32]) -> usize {
            ends.last().map_or(0, |end| usize::try_from(*end).unwrap_or(0))
        }
        match &mut self.values {
            Values::Boolean(v) => v.truncate(len.min(v.len())),
            Values::Integer(v, _) | Values::Time(v) | Values::Timestamp(v, _) => v.truncate(len),
            Values::Float(v) => v.truncate(len),
            Values::Decimal(v, ..) => v.truncate(len),
            Values::Date(v) => v.truncate(len),
            Values::Text(bytes, ends) => {
                ends.truncate(len);
                bytes.truncate(total(ends));
            }
            Values::Struct(object) => object.truncate(len),
            Values::List(items, ends) => {
                ends.truncate(len);
                items.truncate(total(ends));
            }
            Values::Map(keys, values, ends) => {
                ends.truncate(len);
                keys.truncate(total(ends));
                values.truncate(total(ends));
            }
            Values::Absent => {}
        }
        self.nulls.truncate(len.min(self.nulls.len()));
    }

    /// Returns all values as an array and empties the column.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let ty = self.field.data_type();
        let len = self.nulls.len();
        let nulls = self.nulls.finish();
        let array: ArrayRef = match &mut self.values {
            Values::Boolean(v) => Arc::new(BooleanArray::new(v.finish(), nulls)),
            Values::Integer(v, _) => Arc::new(Int64Array::new(std::mem::take(v).into(), nulls)),
            Values::Float(v) => Arc::new(Float64Array::new(std::mem::take(v).into(), nulls)),
            Values::Decimal(v, precision, scale) => Arc::new(
                Decimal128Array::new(std::mem::take(v).into(), nulls).with_precision_and_scale(*precision, *scale)?,
            ),
            Values::Date(v) => Arc::new(Date32Array::new(std::mem::take(v).into(), nulls)),
            Values::Time(v) => Arc::new(Time64MicrosecondArray::new(std::mem::take(v).into(), nulls)),
            Values::Timestamp(v, unit) => {
                let values = ScalarBuffer::from(std::mem::take(v));
                let DataType::Timestamp(_, zone) = ty else { unreachable!("timestamps are of a timestamp type") };
                match unit {
                    TimeUnit::Second => Arc::new(
                        PrimitiveArray::<TimestampSecondType>::new(values, nulls).with_timezone_opt(zone.clone()),
                    ),
                    TimeUnit::Millisecond => Arc::new(
                        PrimitiveArray::<TimestampMillisecondType>::new(values, nulls).with_timezone_opt(zone.clone()),
                    ),
                    TimeUnit::Microsecond => Arc::new(
                        PrimitiveArray::<TimestampMicrosecondType>::new(values, nulls).with_timezone_opt(zone.clone()),
                    ),
                    TimeUnit::Nanosecond => Arc::new(
                        PrimitiveArray::<TimestampNanosecondType>::new(values, nulls).with_timezone_opt(zone.clone()),
                    ),
                }
            }
            Values::Text(bytes, ends) => {
                let bytes = Buffer::from_vec(std::mem::take(bytes));
                Arc::new(StringArray::try_new(offsets(ends), bytes, nulls)?)
            }
            Values::Struct(object) => {
                let columns = object.finish()?;
                Arc::new(StructArray::try_new_with_length(object.fields.clone(), columns, nulls, len)?)
            }
            Values::List(items, ends) => {
                let field = Arc::clone(&items.field);
                Arc::new(ListArray::try_new(field, offsets(ends), items.finish()?, nulls)?)
            }
            Values::Map(keys, values, ends) => {
                let DataType::Map(entries, sorted) = ty else { unreachable!("maps are of a map type") };
                let pair = Fields::from(vec![Arc::clone(&keys.field), Arc::clone(&values.field)]);
                let both = StructArray::try_new(pair, vec![keys.finish()?, values.finish()?], None)?;
                Arc::new(MapArray::try_new(Arc::clone(entries), offsets(ends), both, nulls, *sorted)?)
            }
            Values::Absent => new_null_array(ty, len),
        };
        // Narrow integers, singles, large and view strings; the values were checked when they were appended.
        if array.data_type() == ty { Ok(array) } else { cast(&array, ty) }
    }
}

/// Columns by name: a JSON object, at the top level or nested.
pub(crate) struct Object {
    fields: Fields,
    columns: Vec<Column>,
    index: HashMap<String, usize>,
}

impl Object {
    pub(crate) fn new(fields: &Fields) -> Self {
        let columns = fields.iter().map(Column::new).collect();
        let index = fields.iter().enumerate().map(|(i, f)| (f.name().clone(), i)).collect();
        Self { fields: fields.clone(), columns, index }
    }

    /// Appends one value to each column. After an error the columns differ in length and must be truncated.
    pub(crate) fn append(&mut self, object: Json<'_>) -> Result<(), Bad> {
        let row = self.columns.first().map_or(0, Column::len);
        for (key, value) in object.entries()? {
            let Some(at) = self.index.get(key.as_ref()) else {
                let known = self.columns.iter().map(Column::name);
                let hint = did_you_mean(&key, known);
                return Err(Bad::line(format!("unknown key {}{hint}", quoted(&key))));
            };
            let column = &mut self.columns[*at];
            if column.len() > row {
                return Err(Bad::line("duplicate key").within(column.name()));
            }
            column.append_json(value)?;
        }
        for column in self.columns.iter_mut().filter(|c| c.len() == row) {
            column.append_null()?;
        }
        Ok(())
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        for column in &mut self.columns {
            column.truncate(len);
        }
    }

    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.columns.iter_mut().map(Column::finish).collect()
    }
}

fn end(len: usize) -> Result<i32, Bad> {
    i32::try_from(len).map_err(|_| Bad::line("too many items"))
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let ends = std::mem::take(ends);
    OffsetBuffer::new(std::iter::once(0).chain(ends).collect())
}

fn since_1970(utc: DateTime<Utc>, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => Some(utc.timestamp()),
        TimeUnit::Millisecond => Some(utc.timestamp_millis()),
        TimeUnit::Microsecond => Some(utc.timestamp_micros()),
        TimeUnit::Nanosecond => utc.timestamp_nanos_opt(),
    }
}
