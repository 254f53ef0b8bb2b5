//! The values that a column may have in the rows of a file, according to the file's manifest.
//!
//! They are known from the bounds and counts of the column, and from the partition value of each transform of the
//! column. A partition value stands for all values that the transform maps to it, which is a range for every transform
//! that preserves order. Both are combined as ranges of the column's own values, so that one evaluation serves for
//! Iceberg's inclusive and strict projections (the Iceberg specification, "Scan Planning"; `ProjectionUtil`,
//! `InclusiveMetricsEvaluator` and `StrictMetricsEvaluator` in Java).

use std::cmp::Ordering;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use iceberg::spec::{DataFile, Literal, NestedField, PartitionSpec, PrimitiveLiteral, PrimitiveType, Transform, Type};

use super::predicate::Operand;
use crate::bridge;
use crate::table::transform::{above_all_with, civil_days};

/// The possible values of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    /// No value is less; NaN is not counted.
    pub(super) low: Option<ScalarValue>,
    /// No value is greater; NaN is not counted.
    pub(super) high: Option<ScalarValue>,
    /// Whether a row may have NULL.
    pub(super) has_null: bool,
    /// Whether a row may have a value.
    pub(super) has_value: bool,
    /// Whether a row may have NaN.
    pub(super) has_nan: bool,
    /// Prefix of all texts.
    prefix: Option<String>,
    /// The buckets that all values fall into, as (number of buckets, bucket).
    buckets: Vec<(u32, i32)>,
}

impl Values {
    /// Anything.
    fn any(column: &NestedField) -> Self {
        let (has_null, has_nan) = (!column.required, is_float(column));
        Self { low: None, high: None, has_null, has_value: true, has_nan, prefix: None, buckets: Vec::new() }
    }

    /// The possible values of `column` in a file.
    pub(super) fn in_file(column: &NestedField, file: &DataFile, spec: Option<&PartitionSpec>) -> Self {
        let mut values = Self::any(column);
        let id = &column.id;
        match file.null_value_counts().get(id) {
            Some(0) => values.has_null = false,
            Some(nulls) if *nulls == file.record_count() => values.has_value = false,
            _ => {}
        }
        if file.nan_value_counts().get(id) == Some(&0) {
            values.has_nan = false;
        }
        let bound = |bounds: &std::collections::HashMap<i32, iceberg::spec::Datum>| {
            // A column may have been widened after the file or the condition was written.
            in_type(&bridge::scalar(bounds.get(id)?)?, &arrow_type(column)?).filter(|v| !is_nan(v))
        };
        values.low = bound(file.lower_bounds());
        values.high = bound(file.upper_bounds());
        let partition = file.partition().fields();
        for (field, value) in spec.iter().flat_map(|spec| spec.fields()).zip(partition) {
            if field.source_id == column.id {
                values.narrow(column, field.transform, value.as_ref());
            }
        }
        values
    }

    /// The possible values of `column` in the files of a manifest, by the least and the greatest of their partition
    /// values under transforms of it.
    pub(super) fn in_manifest(column: &NestedField, summaries: impl Iterator<Item = (Transform, Summary)>) -> Self {
        let mut values = Self::any(column);
        for (transform, summary) in summaries.filter(|(transform, _)| is_null_of_null(*transform)) {
            values.has_null &= summary.has_null;
            if summary.has_null && !summary.has_nan && summary.low.is_none() && summary.high.is_none() {
                // Any other value would be a bound (`allValuesAreNull` of Java's `ManifestEvaluator`).
                values.has_value = false;
            }
            let (Some(low), Some(high)) = (&summary.low, &summary.high) else { continue };
            let Some(ty) = arrow_type(column) else { continue };
            let [least, greatest] = [low, high].map(|value| range(transform, value, &ty));
            if let (Some(least), Some(greatest)) = (least, greatest) {
                values.intersect(least.0, greatest.1);
            }
        }
        values
    }

