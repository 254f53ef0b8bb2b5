//! The values that a column may have in the rows of a file, by what the file's manifest says.
//!
//! Two things tell of them: the bounds and counts of the column, and the partition value of each transform of the column. A
//! partition value stands for all values that the transform maps to it, which is a range for every transform that keeps order.
//! Both are put together as ranges of the column's own values, so that one evaluation serves where Iceberg speaks of inclusive and of
//! strict projection (the Iceberg specification, "Scan Planning"; `ProjectionUtil`, `InclusiveMetricsEvaluator` and
//! `StrictMetricsEvaluator` in Java).

use std::cmp::Ordering;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use iceberg::spec::{DataFile, Literal, NestedField, PartitionSpec, PrimitiveType, Transform, Type};

use crate::bridge;
use crate::write::{civil_days, transform_of};

/// What a column may hold.
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
    /// What all texts begin with.
    prefix: Option<String>,
    /// The buckets that all values fall into.
    buckets: Vec<(Transform, i32)>,
}

impl Values {
    /// Anything.
    fn any(column: &NestedField) -> Self {
        let is_float = matches!(primitive(column), Some(PrimitiveType::Float | PrimitiveType::Double));
        let has_null = !column.required;
        Self { low: None, high: None, has_null, has_value: true, has_nan: is_float, prefix: None, buckets: Vec::new() }
    }

    /// What `column` may hold in a file.
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
            let value = bridge::scalar(bounds.get(id)?)?;
            // A column may have been widened since the file was written.
            value.cast_to(&arrow_type(column)?).ok().filter(|v| !v.is_null() && !is_nan(v))
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

    /// What `column` may hold in the files of a manifest, by the least and the greatest of their partition values.
    pub(super) fn in_manifest(column: &NestedField, spec: &PartitionSpec, summaries: &[Summary]) -> Self {
        let mut values = Self::any(column);
        for (field, summary) in spec.fields().iter().zip(summaries) {
            if field.source_id != column.id || field.transform == Transform::Void {
                continue;
            }
            values.has_null &= summary.has_null;
            let (Some(low), Some(high)) = (&summary.low, &summary.high) else { continue };
            let Some(ty) = arrow_type(column) else { continue };
            let [least, greatest] = [low, high].map(|value| range(field.transform, value, &ty));
            if let (Some(least), Some(greatest)) = (least, greatest) {
                values.intersect(least.0, greatest.1);
            }
        }
        values
    }

