//! Random queries, the same for the same seed and tables.
//!
//! They have only one right result, in DataFusion and in DuckDB. Others are avoided where they would be generated, with
//! a comment there:
//! - everything that depends on the order of rows (LIMIT, ROW_NUMBER, LAG, ROWS frames) is ordered by enough columns
//!   that tied rows are identical;
//! - a SELECT has only one such function if rows may be identical: with two, the combination of their values is
//!   arbitrary;
//! - every ORDER BY places nulls explicitly;
//! - floats are quarters, whose sums are exact, and rounded values are not summed;
//! - whole numbers carry their maximum number of digits, so that none overflows;
//! - literals have the type of the expression beside them, because `1.5` is a float in DataFusion and a decimal in
//!   DuckDB;
//! - where the engines' SQL differs, a template has the text for each, or says that DuckDB does not run it.

mod aggregates;
mod from;
mod predicates;
mod values;
mod windows;

use super::dice::Dice;
use super::query::{Body, Cte, Expr, Form, Item, Key, Limit, Query, Select, SetOp};
use super::schema::Table;
use super::value::Ty;

/// The maximum estimated number of rows of a join or product, ...
const MOST_ROWS: f64 = 20_000.0;
/// ... and of the pairs that it compares.
const MOST_PAIRS: f64 = 200_000.0;

/// A column that expressions may use.
#[derive(Debug, Clone)]
struct Column {
    table: String,
    name: String,
    ty: Ty,
    digits: u32,
    /// Its approximate number of distinct values.
    distinct: f64,
}

/// The visible columns, and properties of their rows.
#[derive(Debug, Clone, Default)]
struct Scope {
    columns: Vec<Column>,
    /// Columns in which no two rows are the same, or else rows that are the same in them are the same in all columns.
    unique: Vec<Column>,
    /// Whether no two rows are the same in these columns.
    is_keyed: bool,
    rows: f64,
}

/// A query and its output columns, for use in another one.
#[derive(Debug, Clone)]
struct Made {
    query: Query,
    columns: Vec<Column>,
    rows: f64,
}

/// The position of an expression, which decides what subqueries it may have: DataFusion cannot plan all of them
/// everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// WHERE: all subqueries.
    Filter,
    /// The list of a SELECT: scalar subqueries.
    Items,
    /// Elsewhere: uncorrelated scalar subqueries.
    Elsewhere,
    /// No subqueries.
    Plain,
}

/// The query of this number.
pub(crate) fn query(tables: &[Table], seed: u64, number: u64) -> Query {
    let mut generator = Generator { dice: Dice::new(seed, number), tables, names: 0, ctes: vec![] };
    generator.top()
}

struct Generator<'a> {
    dice: Dice,
    tables: &'a [Table],
    names: usize,
    ctes: Vec<Made>,
}

impl Column {
    fn expr(&self) -> Expr {
        Expr::column(&self.table, &self.name, self.ty, self.digits)
    }
}

