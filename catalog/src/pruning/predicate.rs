//! Conditions of SQL as far as pruning understands them.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Like, Operator, TryCast};
use iceberg::spec::{NestedFieldRef, Schema};

use super::outcome::Outcome;
use super::values::{Values, arrow_type};

/// A condition on the columns of a table. Columns are told by field id, so it holds for files of every schema.
#[derive(Clone, PartialEq)]
pub(crate) enum Predicate {
    /// Nothing is known of it.
    Unknown,
    /// The same for every row.
    Constant(Option<bool>),
    /// Compares with a value of the column's type.
    Compared(NestedFieldRef, Comparison, ScalarValue),
    /// `IS NULL`.
    IsNull(NestedFieldRef),
    /// `LIKE 'prefix%'`.
    BeginsWith(NestedFieldRef, String),
    Not(Box<Predicate>),
    And(Box<Predicate>, Box<Predicate>),
    Or(Box<Predicate>, Box<Predicate>),
}

/// How a column is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    IsNotDistinctFrom,
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("?"),
            Self::Constant(value) => write!(f, "{value:?}"),
            Self::Compared(column, how, value) => write!(f, "{} {how:?} {value}", column.name),
            Self::IsNull(column) => write!(f, "{} IS NULL", column.name),
            Self::BeginsWith(column, prefix) => write!(f, "{} LIKE {prefix:?}%", column.name),
            Self::Not(inner) => write!(f, "NOT ({inner:?})"),
            Self::And(a, b) => write!(f, "({a:?} AND {b:?})"),
            Self::Or(a, b) => write!(f, "({a:?} OR {b:?})"),
        }
    }
}

impl Predicate {
    /// What `filter` says of the columns of `schema`.
    pub(crate) fn of(filter: &Expr, schema: &Schema) -> Self {
        convert(filter, schema).unwrap_or(Self::Unknown)
    }

    /// All of the filters.
    pub(crate) fn all(filters: &[Expr], schema: &Schema) -> Self {
        let filters = filters.iter().map(|filter| Self::of(filter, schema));
        filters.reduce(Self::and).unwrap_or(Self::Constant(Some(true)))
    }

    fn and(self, other: Self) -> Self {
        Self::And(Box::new(self), Box::new(other))
    }

    fn or(self, other: Self) -> Self {
        Self::Or(Box::new(self), Box::new(other))
    }

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// What it may come to in rows whose columns hold what `values` says of them.
    pub(super) fn outcome(&self, values: &impl Fn(&NestedFieldRef) -> Values) -> Outcome {
        match self {
            Self::Unknown => Outcome::UNKNOWN,
            Self::Constant(value) => {
                Outcome { is_true: *value == Some(true), is_false: *value == Some(false), is_null: value.is_none() }
            }
            Self::Compared(column, how, value) => compared(&values(column), *how, value),
            Self::IsNull(column) => {
                let values = values(column);
                Outcome { is_true: values.has_null, is_false: values.has_value, is_null: false }
            }
            Self::BeginsWith(column, prefix) => {
                let values = values(column);
                let [some, others] = values.begin_with(prefix);
                let is_null = values.has_null;
                Outcome { is_true: some && values.has_value, is_false: others && values.has_value, is_null }
            }
            Self::Not(inner) => inner.outcome(values).not(),
            Self::And(a, b) => a.outcome(values).and(b.outcome(values)),
            Self::Or(a, b) => a.outcome(values).or(b.outcome(values)),
        }
    }

    /// Whether `decides` holds for everything that it says; not if there is something unknown in it.
    pub(super) fn is_decided(&self, decides: &impl Fn(&Self) -> bool) -> bool {
        match self {
            Self::Unknown => false,
            Self::Constant(_) => true,
            Self::Not(inner) => inner.is_decided(decides),
            Self::And(a, b) | Self::Or(a, b) => a.is_decided(decides) && b.is_decided(decides),
            leaf => decides(leaf),
        }
    }
}

fn compared(values: &Values, how: Comparison, value: &ScalarValue) -> Outcome {
    let [less, equal, greater] = values.compared(value).map(|possible| possible && values.has_value);
    let null = values.has_null;
    let (is_true, is_false) = match how {
        Comparison::Eq => (equal, less || greater),
        Comparison::Lt => (less, equal || greater),
        Comparison::LtEq => (less || equal, greater),
        Comparison::Gt => (greater, less || equal),
        Comparison::GtEq => (greater || equal, less),
        // NULL is distinct from any value.
        Comparison::IsNotDistinctFrom => {
            return Outcome { is_true: equal, is_false: less || greater || null, is_null: false };
        }
    };
    Outcome { is_true, is_false, is_null: null }
}