    /// Narrows the values by a partition value.
    fn narrow(&mut self, column: &NestedField, transform: Transform, value: Option<&Literal>) {
        let Some(value) = value else {
            self.has_value &= !is_null_of_null(transform);
            return;
        };
        self.has_null &= !is_null_of_null(transform);
        let Literal::Primitive(literal) = value else { return };
        if let (Transform::Bucket(count), PrimitiveLiteral::Int(bucket)) = (transform, literal) {
            self.buckets.push((count, *bucket));
            return;
        }
        let Some(ty) = arrow_type(column) else { return };
        let Some(value) = partition_scalar(column, transform, literal) else { return };
        if let Some((low, high)) = range(transform, &value, &ty) {
            self.intersect(low, high);
        }
        if let (Transform::Truncate(_), ScalarValue::Utf8(Some(text))) = (transform, value) {
            self.prefix = Some(text);
        }
    }

    fn intersect(&mut self, low: Option<ScalarValue>, high: Option<ScalarValue>) {
        let tighter = |new: Option<ScalarValue>, old: Option<ScalarValue>, keep: Ordering| match (new, old) {
            (Some(new), Some(old)) if new.partial_cmp(&old) == Some(keep) => Some(old),
            (Some(new), _) => Some(new),
            (None, old) => old,
        };
        self.low = tighter(low, self.low.take(), Ordering::Less);
        self.high = tighter(high, self.high.take(), Ordering::Greater);
    }

    /// Whether values less than, equal to and greater than the operand are possible.
    pub(super) fn compared(&self, operand: &Operand) -> [bool; 3] {
        let value = &operand.value;
        if is_nan(value) {
            return [true; 3];
        }
        let order = |bound: &Option<ScalarValue>| bound.as_ref().and_then(|b| number_cmp(b, value));
        let (low, high) = (order(&self.low), order(&self.high));
        let has_both = is_zero(value);
        // NaN has a sign too: it is greater than all numbers, or less (IEEE 754, totalOrder, by which rows are
        // compared).
        let less = low.is_none_or(|o| o == Ordering::Less || (has_both && o == Ordering::Equal)) || self.has_nan;
        let greater = high.is_none_or(|o| o == Ordering::Greater || (has_both && o == Ordering::Equal)) || self.has_nan;
        let within = low.is_none_or(|o| o != Ordering::Greater) && high.is_none_or(|o| o != Ordering::Less);
        [less, within && self.may_have(operand), greater]
    }

    /// Whether values among these sorted operands, and other values, are possible.
    pub(super) fn among(&self, operands: &[Operand]) -> [bool; 2] {
        let order = |bound: &Option<ScalarValue>, value: &ScalarValue| number_cmp(bound.as_ref()?, value);
        let first = operands.partition_point(|o| order(&self.low, &o.value) == Some(Ordering::Greater));
        let mut within =
            operands[first..].iter().take_while(|o| order(&self.high, &o.value) != Some(Ordering::Less)).peekable();
        // The column may have a single value only.
        let is_single = self.low.is_some() && self.low == self.high && !self.has_nan;
        let single = within.peek().filter(|o| is_single && self.low.as_ref() == Some(&o.value) && !is_zero(&o.value));
        let others = single.is_none();
        [within.any(|o| self.may_have(o)), others]
    }

    /// Whether the operand has the prefix of all values, and falls into their buckets.
    fn may_have(&self, operand: &Operand) -> bool {
        let has_prefix = match (&self.prefix, &operand.value) {
            (Some(prefix), ScalarValue::Utf8(Some(text))) => text.starts_with(prefix.as_str()),
            _ => true,
        };
        let in_bucket = |(count, bucket): &(u32, i32)| match (operand.hash, i32::try_from(*count)) {
            (Some(hash), Ok(count)) if count > 0 => hash % count == *bucket,
            _ => true,
        };
        has_prefix && self.buckets.iter().all(in_bucket)
    }

