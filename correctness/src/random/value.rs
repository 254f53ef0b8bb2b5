//! Types and values of random tables: those that Iceberg and DuckDB both have.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;
pub(crate) const MICROS_A_DAY: i64 = SECONDS_A_DAY * MICROS_A_SECOND;

/// The type of a column or expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ty {
    Int,
    BigInt,
    Double,
    Decimal(u8, u8),
    Bool,
    Text,
    Date,
    /// A timestamp without a zone.
    Time,
    /// An instant.
    Zoned,
}

/// A value that is not null.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Int(i64),
    Decimal(i128),
    Double(f64),
    Bool(bool),
    Text(String),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970.
    Time(i64),
}

impl Ty {
    pub(crate) fn arrow(self) -> DataType {
        match self {
            Ty::Int => DataType::Int32,
            Ty::BigInt => DataType::Int64,
            Ty::Double => DataType::Float64,
            Ty::Decimal(precision, scale) => DataType::Decimal128(precision, scale.cast_signed()),
            Ty::Bool => DataType::Boolean,
            Ty::Text => DataType::Utf8,
            Ty::Date => DataType::Date32,
            Ty::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
            Ty::Zoned => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    pub(crate) fn sql(self) -> String {
        match self {
            Ty::Int => "INT".into(),
            Ty::BigInt => "BIGINT".into(),
            Ty::Double => "DOUBLE".into(),
            Ty::Decimal(precision, scale) => format!("DECIMAL({precision}, {scale})"),
            Ty::Bool => "BOOLEAN".into(),
            Ty::Text => "VARCHAR".into(),
            Ty::Date => "DATE".into(),
            Ty::Time => "TIMESTAMP".into(),
            Ty::Zoned => "TIMESTAMP WITH TIME ZONE".into(),
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Ty::Int | Ty::BigInt | Ty::Double | Ty::Decimal(..))
    }

    /// The column with these values.
    pub(crate) fn array(self, cells: &[Option<&Cell>]) -> Result<ArrayRef, ArrowError> {
        let int = |c: &Option<&Cell>| match c {
            Some(Cell::Int(n) | Cell::Time(n)) => Some(*n),
            Some(Cell::Date(n)) => Some(i64::from(*n)),
            _ => None,
        };
        let ints = || cells.iter().map(int);
        let days = || ints().map(|n| n.and_then(|n| i32::try_from(n).ok()));
        Ok(match self {
            Ty::Int => Arc::new(Int32Array::from_iter(days())),
            Ty::Date => Arc::new(Date32Array::from_iter(days())),
            Ty::BigInt => Arc::new(Int64Array::from_iter(ints())),
            Ty::Time => Arc::new(TimestampMicrosecondArray::from_iter(ints())),
            Ty::Zoned => Arc::new(TimestampMicrosecondArray::from_iter(ints()).with_timezone("UTC")),
            Ty::Double => Arc::new(Float64Array::from_iter(cells.iter().map(|c| match c {
                Some(Cell::Double(x)) => Some(*x),
                _ => None,
            }))),
            Ty::Decimal(precision, scale) => {
                let numbers = cells.iter().map(|c| match c {
                    Some(Cell::Decimal(n)) => Some(*n),
                    _ => None,
                });
                let numbers = Decimal128Array::from_iter(numbers);
                Arc::new(numbers.with_precision_and_scale(precision, scale.cast_signed())?)
            }
            Ty::Bool => Arc::new(BooleanArray::from_iter(cells.iter().map(|c| match c {
                Some(Cell::Bool(b)) => Some(*b),
                _ => None,
            }))),
            Ty::Text => Arc::new(StringArray::from_iter(cells.iter().map(|c| match c {
                Some(Cell::Text(text)) => Some(text.as_str()),
                _ => None,
            }))),
        })
    }
}

impl Cell {
    /// The value as SQL, of exactly this type in every engine.
    pub(crate) fn sql(&self, ty: Ty) -> String {
        match self {
            Cell::Int(n) if ty == Ty::BigInt && n.unsigned_abs() < 1 << 31 => format!("CAST({n} AS BIGINT)"),
            Cell::Int(n) => n.to_string(),
            Cell::Decimal(n) => {
                let Ty::Decimal(_, scale) = ty else { return n.to_string() };
                format!("CAST('{}' AS {})", decimal_text(*n, scale), ty.sql())
            }
            Cell::Double(x) => format!("CAST({x:?} AS DOUBLE)"),
            Cell::Bool(b) => if *b { "TRUE" } else { "FALSE" }.into(),
            Cell::Text(text) => quoted(text),
            Cell::Date(days) => format!("DATE '{}'", date_text(i64::from(*days))),
            Cell::Time(micros) if ty == Ty::Zoned => {
                format!("CAST('{}+00:00' AS TIMESTAMP WITH TIME ZONE)", time_text(*micros))
            }
            Cell::Time(micros) => format!("TIMESTAMP '{}'", time_text(*micros)),
        }
    }
}

/// Text as SQL.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn decimal_text(unscaled: i128, scale: u8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Howard Hinnant's civil_from_days.
fn date_text(days: i64) -> String {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time_text(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(MICROS_A_DAY), micros.rem_euclid(MICROS_A_DAY));
    let (seconds, fraction) = (rest / MICROS_A_SECOND, rest % MICROS_A_SECOND);
    let mut text = date_text(days);
    // Writing to a String cannot fail.
    let _ = write!(text, " {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        let _ = write!(text, ".{fraction:06}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_sql() {
        let check = |cell: Cell, ty: Ty, expected: &str| assert_eq!(cell.sql(ty), expected);
        check(Cell::Int(-3), Ty::Int, "-3");
        check(Cell::Int(7), Ty::BigInt, "CAST(7 AS BIGINT)");
        check(Cell::Decimal(-5), Ty::Decimal(9, 2), "CAST('-0.05' AS DECIMAL(9, 2))");
        check(Cell::Double(0.25), Ty::Double, "CAST(0.25 AS DOUBLE)");
        check(Cell::Text("O'가".into()), Ty::Text, "'O''가'");
        check(Cell::Date(-1), Ty::Date, "DATE '1969-12-31'");
        check(Cell::Date(20_512), Ty::Date, "DATE '2026-02-28'");
        check(Cell::Time(-500_000), Ty::Time, "TIMESTAMP '1969-12-31 23:59:59.500000'");
        check(Cell::Time(0), Ty::Zoned, "CAST('1970-01-01 00:00:00+00:00' AS TIMESTAMP WITH TIME ZONE)");
    }
}
