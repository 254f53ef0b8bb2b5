//! A query as a tree, which the generator creates, the printer writes and the shrinker reduces.

use super::value::Ty;

/// A query with its CTEs, order and limit.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub ctes: Vec<Cte>,
    pub body: Body,
    pub order: Vec<Key>,
    pub limit: Option<Limit>,
}

impl Query {
    /// The SELECT; for a set operation its left side, which names the columns.
    pub(crate) fn items(&self) -> &[Item] {
        match &self.body {
            Body::Select(select) => &select.items,
            Body::Set { left, .. } => left.items(),
        }
    }
}

/// A query that has a name.
#[derive(Debug, Clone)]
pub(crate) struct Cte {
    pub name: String,
    pub is_recursive: bool,
    pub query: Query,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Select(Box<Select>),
    Set { op: SetOp, is_all: bool, left: Box<Query>, right: Box<Query> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOp {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// None for an offset only.
    pub count: Option<u64>,
    pub offset: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Select {
    pub is_distinct: bool,
    pub items: Vec<Item>,
    pub from: Option<From>,
    pub filter: Option<Expr>,
    pub group: Option<Group>,
    pub having: Option<Expr>,
}

/// An expression and its name.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub expr: Expr,
    pub name: String,
}

#[derive(Debug, Clone)]
pub(crate) enum Group {
    By(Vec<Expr>),
    Rollup(Vec<Expr>),
    Cube(Vec<Expr>),
    Sets(Vec<Vec<Expr>>),
}

#[derive(Debug, Clone)]
pub(crate) enum From {
    Table { name: String, alias: String },
    Query { query: Box<Query>, alias: String },
    Join { kind: JoinKind, left: Box<From>, right: Box<From>, on: Option<Expr> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
    LeftSemi,
    LeftAnti,
    RightSemi,
    RightAnti,
}

/// An expression and its sort order.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub expr: Expr,
    pub is_descending: bool,
    pub is_nulls_first: bool,
}

/// An expression of a known type.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub ty: Ty,
    /// The maximum number of decimal digits of a whole number; for floats, [`EXACT`] or [`ROUNDED`].
    pub digits: u32,
    pub form: Form,
}

/// A float whose sums are not rounded.
pub(crate) const EXACT: u32 = 0;
/// A rounded float: it is the same in every engine, but its sums are not.
pub(crate) const ROUNDED: u32 = 1;

/// Text with a `{}` for each operand. `duckdb` is the equivalent for DuckDB, or none if it has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template {
    pub plain: &'static str,
    pub duckdb: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub(crate) enum Form {
    Column { table: String, name: String },
    Literal(String),
    Template(Template, Vec<Expr>),
    Cast(Box<Expr>),
    Case { when: Vec<(Expr, Expr)>, otherwise: Option<Box<Expr>> },
    InList { value: Box<Expr>, is_negated: bool, list: Vec<Expr> },
    Subquery(Subquery, Box<Query>),
    Aggregate(Box<Aggregate>),
    Window(Box<Window>),
}

#[derive(Debug, Clone)]
pub(crate) enum Subquery {
    Scalar,
    Exists { is_negated: bool },
    In { value: Box<Expr>, is_negated: bool },
}

#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    pub function: &'static str,
    pub is_distinct: bool,
    pub arguments: Vec<Expr>,
    pub order: Vec<Key>,
    pub filter: Option<Expr>,
    /// Whether DuckDB has an equivalent.
    pub is_shared: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub function: &'static str,
    pub arguments: Vec<Expr>,
    pub is_ignoring_nulls: bool,
    pub partition: Vec<Expr>,
    pub order: Vec<Key>,
    pub frame: Option<String>,
}

impl Template {
    pub(crate) const fn same(text: &'static str) -> Self {
        Self { plain: text, duckdb: Some(text) }
    }

    pub(crate) const fn differs(plain: &'static str, duckdb: &'static str) -> Self {
        Self { plain, duckdb: Some(duckdb) }
    }

    /// For DataFusion only: DuckDB does not have it, or interprets it differently.
    pub(crate) const fn datafusion(text: &'static str) -> Self {
        Self { plain: text, duckdb: None }
    }
}

impl Expr {
    pub(crate) fn new(ty: Ty, digits: u32, form: Form) -> Self {
        Self { ty, digits, form }
    }

    pub(crate) fn template(ty: Ty, digits: u32, template: Template, operands: Vec<Expr>) -> Self {
        Self { ty, digits, form: Form::Template(template, operands) }
    }

    /// An operator that is written the same in all engines.
    pub(crate) fn same(ty: Ty, text: &'static str, operands: Vec<Expr>) -> Self {
        Self::template(ty, 0, Template::same(text), operands)
    }

    pub(crate) fn literal(ty: Ty, text: impl Into<String>) -> Self {
        Self { ty, digits: 0, form: Form::Literal(text.into()) }
    }

    pub(crate) fn null(ty: Ty) -> Self {
        Self::literal(ty, format!("CAST(NULL AS {})", ty.sql()))
    }

    pub(crate) fn cast(self, ty: Ty) -> Self {
        let digits = if ty == Ty::Double { EXACT } else { self.digits };
        Self { ty, digits, form: Form::Cast(Box::new(self)) }
    }

    pub(crate) fn column(table: &str, name: &str, ty: Ty, digits: u32) -> Self {
        Self { ty, digits, form: Form::Column { table: table.into(), name: name.into() } }
    }
}

impl Query {
    /// A query that is just a SELECT.
    pub(crate) fn of(select: Select) -> Self {
        Self { ctes: vec![], body: Body::Select(Box::new(select)), order: vec![], limit: None }
    }
}

impl Select {
    pub(crate) fn new(items: Vec<Item>, from: Option<From>) -> Self {
        Self { is_distinct: false, items, from, filter: None, group: None, having: None }
    }
}
