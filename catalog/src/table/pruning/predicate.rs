//! SQL conditions as far as pruning understands them.

use std::cmp::Ordering;
use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Like, Operator, TryCast};
use iceberg::spec::{NestedFieldRef, Schema, Transform};

use super::outcome::Outcome;
use super::values::{Values, arrow_type, in_type, is_nan};
use crate::table::transform::transform_of;

/// Maximum depth of conditions that are analysed: AND and OR of any number of conditions are one level.
const MAX_DEPTH: usize = 100;

/// A condition on the columns of a table. Columns are identified by field id, so it applies to files of every schema.
#[derive(Clone, PartialEq)]
pub(crate) enum Predicate {
    /// A condition that is not understood.
    Unknown,
    /// The same value for every row.
    Constant(Option<bool>),
    /// Compares with a value of the column's type.
    Compared(NestedFieldRef, Comparison, Operand),
    /// Equals one of these sorted values.
    IsIn(NestedFieldRef, Vec<Operand>),
    /// `IS NULL`.
    IsNull(NestedFieldRef),
    /// `LIKE 'prefix%'`.
    StartsWith(NestedFieldRef, String),
    Not(Box<Predicate>),
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
}

/// A value that a column is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operand {
    pub(super) value: ScalarValue,
    /// The hash from which its bucket is computed for any number of buckets; computed once, not for each file.
    pub(super) hash: Option<i32>,
}

impl Operand {
    pub(super) fn new(value: ScalarValue) -> Self {
        let all_bits = Transform::Bucket(1 << 31);
        let hash = match transform_of(&all_bits, &value) {
            Some(ScalarValue::Int32(hash)) => hash,
            _ => None,
        };
        Self { value, hash }
    }
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
            Self::Compared(column, how, operand) => write!(f, "{} {how:?} {}", column.name, operand.value),
            Self::IsIn(column, operands) => write!(f, "{} IN {} values", column.name, operands.len()),
            Self::IsNull(column) => write!(f, "{} IS NULL", column.name),
            Self::StartsWith(column, prefix) => write!(f, "{} LIKE {prefix:?}%", column.name),
            Self::Not(inner) => write!(f, "NOT ({inner:?})"),
            Self::All(all) => write!(f, "all of {all:?}"),
            Self::Any(any) => write!(f, "any of {any:?}"),
        }
    }
}

impl Predicate {
    /// Converts `filter`, a condition on the columns of `schema`.
    pub(crate) fn of(filter: &Expr, schema: &Schema) -> Self {
        Self::nested(filter, schema, 0)
    }

    fn nested(filter: &Expr, schema: &Schema, depth: usize) -> Self {
        if depth > MAX_DEPTH {
            return Self::Unknown;
        }
        convert(filter, schema, depth).unwrap_or(Self::Unknown)
    }

    /// The conjunction of the filters.
    pub(crate) fn all(filters: &[Expr], schema: &Schema) -> Self {
        Self::All(filters.iter().map(|filter| Self::of(filter, schema)).collect())
    }

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// The possible outcomes for rows whose columns hold `values`.
    pub(super) fn outcome(&self, values: &impl Fn(&NestedFieldRef) -> Values) -> Outcome {
        match self {
            Self::Unknown => Outcome::UNKNOWN,
            Self::Constant(value) => {
                Outcome { is_true: *value == Some(true), is_false: *value == Some(false), is_null: value.is_none() }
            }
            Self::Compared(column, how, operand) => compared(&values(column), *how, operand),
            Self::IsIn(column, operands) => {
                let values = values(column);
                let [some, others] = values.among(operands).map(|possible| possible && values.has_value);
                Outcome { is_true: some, is_false: others, is_null: values.has_null }
            }
            Self::IsNull(column) => {
                let values = values(column);
                Outcome { is_true: values.has_null, is_false: values.has_value, is_null: false }
            }
            Self::StartsWith(column, prefix) => {
                let values = values(column);
                let [some, others] = values.start_with(prefix);
                let is_null = values.has_null;
                Outcome { is_true: some && values.has_value, is_false: others && values.has_value, is_null }
            }
            Self::Not(inner) => inner.outcome(values).not(),
            Self::All(all) => all.iter().fold(Outcome::ALWAYS, |so_far, one| so_far.and(one.outcome(values))),
            Self::Any(any) => any.iter().fold(Outcome::NEVER, |so_far, one| so_far.or(one.outcome(values))),
        }
    }

    /// Whether `decides` holds for all leaves; `false` if one of them is unknown.
    pub(super) fn is_decided(&self, decides: &impl Fn(&Self) -> bool) -> bool {
        match self {
            Self::Unknown => false,
            Self::Constant(_) => true,
            Self::Not(inner) => inner.is_decided(decides),
            Self::All(all) | Self::Any(all) => all.iter().all(|one| one.is_decided(decides)),
            leaf => decides(leaf),
        }
    }
}

