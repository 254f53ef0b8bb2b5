//! Partition and sort terms: `day(ts)`, `bucket(16, id) DESC NULLS LAST`.
//!
//! The transforms are those of the Iceberg specification ("Partition Transforms"), spelled as Spark spells them.

use std::fmt;

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value};
use sqlparser::parser::Parser;

use crate::error::{Error, Result};
use crate::names::folded;
use crate::token_reader::TokenReader;

/// A transform of a column's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// The value itself.
    Identity,
    /// The years since 1970 of a date or timestamp.
    Year,
    /// The months since 1970.
    Month,
    /// The days since 1970.
    Day,
    /// The hours since 1970 of a timestamp.
    Hour,
    /// The hash of the value modulo this number, which is not 0.
    Bucket(u32),
    /// This many first characters of a text, or a number rounded down to a multiple of this number, which is not 0.
    Truncate(u32),
}

/// A column, or a transform of it: `kind`, `day(ts)`, `bucket(16, id)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The path of the column: the names of the structs around it and its own, joined with dots.
    pub column: String,
    /// `Identity` for the column itself.
    pub transform: Transform,
}

/// The direction of a sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortDirection {
    /// `ASC`, the default.
    Ascending,
    /// `DESC`.
    Descending,
}

/// The position of NULL in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullOrder {
    /// `NULLS FIRST`, the default of `DESC`.
    First,
    /// `NULLS LAST`, the default of `ASC`.
    Last,
}

/// A term of a sort order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortTerm {
    /// The value to sort by.
    pub term: Term,
    /// Ascending or descending.
    pub direction: SortDirection,
    /// The position of NULL.
    pub nulls: NullOrder,
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, transform } = self;
        match transform {
            Transform::Identity => f.write_str(column),
            Transform::Year => write!(f, "year({column})"),
            Transform::Month => write!(f, "month({column})"),
            Transform::Day => write!(f, "day({column})"),
            Transform::Hour => write!(f, "hour({column})"),
            Transform::Bucket(n) => write!(f, "bucket({n}, {column})"),
            Transform::Truncate(width) => write!(f, "truncate({width}, {column})"),
        }
    }
}

/// Parses a partition term.
pub(crate) fn partition_term(reader: &mut TokenReader, clause: &str) -> Result<Term> {
    let here = reader.position();
    // Without operators, so that `WITH` and `AS` may follow.
    let expr = reader.parse(clause, |p| p.parse_subexpr(u8::MAX))?;
    term(clause, &expr).map_err(|e| e.at(here))
}

/// Parses a term of a sort order.
pub(crate) fn sort_term(reader: &mut TokenReader, clause: &str) -> Result<SortTerm> {
    let here = reader.position();
    let field = reader.parse(clause, Parser::parse_order_by_expr)?;
    let term = term(clause, &field.expr).map_err(|e| e.at(here))?;
    let ascending = field.options.asc.unwrap_or(true);
    // As in DataFusion and Postgres, NULL is larger than any value.
    let nulls_first = field.options.nulls_first.unwrap_or(!ascending);
    let direction = if ascending { SortDirection::Ascending } else { SortDirection::Descending };
    let nulls = if nulls_first { NullOrder::First } else { NullOrder::Last };
    Ok(SortTerm { term, direction, nulls })
}

/// A column, or one of the transforms of the Iceberg specification over a column.
fn term(clause: &str, expr: &Expr) -> Result<Term> {
    if let Some(column) = column_name(expr) {
        return Ok(Term { column, transform: Transform::Identity });
    }
    let unknown = || {
        Error::invalid(format!(
            "{clause} {expr}: use a column, year(c), month(c), day(c), hour(c), bucket(n, c) or truncate(width, c)"
        ))
    };
    let Expr::Function(call) = expr else { return Err(unknown()) };
    let FunctionArguments::List(list) = &call.args else { return Err(unknown()) };
    let args: Vec<&Expr> = list
        .args
        .iter()
        .filter_map(|a| match a {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
            _ => None,
        })
        .collect();
    let name = call.name.to_string().to_ascii_lowercase();
    let transform = match (name.as_str(), args.as_slice()) {
        ("year" | "years", [_]) => Transform::Year,
        ("month" | "months", [_]) => Transform::Month,
        ("day" | "days" | "date", [_]) => Transform::Day,
        ("hour" | "hours" | "date_hour", [_]) => Transform::Hour,
        ("bucket", [n, _]) => Transform::Bucket(number(n).ok_or_else(unknown)?),
        ("truncate", [n, _]) => Transform::Truncate(number(n).ok_or_else(unknown)?),
        _ => return Err(unknown()),
    };
    let column = args.last().and_then(|e| column_name(e)).ok_or_else(unknown)?;
    Ok(Term { column, transform })
}

fn number(expr: &Expr) -> Option<u32> {
    match expr {
        Expr::Value(v) => match &v.value {
            Value::Number(n, _) => n.parse().ok().filter(|n| *n > 0),
            _ => None,
        },
        _ => None,
    }
}

/// The folded path of a column, joined with dots.
fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(names) => Some(names.iter().map(folded).collect::<Vec<_>>().join(".")),
        _ => None,
    }
}