    /// Whether texts that start with `prefix`, and texts that do not, are possible.
    pub(super) fn start_with(&self, prefix: &str) -> [bool; 2] {
        let [low, high] = [&self.low, &self.high].map(|bound| match bound {
            Some(ScalarValue::Utf8(Some(text))) => Some(text.as_str()),
            _ => None,
        });
        let starts = |text: &str| text.as_bytes().starts_with(prefix.as_bytes());
        // All texts between two texts with a prefix have it too.
        let all = self.prefix.as_deref().is_some_and(starts) || (low.is_some_and(starts) && high.is_some_and(starts));
        // The least text with the prefix is the prefix itself.
        let some = low.is_none_or(|low| low.as_bytes()[..low.len().min(prefix.len())] <= *prefix.as_bytes())
            && high.is_none_or(|high| high >= prefix)
            && self.prefix.as_deref().is_none_or(|own| own.starts_with(prefix) || prefix.starts_with(own));
        [some, !all]
    }
}

/// The summary that a manifest list has of one partition field of a manifest's files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summary {
    pub(super) has_null: bool,
    /// Also `true` when the manifest list has bounds, which may be bounds that are not understood.
    pub(super) has_nan: bool,
    pub(super) low: Option<ScalarValue>,
    pub(super) high: Option<ScalarValue>,
}

pub(super) fn primitive(column: &NestedField) -> Option<&PrimitiveType> {
    column.field_type.as_primitive_type()
}

pub(super) fn is_float(column: &NestedField) -> bool {
    primitive(column).is_some_and(bridge::is_float)
}

pub(super) fn arrow_type(column: &NestedField) -> Option<DataType> {
    bridge::arrow_type(&column.field_type).ok()
}

/// The type of a transform's partition values as scalars.
pub(super) fn partition_type(column: &NestedField, transform: Transform) -> Option<PrimitiveType> {
    let result = transform.result_type(&column.field_type).ok()?;
    match result {
        Type::Primitive(ty) => Some(ty),
        _ => None,
    }
}

fn partition_scalar(column: &NestedField, transform: Transform, literal: &PrimitiveLiteral) -> Option<ScalarValue> {
    bridge::scalar_of(&partition_type(column, transform)?, literal)
}

/// Whether partition values of the transform are NULL for NULL, and only for NULL.
fn is_null_of_null(transform: Transform) -> bool {
    !matches!(transform, Transform::Void | Transform::Unknown)
}

/// The value in type `ty`; `None` when the conversion would round.
pub(super) fn in_type(value: &ScalarValue, ty: &DataType) -> Option<ScalarValue> {
    if value.data_type() == *ty {
        return Some(value.clone());
    }
    let converted = value.cast_to(ty).ok().filter(|v| !v.is_null())?;
    let back = converted.cast_to(&value.data_type()).ok()?;
    (back == *value).then_some(converted)
}

/// Zero has two signs, which some comparisons treat as equal and others as different.
fn is_zero(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::Float32(Some(0.0)) | ScalarValue::Float64(Some(0.0)))
}

pub(super) fn is_nan(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float32(Some(v)) => v.is_nan(),
        ScalarValue::Float64(Some(v)) => v.is_nan(),
        _ => false,
    }
}

/// Compares numbers by value, so that both zeros are equal, and other values as scalars. `None` if they cannot be
/// compared.
fn number_cmp(a: &ScalarValue, b: &ScalarValue) -> Option<Ordering> {
    match (a, b) {
        (ScalarValue::Float32(Some(a)), ScalarValue::Float32(Some(b))) => a.partial_cmp(b),
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => a.partial_cmp(b),
        _ => a.partial_cmp(b),
    }
}

/// Hours are 32 bits wide, which does not hold all microsecond timestamps: hours after the year 246,953 wrap around to
/// before the year -195,000 and vice versa, in Java as here.
const FIRST_WRAPPED_HOUR: i64 = 1_732_000_000;

