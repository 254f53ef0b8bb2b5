//! Infers columns for files without a table.
//!
//! All text files are read to their end. A guess from the first lines could fail on a later line, perhaps after hours,
//! and reading twice is cheap compared to writing a table.
//!
//! A number with a leading zero or a plus stays text, since it is a postcode or a telephone number. So does an integer
//! in CSV that BIGINT cannot hold; in JSON, where it is certainly a number, it is a DECIMAL(38,0). A column without any
//! value is text too. No digit of an integer is lost: if one is too large for a DOUBLE and others have fractions, the
//! column is text, and in JSON lines this is an error.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};

use crate::csv::{Records, check_count, header};
use crate::describe::{a_type, clipped, quoted, sql_type};
use crate::error::{Bad, Error, Result};
use crate::json::{self, Json};
use crate::lines::Lines;
use crate::open::{Format, Input};
use crate::parquet;
use crate::value;

/// The columns of all `inputs` together, each nullable unless every file is Parquet and declares it NOT NULL. Lines
/// that are not records are skipped if they will be `rejected`, and are an error otherwise.
pub(crate) fn schema(inputs: &[Input], rejected: bool) -> Result<Schema> {
    let mut csv: Vec<(String, Scalar)> = Vec::new();
    let mut json = Shape::Nothing;
    // All text files together determine common types; one file of each format then represents the others.
    for input in inputs {
        match input.format {
            Format::Csv | Format::Tsv => observe_csv(input, rejected, &mut csv)?,
            Format::JsonLines => observe_json(&input.file, rejected, &mut json)?,
            Format::Parquet => {}
        }
    }
    let mut all = Vec::new();
    let mut seen: Vec<(&Path, Format)> = Vec::new();
    for Input { file, format, .. } in inputs {
        let known = seen.iter().any(|(_, f)| f.is_csv() && format.is_csv() || f == format);
        let fields = match format {
            Format::Csv | Format::Tsv if known => continue,
            Format::JsonLines if known => continue,
            Format::Csv | Format::Tsv => {
                csv.iter().map(|(name, scalar)| Arc::new(Field::new(name, scalar.data_type(), true))).collect()
            }
            Format::JsonLines => json.fields(file)?,
            Format::Parquet => parquet::schema(file)?.fields,
        };
        unite(&mut all, seen.first().map(|(f, _)| *f), file, &fields)?;
        seen.push((file, *format));
    }
    Ok(Schema::new(all))
}

/// Merges the columns of two files without a table: all names, each with one type.
pub(crate) fn unite(all: &mut Vec<FieldRef>, seen: Option<&Path>, file: &Path, fields: &Fields) -> Result<()> {
    let Some(first_file) = seen else {
        all.extend(fields.iter().cloned());
        return Ok(());
    };
    for known in all.iter_mut() {
        match fields.find(known.name()) {
            Some((_, field)) if field.data_type() == known.data_type() => {
                if field.is_nullable() && !known.is_nullable() {
                    *known = Arc::clone(field);
                }
            }
            Some((_, field)) => {
                let reason = format!(
                    "column {} is {}, but {} in {} or a file after it",
                    field.name(),
                    a_type(field.data_type()),
                    sql_type(known.data_type()),
                    first_file.display()
                );
                return Err(Error::Columns { file: file.to_owned(), reason });
            }
            None => *known = Arc::new(known.as_ref().clone().with_nullable(true)),
        }
    }
    for field in fields {
        if !all.iter().any(|known| known.name() == field.name()) {
            all.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        }
    }
    Ok(())
}

/// All integers up to this one are exact as DOUBLE.
const EXACT_IN_A_DOUBLE: u64 = 1 << 53;
/// Digits of the largest DECIMAL.
const HUGE_DIGITS: u8 = 38;

/// The narrowest kind of all texts of a column so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Nothing,
    Boolean,
    /// An integer that is exact as DOUBLE.
    Integer,
    /// An integer that BIGINT can hold, but that is not exact as DOUBLE.
    Wide,
    /// An integer that only a DECIMAL can hold.
    Huge,
    Double,
    Date,
    Timestamp,
    ZonedTimestamp,
    Text,
}