impl Generator<'_> {
    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn top(&mut self) -> Query {
        let ctes = if self.dice.percent(20) { self.some_ctes() } else { vec![] };
        let depth = self.dice.weighted(&[(2, 1), (4, 2), (3, 3)]);
        let mut made = self.query(depth);
        if self.dice.percent(50) {
            self.sort(&mut made, 40);
        }
        made.query.ctes = ctes;
        made.query
    }

    fn some_ctes(&mut self) -> Vec<Cte> {
        let mut ctes = Vec::new();
        for _ in 0..self.dice.between(1, 2) {
            let is_recursive = self.dice.percent(25);
            let made = if is_recursive { self.recursive() } else { self.query(1) };
            let name = match made.columns.first() {
                Some(column) if is_recursive => column.table.clone(),
                _ => self.name("c"),
            };
            ctes.push(Cte { name: name.clone(), is_recursive, query: made.query.clone() });
            let columns = made.columns.into_iter().map(|c| Column { table: name.clone(), ..c }).collect();
            self.ctes.push(Made { columns, ..made });
        }
        ctes
    }

    /// A recursive query that counts up from rows of a table, and may join it in each step.
    fn recursive(&mut self) -> Made {
        let name = self.name("c");
        let (from, scope) = self.table_of(20.0);
        let start = self.whole_number(&scope).cast(Ty::BigInt);
        let value = self.value(&scope, Ty::Text, 1, Position::Plain).cast(Ty::Text);
        let (n, v) = (self.name("x"), self.name("x"));
        let item = |expr: Expr, name: &String| Item { expr, name: name.clone() };
        let steps = self.dice.between(1, 4);
        let zero = Expr::literal(Ty::BigInt, "CAST(0 AS BIGINT)");
        // From at least 0 whatever the rows have, so that it ends.
        let start = if self.dice.percent(50) { zero } else { self.bounded(start) };
        let base = Select::new(vec![item(start, &n), item(value, &v)], Some(from));
        let counter = Expr::column(&name, &n, Ty::BigInt, 3);
        let text = Expr::column(&name, &v, Ty::Text, 0);
        let next = Expr::same(Ty::BigInt, "({} + CAST(1 AS BIGINT))", vec![counter.clone()]);
        let table = super::query::From::Table { name: name.clone(), alias: name.clone() };
        let mut step = Select::new(vec![item(next, &n), item(text, &v)], Some(table));
        let limit = Expr::literal(Ty::BigInt, steps.to_string());
        step.filter = Some(Expr::same(Ty::Bool, "({} < {})", vec![counter.clone(), limit]));
        let mut factor = 1.0;
        if self.dice.percent(40) {
            let (other, other_scope) = self.table_of(7.0);
            factor = other_scope.rows.max(1.0);
            let key = self.whole_number(&other_scope);
            let on = Expr::same(Ty::Bool, "({} = {})", vec![counter, key]);
            let left = step.from.take().map(Box::new);
            step.from = left.map(|left| super::query::From::Join {
                kind: super::query::JoinKind::Inner,
                left,
                right: Box::new(other),
                on: Some(on),
            });
        }
        let (left, right) = (Box::new(Query::of(base)), Box::new(Query::of(step)));
        let body = Body::Set { op: SetOp::Union, is_all: true, left, right };
        let rows = scope.rows * factor.powi(2) * (steps + 1) as f64;
        let column = |name: &String, ty, digits| Column {
            table: String::new(),
            name: name.clone(),
            ty,
            digits,
            distinct: steps as f64,
        };
        let mut columns = vec![column(&n, Ty::BigInt, 3), column(&v, Ty::Text, 0)];
        columns[0].table = name;
        Made { query: Query { ctes: vec![], body, order: vec![], limit: None }, columns, rows }
    }

    /// The number, reduced to 0..3.
    fn bounded(&mut self, number: Expr) -> Expr {
        Expr::same(Ty::BigInt, "(abs({}) % CAST(3 AS BIGINT))", vec![number])
    }

    fn query(&mut self, depth: u32) -> Made {
        if depth > 0 && self.dice.percent(15) {
            return self.set(depth);
        }
        self.select(depth, None)
    }

    /// A query for use inside of another one, which may have a LIMIT.
    fn inner_query(&mut self, depth: u32) -> Made {
        let mut made = self.query(depth);
        if self.dice.percent(12) {
            self.sort(&mut made, 100);
        }
        made
    }

    fn set(&mut self, depth: u32) -> Made {
        let mut left = self.branch(depth - 1, None);
        let types: Vec<Ty> = left.columns.iter().map(|c| c.ty).collect();
        let mut right = self.branch(depth - 1, Some(&types));
        if self.dice.percent(15) {
            std::mem::swap(&mut left, &mut right);
        }
        // DataFusion 55 loses the names of a union whose left side is found to be empty if the right side has a LIMIT.
        if has_limit(&right.query) {
            let names: Vec<String> = left.columns.iter().map(|c| c.name.clone()).collect();
            rename(&mut right.query, &names);
        }
        let op = self.dice.weighted(&[(5, SetOp::Union), (2, SetOp::Intersect), (3, SetOp::Except)]);
        let is_all = self.dice.percent(if op == SetOp::Union { 60 } else { 20 });
        let rows = left.rows + right.rows;
        // The names are those of the left side.
        let widest = |(l, r): (&Column, &Column)| Column {
            table: String::new(),
            digits: l.digits.max(r.digits),
            distinct: l.distinct + r.distinct,
            ..l.clone()
        };
        let columns = left.columns.iter().zip(&right.columns).map(widest).collect();
        let body = Body::Set { op, is_all, left: Box::new(left.query), right: Box::new(right.query) };
        Made { query: Query { ctes: vec![], body, order: vec![], limit: None }, columns, rows }
    }

    fn branch(&mut self, depth: u32, types: Option<&[Ty]>) -> Made {
        let is_nested = depth > 0 && types.is_none() && self.dice.percent(20);
        let mut made = if is_nested { self.set(depth) } else { self.select(depth, types) };
        if self.dice.percent(15) {
            self.sort(&mut made, 100);
        }
        made
    }

    /// Sorts, with a LIMIT in this percentage of cases; then by all columns, so that the order is total. Without a
    /// LIMIT one column is sufficient, and plans move such sorts to where they can be lost.
    fn sort(&mut self, made: &mut Made, limited: u32) {
        let mut columns = made.columns.clone();
        self.dice.shuffle(&mut columns);
        let is_limited = self.dice.percent(limited);
        if !is_limited && self.dice.percent(60) {
            columns.truncate(1);
        }
        let columns = columns.into_iter().map(|c| Column { table: String::new(), ..c });
        made.query.order = columns.map(|c| self.key(c.expr())).collect();
        if is_limited {
            let most = self.dice.between(0, 20) as u64;
            let offset = if self.dice.percent(30) { self.dice.between(1, 10) as u64 } else { 0 };
            let count = (offset == 0 || self.dice.percent(70)).then_some(most);
            made.query.limit = Some(Limit { count, offset });
            made.rows = count.map_or(made.rows, |count| made.rows.min(count as f64));
        }
    }

    fn key(&mut self, expr: Expr) -> Key {
        Key { expr, is_descending: self.dice.percent(40), is_nulls_first: self.dice.percent(50) }
    }

    /// A SELECT, with columns of these types if there are any.
    fn select(&mut self, depth: u32, types: Option<&[Ty]>) -> Made {
        let (from, scope) = if self.dice.percent(3) {
            (None, Scope { rows: 1.0, ..Scope::default() })
        } else {
            let (from, scope) = self.from(depth);
            (Some(from), scope)
        };
        let mut select = Select::new(vec![], from);
        if self.dice.percent(45) {
            select.filter = Some(self.predicate(&scope, depth.min(2) + 1, Position::Filter));
        }
        let kind = self.dice.weighted(&[(8, 0), (6, 1), (4, 2), (2, 3)]);
        match (kind, types) {
            (1, None) if !scope.columns.is_empty() => return self.grouped(select, &scope),
            (2, None) if !scope.columns.is_empty() => return self.windowed(select, &scope),
            (3, _) => select.is_distinct = true,
            _ => {}
        }
        let wanted: Vec<Option<Ty>> = match types {
            Some(types) => types.iter().map(|t| Some(*t)).collect(),
            None => vec![None; self.dice.between(1, 4) as usize],
        };
        let mut columns = Vec::new();
        for ty in wanted {
            let expr = match ty {
                Some(ty) => self.value(&scope, ty, 1, Position::Items),
                None => self.any_value(&scope, 2, Position::Items),
            };
            self.add_item(&mut select, &mut columns, expr, scope.rows);
        }
        Made { query: Query::of(select), columns, rows: scope.rows }
    }

    fn add_item(&mut self, select: &mut Select, columns: &mut Vec<Column>, expr: Expr, rows: f64) {
        let name = self.name("x");
        let (ty, digits) = (expr.ty, expr.digits);
        columns.push(Column { table: String::new(), name: name.clone(), ty, digits, distinct: rows.clamp(1.0, 50.0) });
        select.items.push(Item { expr, name });
    }
}

