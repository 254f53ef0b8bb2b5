//! SQL filters in Iceberg's terms, for pruning files, and the question whether pruning alone decides a filter.
//!
//! [`iceberg_predicate`] may keep more rows than the filter does, never fewer: what it cannot express it leaves out. Bounds say nothing of NaN, which
//! compares in SQL (it is greater than any number, and equal to itself), so a file that may hold NaN is kept by every comparison.
//! [`decided_by_partition`] says when it is exact, so that the scan need not look at the rows again: counting one day's
//! purchases then reads no data file at all.

use chrono::{DateTime, Timelike};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Like, Operator, TryCast};
use iceberg::expr::{Predicate, Reference};
use iceberg::spec::{Datum, Schema, TableMetadata, Transform};

use crate::bridge;

/// The conjunction of what the filters say in Iceberg's terms; `None` when they say nothing that can prune.
pub fn iceberg_predicate(filters: &[Expr], schema: &Schema) -> Option<Predicate> {
    filters.iter().flat_map(|f| split_conjunction(f)).filter_map(|f| convert(f, schema, false)).reduce(Predicate::and)
}

/// The filter in Iceberg's terms if it can be said exactly: what holds for a row without NULL and NaN holds in both.
pub fn exact_predicate(filter: &Expr, schema: &Schema) -> Option<Predicate> {
    convert(filter, schema, true)
}

/// Whether the partition values of a file decide the filter for every row of the file.
///
/// True for comparisons of a column that every partition spec of the table holds as it is (identity), and for bounds of
/// a timestamp that fall on the border of its day or hour partitions.
pub fn decided_by_partition(filter: &Expr, metadata: &TableMetadata, schema: &Schema) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            decided_by_partition(left, metadata, schema) && decided_by_partition(right, metadata, schema)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let Some((column, op, value)) = comparison(left, *op, right, schema) else { return false };
            if is_float(&column, schema) {
                return false;
            }
            transforms_of(&column, metadata, schema).is_some_and(|all| {
                all.iter().all(|t| match t {
                    // Iceberg keeps nulls in `<>`, SQL does not.
                    Transform::Identity => op != Operator::NotEq,
                    Transform::Day | Transform::Hour => {
                        matches!(op, Operator::GtEq | Operator::Lt) && on_border(&value, t)
                    }
                    _ => false,
                })
            })
        }
        Expr::InList(InList { expr, list, negated: false }) => column_of(expr, schema).is_some_and(|c| {
            let has_all = list.iter().all(|v| literal(v, &c, schema).is_some());
            has_all && is_identity(&c, metadata, schema) && !is_float(&c, schema)
        }),
        Expr::IsNull(e) | Expr::IsNotNull(e) => column_of(e, schema).is_some_and(|c| is_identity(&c, metadata, schema)),
        _ => false,
    }
}

fn is_identity(column: &str, metadata: &TableMetadata, schema: &Schema) -> bool {
    transforms_of(column, metadata, schema).is_some_and(|all| all.iter().all(|t| *t == Transform::Identity))
}

/// One transform of the column from each partition spec the table has had; `None` when a spec has none, because files
/// written under that spec then hold any value.
fn transforms_of(column: &str, metadata: &TableMetadata, schema: &Schema) -> Option<Vec<Transform>> {
    let id = schema.field_id_by_name(column)?;
    metadata
        .partition_specs_iter()
        .map(|spec| spec.fields().iter().find(|f| f.source_id == id).map(|f| f.transform))
        .collect::<Option<Vec<_>>>()
        .filter(|all| !all.is_empty())
}

fn on_border(value: &ScalarValue, transform: &Transform) -> bool {
    let micros = match value {
        ScalarValue::TimestampMicrosecond(Some(v), _) => *v,
        ScalarValue::Date32(Some(_)) => return *transform == Transform::Day,
        _ => return false,
    };
    let Some(at) = DateTime::from_timestamp_micros(micros) else { return false };
    let on_hour = at.minute() == 0 && at.second() == 0 && at.nanosecond() == 0;
    on_hour && (*transform == Transform::Hour || at.hour() == 0)
}

fn is_float(column: &str, schema: &Schema) -> bool {
    column_type(column, schema).is_some_and(|ty| ty.is_floating())
}