/// `None` if nothing is known of the filter.
fn convert(filter: &Expr, schema: &Schema) -> Option<Predicate> {
    Some(match filter {
        Expr::Literal(ScalarValue::Boolean(value), _) => Predicate::Constant(*value),
        Expr::Not(inner) => Predicate::of(inner, schema).not(),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Predicate::of(left, schema).and(Predicate::of(right, schema))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Predicate::of(left, schema).or(Predicate::of(right, schema))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right, schema)?,
        Expr::Between(Between { expr, negated, low, high }) => {
            let within = comparison(expr, Operator::GtEq, low, schema)?;
            let within = within.and(comparison(expr, Operator::LtEq, high, schema)?);
            if *negated { within.not() } else { within }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let is_one = |value: &Expr| comparison(expr, Operator::Eq, value, schema);
            let any = list.iter().map(is_one).collect::<Option<Vec<_>>>()?;
            let any = any.into_iter().reduce(Predicate::or).unwrap_or(Predicate::Constant(Some(false)));
            if *negated { any.not() } else { any }
        }
        Expr::Like(Like { negated, expr, pattern, escape_char: None, case_insensitive: false }) => {
            let like = like(&column_of(expr, schema)?, pattern)?;
            if *negated { like.not() } else { like }
        }
        Expr::IsNull(e) => Predicate::IsNull(column_of(e, schema)?),
        Expr::IsNotNull(e) => Predicate::IsNull(column_of(e, schema)?).not(),
        Expr::Column(_) => {
            let column = column_of(filter, schema).filter(|c| arrow_type(c) == Some(DataType::Boolean))?;
            Predicate::Compared(column, Comparison::Eq, ScalarValue::Boolean(Some(true)))
        }
        _ => return None,
    })
}

fn like(column: &NestedFieldRef, pattern: &Expr) -> Option<Predicate> {
    let Expr::Literal(pattern, _) = pattern else { return None };
    if arrow_type(column)? != DataType::Utf8 {
        return None;
    }
    let pattern = pattern.try_as_str()??;
    let prefix = pattern.split(['%', '_', '\\']).next().unwrap_or_default().to_string();
    let begins = Predicate::BeginsWith(NestedFieldRef::clone(column), prefix.clone());
    Some(match &pattern[prefix.len()..] {
        "" => Predicate::Compared(NestedFieldRef::clone(column), Comparison::Eq, ScalarValue::Utf8(Some(prefix))),
        "%" => begins,
        // The rest may or may not fit.
        _ => begins.and(Predicate::Unknown),
    })
}

/// A comparison of a column with a literal, whichever side it stands on.
fn comparison(left: &Expr, op: Operator, right: &Expr, schema: &Schema) -> Option<Predicate> {
    let (column, op, value) = match column_of(left, schema) {
        Some(column) => (column, op, right),
        None => (column_of(right, schema)?, op.swap()?, left),
    };
    let Expr::Literal(value, _) = value else { return None };
    let value = if value.is_null() { None } else { Some(as_column(value, &column)?) };
    let how = match op {
        Operator::Eq | Operator::NotEq => Comparison::Eq,
        Operator::Lt => Comparison::Lt,
        Operator::LtEq => Comparison::LtEq,
        Operator::Gt => Comparison::Gt,
        Operator::GtEq => Comparison::GtEq,
        Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => Comparison::IsNotDistinctFrom,
        _ => return None,
    };
    let compared = match (value, how) {
        (Some(value), how) => Predicate::Compared(column, how, value),
        (None, Comparison::IsNotDistinctFrom) => Predicate::IsNull(column),
        (None, _) => Predicate::Constant(None),
    };
    let is_negated = matches!(op, Operator::NotEq | Operator::IsDistinctFrom);
    Some(if is_negated { compared.not() } else { compared })
}

/// The column an expression stands for: itself, or behind a cast that changes neither its order nor which of its values are
/// equal.
fn column_of(expr: &Expr, schema: &Schema) -> Option<NestedFieldRef> {
    match expr {
        Expr::Column(c) => schema.field_by_name(&c.name).filter(|f| f.field_type.is_primitive()).cloned(),
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            let column = column_of(expr, schema)?;
            let same = match (arrow_type(&column)?, field.data_type()) {
                (DataType::Timestamp(from, own), DataType::Timestamp(to, zone)) => {
                    // A coarser unit makes different times equal. Between times with a zone and without, the zone moves them unless
                    // it is UTC.
                    let keeps_all = from == *to || (from, *to) == (TimeUnit::Microsecond, TimeUnit::Nanosecond);
                    let is_utc = |zone: &str| matches!(zone, "UTC" | "+00:00" | "Z");
                    keeps_all && (own.is_some() == zone.is_some() || zone.as_deref().is_none_or(is_utc))
                }
                (DataType::Utf8, DataType::Utf8View | DataType::LargeUtf8 | DataType::Utf8) => true,
                (a, b) => a == *b,
            };
            same.then_some(column)
        }
        _ => None,
    }
}

/// The value as one of the column's type; `None` when the conversion would round.
fn as_column(value: &ScalarValue, column: &NestedFieldRef) -> Option<ScalarValue> {
    let to = arrow_type(column)?;
    if value.data_type() == to {
        return Some(value.clone());
    }
    let there = value.cast_to(&to).ok().filter(|v| !v.is_null())?;
    let back = there.cast_to(&value.data_type()).ok()?;
    (back == *value).then_some(there)
}