    /// Takes in what a partition value tells.
    fn narrow(&mut self, column: &NestedField, transform: Transform, value: Option<&Literal>) {
        let Some(value) = value else {
            // Every transform but one keeps NULL, and makes it of nothing else.
            self.has_value &= transform == Transform::Void;
            return;
        };
        self.has_null &= transform == Transform::Void;
        let Literal::Primitive(literal) = value else { return };
        if let (Transform::Bucket(_), iceberg::spec::PrimitiveLiteral::Int(bucket)) = (transform, literal) {
            self.buckets.push((transform, *bucket));
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

    /// Whether values less than, equal to and greater than `value` are possible.
    pub(super) fn compared(&self, value: &ScalarValue) -> [bool; 3] {
        if is_nan(value) {
            return [true; 3];
        }
        // Zero has two signs, which are equal to some and differ to others.
        let is_zero = matches!(value, ScalarValue::Float32(Some(0.0)) | ScalarValue::Float64(Some(0.0)));
        let order = |bound: &Option<ScalarValue>| bound.as_ref().and_then(|b| number_cmp(b, value));
        let (low, high) = (order(&self.low), order(&self.high));
        let less = low.is_none_or(|o| o == Ordering::Less || (is_zero && o == Ordering::Equal));
        let greater = high.is_none_or(|o| o == Ordering::Greater || (is_zero && o == Ordering::Equal)) || self.has_nan;
        let within = low.is_none_or(|o| o != Ordering::Greater) && high.is_none_or(|o| o != Ordering::Less);
        [less, within && self.has_prefix_of(value) && self.has_bucket_of(value), greater]
    }

    fn has_prefix_of(&self, value: &ScalarValue) -> bool {
        match (&self.prefix, value) {
            (Some(prefix), ScalarValue::Utf8(Some(text))) => text.starts_with(prefix.as_str()),
            _ => true,
        }
    }

    fn has_bucket_of(&self, value: &ScalarValue) -> bool {
        self.buckets.iter().all(|(transform, bucket)| match transform_of(transform, value) {
            Some(ScalarValue::Int32(Some(of_value))) => of_value == *bucket,
            _ => true,
        })
    }

    /// Whether texts that begin with `prefix`, and texts that do not, are possible.
    pub(super) fn begin_with(&self, prefix: &str) -> [bool; 2] {
        let [low, high] = [&self.low, &self.high].map(|bound| match bound {
            Some(ScalarValue::Utf8(Some(text))) => Some(text.as_str()),
            _ => None,
        });
        let begins = |text: &str| text.as_bytes().starts_with(prefix.as_bytes());
        // All that lies between two texts with a beginning has it too.
        let all = self.prefix.as_deref().is_some_and(begins) || (low.is_some_and(begins) && high.is_some_and(begins));
        // The least text with the beginning is the beginning itself.
        let some = low.is_none_or(|low| low.as_bytes()[..low.len().min(prefix.len())] <= *prefix.as_bytes())
            && high.is_none_or(|high| high >= prefix)
            && self.prefix.as_deref().is_none_or(|own| own.starts_with(prefix) || prefix.starts_with(own));
        [some, !all]
    }
}

/// What a manifest list says of one partition field of a manifest's files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summary {
    pub(super) has_null: bool,
    pub(super) low: Option<ScalarValue>,
    pub(super) high: Option<ScalarValue>,
}

pub(super) fn primitive(column: &NestedField) -> Option<&PrimitiveType> {
    column.field_type.as_primitive_type()
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

fn partition_scalar(
    column: &NestedField,
    transform: Transform,
    literal: &iceberg::spec::PrimitiveLiteral,
) -> Option<ScalarValue> {
    bridge::scalar_of(&partition_type(column, transform)?, literal)
}

fn is_nan(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float32(Some(v)) => v.is_nan(),
        ScalarValue::Float64(Some(v)) => v.is_nan(),
        _ => false,
    }
}

/// Numbers by value, so that both zeros are equal; all else as scalars compare. `None` if they do not.
fn number_cmp(a: &ScalarValue, b: &ScalarValue) -> Option<Ordering> {
    match (a, b) {
        (ScalarValue::Float32(Some(a)), ScalarValue::Float32(Some(b))) => a.partial_cmp(b),
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => a.partial_cmp(b),
        _ => a.partial_cmp(b),
    }
}

type Range = (Option<ScalarValue>, Option<ScalarValue>);

/// The least and the greatest value of type `ty` that `transform` may have made `value` of; `None` if that is not known.
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
            // Writers of old (apache/iceberg's Java library before 0.7) rounded towards 1970 rather than down, so that a value before it
            // may stand one unit later.
            time_range(if ordinal <= 0 { ordinal - 1 } else { ordinal }, ordinal, transform, ty)
        }
        Transform::Bucket(_) | Transform::Void | Transform::Unknown => None,
    }
}

fn truncated(value: &ScalarValue, width: u32) -> Option<Range> {
    // The lowest values wrap around when they are truncated, to some of the highest; these say nothing then.
    match value {
        ScalarValue::Int32(Some(v)) => {
            let high = v.checked_add(i32::try_from(width).ok()? - 1)?;
            Some((Some(value.clone()), Some(ScalarValue::Int32(Some(high)))))
        }
        ScalarValue::Int64(Some(v)) => {
            let high = v.checked_add(i64::from(width) - 1)?;
            Some((Some(value.clone()), Some(ScalarValue::Int64(Some(high)))))
        }
        ScalarValue::Decimal128(Some(v), p, s) => {
            let high = v.checked_add(i128::from(width) - 1)?;
            Some((Some(value.clone()), Some(ScalarValue::Decimal128(Some(high), *p, *s))))
        }
        ScalarValue::Utf8(Some(text)) => {
            let is_whole = text.chars().count() < usize::try_from(width).ok()?;
            let high = if is_whole { Some(text.clone()) } else { after_all_with(text) };
            Some((Some(value.clone()), high.map(|text| ScalarValue::Utf8(Some(text)))))
        }
        _ => None,
    }
}

/// A text that is greater than all that begin with `prefix`; `None` if there is none.
pub(super) fn after_all_with(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Between U+D7FF and U+E000 there are no characters.
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// From the first moment of unit `first` to the last of unit `last`, counted from 1970.
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
    // What lies beyond all timestamps is no bound.
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
    fn a_partition_value_stands_for_all_that_were_made_into_it() {
        let int = |v| ScalarValue::Int32(Some(v));
        let text = |v: &str| ScalarValue::Utf8(Some(v.to_string()));
        let micros = || DataType::Timestamp(TimeUnit::Microsecond, None);
        check(Transform::Truncate(10), int(-20), DataType::Int32, Some((Some("-20"), Some("-11"))));
        check(Transform::Truncate(10), int(i32::MAX - 3), DataType::Int32, None);
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
        check(Transform::Hour, int(i32::MAX), DataType::Timestamp(TimeUnit::Nanosecond, None), Some((None, None)));
        check(Transform::Bucket(4), int(1), DataType::Int32, None);
    }
}