impl Scalar {
    fn of(text: &str) -> Self {
        let text = text.trim();
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let padded = unsigned.len() > 1 && unsigned.starts_with('0') && !unsigned.starts_with("0.");
        match unsigned.bytes().next() {
            Some(b'0'..=b'9') if unsigned.bytes().all(|b| b.is_ascii_digit()) => match text.parse::<i64>() {
                Ok(value) if !padded && value.unsigned_abs() <= EXACT_IN_A_DOUBLE => Self::Integer,
                Ok(_) if !padded => Self::Wide,
                _ => Self::Text,
            },
            Some(b'0'..=b'9') if value::date(text).is_some() => Self::Date,
            Some(b'0'..=b'9') => match value::moment(text) {
                Some(moment) if moment.offset.is_some() => Self::ZonedTimestamp,
                Some(_) => Self::Timestamp,
                None if !padded && value::double(text).is_some() => Self::Double,
                None => Self::Text,
            },
            Some(b'.') if value::double(text).is_some() => Self::Double,
            _ if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") => Self::Boolean,
            _ => Self::Text,
        }
    }

    /// The kind of a JSON number.
    fn of_number(text: &str) -> Self {
        let is_whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match Self::of(text) {
            Self::Text if !is_whole => Self::Double,
            Self::Text if value::decimal(text, HUGE_DIGITS, 0).is_some() => Self::Huge,
            seen => seen,
        }
    }

    /// The narrowest kind that includes both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Nothing, a) | (a, Self::Nothing) => a,
            (Self::Integer, Self::Double) | (Self::Double, Self::Integer) => Self::Double,
            (Self::Integer, Self::Wide) | (Self::Wide, Self::Integer) => Self::Wide,
            (Self::Integer | Self::Wide, Self::Huge) | (Self::Huge, Self::Integer | Self::Wide) => Self::Huge,
            (Self::Date, Self::Timestamp) | (Self::Timestamp, Self::Date) => Self::Timestamp,
            _ => Self::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer | Self::Wide => DataType::Int64,
            Self::Huge => DataType::Decimal128(HUGE_DIGITS, 0),
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::ZonedTimestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Nothing | Self::Text => DataType::Utf8,
        }
    }
}

fn observe_csv(input: &Input, rejected: bool, columns: &mut Vec<(String, Scalar)>) -> Result<()> {
    let mut records = Records::open(&input.file, input.delimiter)?;
    let header = header(&mut records)?;
    let mut indices = Vec::with_capacity(header.len());
    for name in header {
        indices.push(columns.iter().position(|(known, _)| *known == name).unwrap_or(columns.len()));
        if indices.last() == Some(&columns.len()) {
            columns.push((name, Scalar::Nothing));
        }
    }
    while let Some(split) = records.read()? {
        let observed = split.and_then(|()| check_count(records.len(), indices.len())).and_then(|()| {
            for ((field, _), index) in records.fields().zip(&indices) {
                let (name, scalar) = &mut columns[*index];
                let text = std::str::from_utf8(field).map_err(|_| {
                    Bad::line(format!("{} is not valid UTF-8", quoted(&String::from_utf8_lossy(field)))).within(name)
                })?;
                if *scalar != Scalar::Text && !text.is_empty() {
                    *scalar = scalar.with(Scalar::of(text));
                }
            }
            Ok(())
        });
        if let (Err(bad), false) = (observed, rejected) {
            return Err(line_error(&input.file, records.line(), bad));
        }
    }
    Ok(())
}

/// The shape of all values of a JSON key so far.
enum Shape {
    Nothing,
    /// Numbers, booleans, and strings that may look like dates; `true` for strings.
    Scalar(Scalar, bool),
    List(Box<Shape>),
    Object(Vec<(String, Shape)>),
}