/// With `exact` all or nothing, else perhaps less than the filter says.
fn convert(filter: &Expr, schema: &Schema, exact: bool) -> Option<Predicate> {
    let or_nan = |column: &str, compared: Predicate| match is_float(column, schema) && !exact {
        true => compared.or(Reference::new(column).is_nan()),
        false => compared,
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (convert(left, schema, exact), convert(right, schema, exact)) {
                (Some(l), Some(r)) => Some(l.and(r)),
                _ if exact => None,
                (one, other) => one.or(other),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(convert(left, schema, exact)?.or(convert(right, schema, exact)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, value) = comparison(left, *op, right, schema)?;
            let (reference, value) = (Reference::new(&column), bridge::datum(&value)?);
            let compared = match op {
                Operator::Eq => reference.equal_to(value),
                Operator::NotEq => reference.not_equal_to(value),
                Operator::Lt => reference.less_than(value),
                Operator::LtEq => reference.less_than_or_equal_to(value),
                Operator::Gt => reference.greater_than(value),
                Operator::GtEq => reference.greater_than_or_equal_to(value),
                _ => return None,
            };
            Some(or_nan(&column, compared))
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let column = column_of(expr, schema)?;
            let (low, high) = (datum_of(low, &column, schema)?, datum_of(high, &column, schema)?);
            let from = Reference::new(&column).greater_than_or_equal_to(low);
            Some(or_nan(&column, from.and(Reference::new(&column).less_than_or_equal_to(high))))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let column = column_of(expr, schema)?;
            let values = list.iter().map(|v| datum_of(v, &column, schema)).collect::<Option<Vec<_>>>()?;
            Some(or_nan(&column, Reference::new(&column).is_in(values)))
        }
        Expr::Like(Like { negated: false, expr, pattern, escape_char: None, case_insensitive: false }) if !exact => {
            let column = column_of(expr, schema)?;
            let Expr::Literal(pattern, _) = pattern.as_ref() else { return None };
            let pattern = pattern.try_as_str()??;
            let prefix = pattern.split(['%', '_', '\\']).next().filter(|p| !p.is_empty())?;
            Some(Reference::new(column).starts_with(Datum::string(prefix)))
        }
        Expr::IsNull(e) => Some(Reference::new(column_of(e, schema)?).is_null()),
        Expr::IsNotNull(e) => Some(Reference::new(column_of(e, schema)?).is_not_null()),
        _ => None,
    }
}

/// A comparison as column, operator, value of the column's type, whichever side the column stood on.
fn comparison(left: &Expr, op: Operator, right: &Expr, schema: &Schema) -> Option<(String, Operator, ScalarValue)> {
    if let Some(column) = column_of(left, schema) {
        let value = literal(right, &column, schema)?;
        return Some((column, op, value));
    }
    let column = column_of(right, schema)?;
    let value = literal(left, &column, schema)?;
    Some((column, op.swap()?, value))
}

/// The column an expression stands for: itself, or behind a cast that keeps order and loses nothing that pruning needs
/// (another unit of the same timestamp, another string type).
fn column_of(expr: &Expr, schema: &Schema) -> Option<String> {
    match expr {
        Expr::Column(c) => {
            schema.field_by_name(&c.name).filter(|f| f.field_type.is_primitive()).map(|f| f.name.clone())
        }
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            let column = column_of(expr, schema)?;
            let own = column_type(&column, schema)?;
            let same = match (&own, field.data_type()) {
                (DataType::Timestamp(..), DataType::Timestamp(unit, _)) => *unit != TimeUnit::Second,
                (DataType::Utf8, DataType::Utf8View | DataType::LargeUtf8 | DataType::Utf8) => true,
                (a, b) => a == b,
            };
            same.then_some(column)
        }
        _ => None,
    }
}

fn column_type(column: &str, schema: &Schema) -> Option<DataType> {
    bridge::arrow_type(&schema.field_by_name(column)?.field_type).ok()
}

/// The literal as a value of the column's type; `None` when the conversion would round.
fn literal(expr: &Expr, column: &str, schema: &Schema) -> Option<ScalarValue> {
    let Expr::Literal(value, _) = expr else { return None };
    if value.is_null() {
        return None;
    }
    let to = column_type(column, schema)?;
    if value.data_type() == to {
        return Some(value.clone());
    }
    let there = value.cast_to(&to).ok().filter(|v| !v.is_null())?;
    let back = there.cast_to(&value.data_type()).ok()?;
    (back == *value).then_some(there)
}

fn datum_of(expr: &Expr, column: &str, schema: &Schema) -> Option<Datum> {
    bridge::datum(&literal(expr, column, schema)?)
}