fn has_limit(query: &Query) -> bool {
    query.limit.is_some()
        || match &query.body {
            Body::Select(_) => false,
            Body::Set { left, right, .. } => has_limit(left) || has_limit(right),
        }
}

/// Renames the columns of a query.
fn rename(query: &mut Query, names: &[String]) {
    let old = output_names(query);
    for key in &mut query.order {
        if let Form::Column { name, .. } = &mut key.expr.form
            && let Some(n) = old.iter().position(|o| o == name)
        {
            name.clone_from(&names[n]);
        }
    }
    match &mut query.body {
        Body::Select(select) => {
            for (item, name) in select.items.iter_mut().zip(names) {
                item.name.clone_from(name);
            }
        }
        Body::Set { left, right, .. } => {
            rename(left, names);
            rename(right, names);
        }
    }
}

fn output_names(query: &Query) -> Vec<String> {
    match &query.body {
        Body::Select(select) => select.items.iter().map(|item| item.name.clone()).collect(),
        Body::Set { left, .. } => output_names(left),
    }
}

#[cfg(test)]
mod tests {
    use super::super::print::{Dialect, sql};
    use super::super::schema::tables;
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_queries() {
        let tables = tables(3);
        let text = |number| sql(&query(&tables, 3, number), Dialect::DataFusion).unwrap();
        for number in 0..200 {
            assert_eq!(text(number), text(number));
        }
    }
}