type Range = (Option<ScalarValue>, Option<ScalarValue>);

/// The least and the greatest value of type `ty` that `transform` may have mapped to `value`; `None` if unknown.
fn range(transform: Transform, value: &ScalarValue, ty: &DataType) -> Option<Range> {
    match transform {
        Transform::Identity => Some((Some(value.clone()), Some(value.clone()))),
        Transform::Truncate(width) => truncated(value, width),
        Transform::Year | Transform::Month | Transform::Day | Transform::Hour => {
            let ordinal = match value {
                ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => i64::from(*v),
                _ => return None,
            };
            if transform == Transform::Day && *ty == DataType::Date32 {
                return time_range(ordinal, ordinal, transform, ty);
            }
            if transform == Transform::Hour && ordinal.abs() >= FIRST_WRAPPED_HOUR {
                return None;
            }
            // Old writers (apache/iceberg's Java library before 0.7) rounded towards 1970 rather than down, so a value
            // before it may be one unit too late.
            time_range(if ordinal <= 0 { ordinal - 1 } else { ordinal }, ordinal, transform, ty)
        }
        Transform::Bucket(_) | Transform::Void | Transform::Unknown => None,
    }
}

fn truncated(value: &ScalarValue, width: u32) -> Option<Range> {
    // Truncation wraps the lowest values around to some of the highest, which therefore give no range.
    match value {
        ScalarValue::Int32(Some(v)) => {
            let high = v.checked_add(i32::try_from(width).ok()? - 1)?;
            Some((Some(value.clone()), Some(ScalarValue::Int32(Some(high)))))
        }
        ScalarValue::Int64(Some(v)) => {
            let high = v.checked_add(i64::from(width) - 1)?;
            // The column may have had 32 bits when the value was computed.
            if *v <= i64::from(i32::MAX) && high > i64::from(i32::MAX) {
                return None;
            }
            Some((Some(value.clone()), Some(ScalarValue::Int64(Some(high)))))
        }
        ScalarValue::Decimal128(Some(v), p, s) => {
            let high = v.checked_add(i128::from(width) - 1)?;
            Some((Some(value.clone()), Some(ScalarValue::Decimal128(Some(high), *p, *s))))
        }
        ScalarValue::Utf8(Some(text)) => {
            let is_whole = text.chars().count() < usize::try_from(width).ok()?;
            let high = if is_whole { Some(text.clone()) } else { above_all_with(text.chars()) };
            Some((Some(value.clone()), high.map(|text| ScalarValue::Utf8(Some(text)))))
        }
        _ => None,
    }
}