fn compared(values: &Values, how: Comparison, operand: &Operand) -> Outcome {
    let [less, equal, greater] = values.compared(operand).map(|possible| possible && values.has_value);
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

/// `None` if the filter is not understood.
fn convert(filter: &Expr, schema: &Schema, depth: usize) -> Option<Predicate> {
    let nested = |filter: &Expr| Predicate::nested(filter, schema, depth + 1);
    let all_nested = |op: Operator| operands(filter, op).into_iter().map(nested).collect();
    Some(match filter {
        Expr::Literal(ScalarValue::Boolean(value), _) => Predicate::Constant(*value),
        Expr::Not(inner) => nested(inner).not(),
        Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => Predicate::All(all_nested(Operator::And)),
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => Predicate::Any(all_nested(Operator::Or)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right, schema)?,
        Expr::Between(Between { expr, negated, low, high }) => {
            let within = [(Operator::GtEq, low), (Operator::LtEq, high)];
            let within = within.map(|(op, bound)| comparison(expr, op, bound, schema));
            let within = Predicate::All(within.into_iter().collect::<Option<_>>()?);
            if *negated { within.not() } else { within }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let any = one_of(&column_of(expr, schema)?, list)?;
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
            Predicate::Compared(column, Comparison::Eq, Operand::new(ScalarValue::Boolean(Some(true))))
        }
        _ => return None,
    })
}

/// The operands of a chain of the same operator, from left to right. Generated SQL has chains that are too long for
/// recursion.
fn operands(filter: &Expr, of: Operator) -> Vec<&Expr> {
    let (mut all, mut open) = (Vec::new(), vec![filter]);
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == of => open.extend([&**right, &**left]),
            other => all.push(other),
        }
    }
    all
}

/// `IN` of a list of literals.
fn one_of(column: &NestedFieldRef, list: &[Expr]) -> Option<Predicate> {
    let (mut values, mut has_null) = (Vec::with_capacity(list.len()), false);
    for item in list {
        let Expr::Literal(value, _) = item else { return None };
        match value.is_null() {
            true => has_null = true,
            false => values.push(as_column(value, column)?),
        }
    }
    if values.iter().any(is_nan) {
        return None;
    }
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let is_in = Predicate::IsIn(NestedFieldRef::clone(column), values.into_iter().map(Operand::new).collect());
    Some(if has_null { Predicate::Any(vec![is_in, Predicate::Constant(None)]) } else { is_in })
}

fn like(column: &NestedFieldRef, pattern: &Expr) -> Option<Predicate> {
    let Expr::Literal(pattern, _) = pattern else { return None };
    if arrow_type(column)? != DataType::Utf8 {
        return None;
    }
    let pattern = pattern.try_as_str()??;
    let prefix = pattern.split(['%', '_', '\\']).next().unwrap_or_default().to_string();
    let starts = Predicate::StartsWith(NestedFieldRef::clone(column), prefix.clone());
    Some(match &pattern[prefix.len()..] {
        "" => {
            let text = Operand::new(ScalarValue::Utf8(Some(prefix)));
            Predicate::Compared(NestedFieldRef::clone(column), Comparison::Eq, text)
        }
        "%" => starts,
        // The rest of the pattern is not understood.
        _ => Predicate::All(vec![starts, Predicate::Unknown]),
    })
}

/// A comparison of a column with a literal, on either side.
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
        (Some(value), how) => Predicate::Compared(column, how, Operand::new(value)),
        (None, Comparison::IsNotDistinctFrom) => Predicate::IsNull(column),
        (None, _) => Predicate::Constant(None),
    };
    let is_negated = matches!(op, Operator::NotEq | Operator::IsDistinctFrom);
    Some(if is_negated { compared.not() } else { compared })
}

/// The column of an expression: a plain column, or one under a cast that preserves the order and equality of its
/// values.
fn column_of(expr: &Expr, schema: &Schema) -> Option<NestedFieldRef> {
    match expr {
        Expr::Column(c) => schema.field_by_name(&c.name).filter(|f| f.field_type.is_primitive()).cloned(),
        Expr::Cast(Cast { expr, field }) => {
            column_of(expr, schema).filter(|column| keeps_order(column, field.data_type(), false))
        }
        Expr::TryCast(TryCast { expr, field }) => {
            column_of(expr, schema).filter(|column| keeps_order(column, field.data_type(), true))
        }
        _ => None,
    }
}

/// Whether a cast to `to` preserves the order and equality of the column's values. A cast that may fail does not if it
/// returns NULL for values that it cannot convert.
fn keeps_order(column: &NestedFieldRef, to: &DataType, fails_as_null: bool) -> bool {
    match (arrow_type(column), to) {
        (Some(DataType::Timestamp(from, own)), DataType::Timestamp(to, zone)) => {
            // A coarser unit makes different times equal, and a finer one cannot represent all of them. A cast between
            // times with and without a zone shifts them unless the zone is UTC.
            let is_finer = (from, *to) == (TimeUnit::Microsecond, TimeUnit::Nanosecond) && !fails_as_null;
            let is_utc = |zone: &str| matches!(zone, "UTC" | "+00:00" | "Z");
            (from == *to || is_finer) && (own.is_some() == zone.is_some() || zone.as_deref().is_none_or(is_utc))
        }
        (Some(DataType::Utf8), DataType::Utf8View | DataType::LargeUtf8) => true,
        (from, to) => from.as_ref() == Some(to),
    }
}

/// The value in the column's type; `None` when the conversion would round.
fn as_column(value: &ScalarValue, column: &NestedFieldRef) -> Option<ScalarValue> {
    in_type(value, &arrow_type(column)?)
}