impl Shape {
    fn observe(&mut self, value: Json<'_>) -> Result<(), Bad> {
        let kind = value.kind();
        if matches!(self, Self::Nothing) {
            *self = match kind {
                json::Kind::Null => return Ok(()),
                json::Kind::Object => Self::Object(Vec::new()),
                json::Kind::Array => Self::List(Box::new(Self::Nothing)),
                _ => Self::Scalar(Scalar::Nothing, kind == json::Kind::String),
            };
        }
        match (self, kind) {
            (_, json::Kind::Null) => Ok(()),
            (Self::Object(known), json::Kind::Object) => {
                for (at, (key, value)) in value.entries()?.enumerate() {
                    // Most objects have their keys in the same order as the first.
                    let index = match known.get(at) {
                        Some((name, _)) if *name == key => Some(at),
                        _ => known.iter().position(|(name, _)| *name == key),
                    };
                    let index = index.unwrap_or_else(|| {
                        known.push((key.clone().into_owned(), Self::Nothing));
                        known.len() - 1
                    });
                    known[index].1.observe(value).map_err(|bad| bad.within(&key))?;
                }
                Ok(())
            }
            (Self::List(item), json::Kind::Array) => value.items()?.try_for_each(|i| item.observe(i)),
            (Self::Scalar(scalar, true), json::Kind::String) => {
                if *scalar != Scalar::Text {
                    let seen = match Scalar::of(&value.string()?) {
                        dated @ (Scalar::Date | Scalar::Timestamp | Scalar::ZonedTimestamp) => dated,
                        _ => Scalar::Text,
                    };
                    *scalar = scalar.with(seen);
                }
                Ok(())
            }
            (Self::Scalar(scalar, false), json::Kind::Boolean | json::Kind::Number) => {
                let seen = Scalar::of_number(value.text());
                if (*scalar == Scalar::Boolean) != (seen == Scalar::Boolean) && *scalar != Scalar::Nothing {
                    return Err(scalar_conflict(*scalar, value));
                }
                *scalar = match scalar.with(seen) {
                    Scalar::Text => return Err(would_lose_digits(value)),
                    both => both,
                };
                Ok(())
            }
            (Self::Scalar(scalar, _), _) => Err(scalar_conflict(*scalar, value)),
            (Self::List(_), _) => Err(conflict("a LIST", value)),
            (Self::Object(_), _) => Err(conflict("a STRUCT", value)),
            (Self::Nothing, _) => Ok(()),
        }
    }

    fn field(&self, name: &str) -> Result<FieldRef, String> {
        let ty = match self {
            Self::Nothing => DataType::Utf8,
            Self::Scalar(scalar, _) => scalar.data_type(),
            Self::List(item) => DataType::List(item.field("element")?),
            Self::Object(known) if known.is_empty() => {
                return Err(format!("{name} is an object without keys in every line"));
            }
            Self::Object(known) => DataType::Struct(known.iter().map(|(n, s)| s.field(n)).collect::<Result<_, _>>()?),
        };
        Ok(Arc::new(Field::new(name, ty, true)))
    }

    /// The columns of the top-level objects.
    fn fields(&self, file: &Path) -> Result<Fields> {
        let Self::Object(known) = self else {
            return Err(Error::Unusable {
                file: file.to_owned(),
                reason: "is empty: there is no line to infer columns from".into(),
            });
        };
        known
            .iter()
            .map(|(name, shape)| shape.field(name))
            .collect::<Result<_, _>>()
            .map_err(|reason| Error::Columns { file: file.to_owned(), reason: format!("column {reason}") })
    }
}

fn would_lose_digits(value: Json<'_>) -> Bad {
    let shown = clipped(value.text());
    Bad::line(format!(
        "{shown}, with the numbers of the lines before, fits neither BIGINT nor DECIMAL({HUGE_DIGITS},0), and digits \
         would be lost in a DOUBLE; \
         to choose the type, create the table first"
    ))
}

fn scalar_conflict(before: Scalar, value: Json<'_>) -> Bad {
    conflict(&a_type(&before.data_type()), value)
}

fn conflict(before: &str, value: Json<'_>) -> Bad {
    let shown = clipped(value.text());
    Bad::line(format!("{shown} is not {before}, as in the lines before; to choose the type, create the table first"))
}

fn observe_json(file: &Path, rejected: bool, shape: &mut Shape) -> Result<()> {
    let mut lines = Lines::open(file)?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if !lines.read(&mut line)? {
            return Ok(());
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        // A line that is not an object will be rejected when it is read. If values differ in kind, the type is
        // undetermined, and rejecting the kind that comes second would be a guess.
        let object = match Json::object(&line).and_then(|object| object.entries().map(|_| object)) {
            Err(_) if rejected => continue,
            other => other,
        };
        object.and_then(|o| shape.observe(o)).map_err(|bad| line_error(file, lines.number(), bad))?;
    }
}

fn line_error(file: &Path, line: u64, bad: Bad) -> Error {
    Error::Line { file: file.to_owned(), line, column: bad.column, reason: bad.reason }
}