/// The range from the start of unit `first` to the end of unit `last`, counted from 1970.
fn time_range(first: i64, last: i64, transform: Transform, ty: &DataType) -> Option<Range> {
    const HOURS: i64 = 24;
    // In hours, since 1970.
    let start = |ordinal: i64| match transform {
        Transform::Hour => Some(ordinal),
        Transform::Day => ordinal.checked_mul(HOURS),
        Transform::Month => civil_days(1970 + ordinal.div_euclid(12), 1 + ordinal.rem_euclid(12)).checked_mul(HOURS),
        Transform::Year => civil_days(1970 + ordinal, 1).checked_mul(HOURS),
        _ => None,
    };
    let (first, after) = (start(first)?, start(last.checked_add(1)?)?);
    if *ty == DataType::Date32 {
        let day = |hours: i64| i32::try_from(hours / HOURS).ok().map(|day| ScalarValue::Date32(Some(day)));
        return Some((day(first), day(after - HOURS)));
    }
    let DataType::Timestamp(unit, zone) = ty else { return None };
    let per_hour = match unit {
        TimeUnit::Microsecond => 3_600_000_000_i64,
        TimeUnit::Nanosecond => 3_600_000_000_000,
        _ => return None,
    };
    let moment = |value: Option<i64>| match unit {
        TimeUnit::Nanosecond => value.map(|v| ScalarValue::TimestampNanosecond(Some(v), zone.clone())),
        _ => value.map(|v| ScalarValue::TimestampMicrosecond(Some(v), zone.clone())),
    };
    // A bound beyond all timestamps is dropped.
    let [first, last] = [first.checked_mul(per_hour), after.checked_mul(per_hour).map(|after| after - 1)];
    Some((moment(first), moment(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(transform: Transform, value: ScalarValue, ty: DataType, expected: Option<(Option<&str>, Option<&str>)>) {
        let text = |v: Option<ScalarValue>| v.map(|v| v.cast_to(&DataType::Utf8).unwrap().to_string());
        let found = range(transform, &value, &ty).map(|(low, high)| (text(low), text(high)));
        let owned = |v: Option<&str>| v.map(str::to_string);
        assert_eq!(found, expected.map(|(low, high)| (owned(low), owned(high))), "{transform} {value}");
    }

    #[test]
    fn a_partition_value_stands_for_all_values_that_map_to_it() {
        let int = |v| ScalarValue::Int32(Some(v));
        let text = |v: &str| ScalarValue::Utf8(Some(v.to_string()));
        let micros = || DataType::Timestamp(TimeUnit::Microsecond, None);
        check(Transform::Truncate(10), int(-20), DataType::Int32, Some((Some("-20"), Some("-11"))));
        check(Transform::Truncate(10), int(i32::MAX - 3), DataType::Int32, None);
        let long = |v| ScalarValue::Int64(Some(v));
        let far = i64::from(i32::MAX);
        check(Transform::Truncate(10), long(far - 17), DataType::Int64, Some((Some("2147483630"), Some("2147483639"))));
        check(Transform::Truncate(10), long(far - 7), DataType::Int64, None);
        check(Transform::Truncate(10), long(far + 3), DataType::Int64, Some((Some("2147483650"), Some("2147483659"))));
        let decimal = ScalarValue::Decimal128(Some(1000), 12, 2);
        check(Transform::Truncate(1000), decimal, DataType::Decimal128(12, 2), Some((Some("10.00"), Some("19.99"))));
        check(Transform::Truncate(3), text("가방끈"), DataType::Utf8, Some((Some("가방끈"), Some("가방끉"))));
        check(Transform::Truncate(3), text("가"), DataType::Utf8, Some((Some("가"), Some("가"))));
        check(Transform::Truncate(1), text("\u{D7FF}"), DataType::Utf8, Some((Some("\u{D7FF}"), Some("\u{E000}"))));
        check(Transform::Truncate(1), text("\u{10FFFF}"), DataType::Utf8, Some((Some("\u{10FFFF}"), None)));
        let year = Some((Some("2026-01-01T00:00:00"), Some("2026-12-31T23:59:59.999999")));
        check(Transform::Year, int(56), micros(), year);
        let day = ScalarValue::Date32(Some(-2));
        check(
            Transform::Day,
            day.clone(),
            micros(),
            Some((Some("1969-12-29T00:00:00"), Some("1969-12-30T23:59:59.999999"))),
        );
        check(Transform::Day, day, DataType::Date32, Some((Some("1969-12-30"), Some("1969-12-30"))));
        check(Transform::Month, int(-1), DataType::Date32, Some((Some("1969-11-01"), Some("1969-12-31"))));
        check(
            Transform::Hour,
            int(1),
            micros(),
            Some((Some("1970-01-01T01:00:00"), Some("1970-01-01T01:59:59.999999"))),
        );
        check(Transform::Hour, int(1_731_999_999), DataType::Timestamp(TimeUnit::Nanosecond, None), Some((None, None)));
        check(Transform::Hour, int(i32::MIN), micros(), None);
        check(Transform::Bucket(4), int(1), DataType::Int32, None);
    }
}
