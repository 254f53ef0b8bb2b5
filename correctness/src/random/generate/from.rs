//! The FROM clause: tables, subqueries, and joins of every kind, none of which returns too many rows for a test.

use super::super::query::{Expr, Form, From, JoinKind, Query, Subquery};
use super::super::schema::Table;
use super::super::value::Ty;
use super::{Column, Generator, MOST_PAIRS, MOST_ROWS, Made, Position, Scope};

/// Whether two columns may have common values.
fn meet(left: &Column, right: &Column) -> bool {
    let is_whole = |c: &Column| matches!(c.ty, Ty::Int | Ty::BigInt);
    left.ty == right.ty || (is_whole(left) && is_whole(right))
}

impl Generator<'_> {
    pub(super) fn from(&mut self, depth: u32) -> (From, Scope) {
        if depth > 0 && self.dice.percent(50) {
            return self.join(depth);
        }
        self.single(depth)
    }

    fn single(&mut self, depth: u32) -> (From, Scope) {
        if !self.ctes.is_empty() && self.dice.percent(40) {
            let made = self.dice.pick(&self.ctes).clone();
            let name = made.columns.first().map(|c| c.table.clone()).unwrap_or_default();
            let alias = self.name("r");
            let scope = scope_of(&made, &alias);
            return (From::Table { name, alias }, scope);
        }
        if depth > 0 && self.dice.percent(30) {
            let made = self.inner_query(depth - 1);
            let alias = self.name("q");
            let scope = scope_of(&made, &alias);
            return (From::Query { query: Box::new(made.query), alias }, scope);
        }
        self.table_of(f64::INFINITY)
    }

    /// A table with at most this number of rows.
    pub(super) fn table_of(&mut self, most_rows: f64) -> (From, Scope) {
        let fitting: Vec<usize> =
            (0..self.tables.len()).filter(|t| self.tables[*t].rows.len() as f64 <= most_rows).collect();
        // The smallest is always allowed. Empty tables are rare, or most results would be empty.
        let choices: Vec<(u32, usize)> = fitting.iter().map(|t| (if *t < 2 { 1 } else { 5 }, *t)).collect();
        let table = &self.tables[self.dice.weighted(&choices)];
        let alias = self.name("r");
        let scope = table_scope(table, &alias);
        (From::Table { name: table.name.clone(), alias }, scope)
    }

    fn join(&mut self, depth: u32) -> (From, Scope) {
        let (left, left_scope) = self.from(depth - 1);
        let (mut right, mut right_scope) =
            if self.dice.percent(75) { self.single(depth - 1) } else { self.from(depth - 1) };
        let kind = self.dice.weighted(&[
            (6, JoinKind::Inner),
            (6, JoinKind::Left),
            (4, JoinKind::Right),
            (4, JoinKind::Full),
            (2, JoinKind::Cross),
            (2, JoinKind::LeftSemi),
            (2, JoinKind::LeftAnti),
            (1, JoinKind::RightSemi),
            (1, JoinKind::RightAnti),
        ]);
        let mut condition = self.condition(kind, &left_scope, &right_scope);
        if condition.is_none() {
            // Small enough for any condition.
            (right, right_scope) = self.table_of((MOST_ROWS / left_scope.rows.max(1.0)).max(1.0));
            condition = self.condition(kind, &left_scope, &right_scope);
        }
        let (kind, on, rows) =
            condition.unwrap_or((JoinKind::LeftSemi, Some(Expr::literal(Ty::Bool, "TRUE")), left_scope.rows));
        let scope = joined(kind, left_scope, right_scope, rows);
        (From::Join { kind, left: Box::new(left), right: Box::new(right), on }, scope)
    }

    /// The join condition and the maximum number of rows, or none if there would be too many.
    fn condition(&mut self, kind: JoinKind, left: &Scope, right: &Scope) -> Option<(JoinKind, Option<Expr>, f64)> {
        let pairs = left.rows * right.rows;
        let padded = left.rows + right.rows;
        if kind == JoinKind::Cross {
            return (pairs <= MOST_ROWS).then_some((kind, None, pairs));
        }
        let both = Scope {
            columns: left.columns.iter().chain(&right.columns).cloned().collect(),
            unique: vec![],
            is_keyed: false,
            rows: pairs,
        };
        let style = self.dice.weighted(&[(10, 0), (5, 1), (4, 2), (3, 3), (1, 4), (2, 5)]);
        let small = pairs <= MOST_PAIRS && (pairs / 3.0 <= MOST_ROWS || is_one_sided(kind));
        match style {
            // Without an equality.
            2 if small => {
                let on = self.range(left, right)?;
                let on = if self.dice.percent(30) { self.and_more(on, &both) } else { on };
                Some((kind, Some(on), pairs + padded))
            }
            // Null-safe: nulls match nulls, of which there may be many.
            3 if small => {
                let (a, b) = self.keys(left, right, 0.0)?;
                let on = Expr::same(Ty::Bool, "({} IS NOT DISTINCT FROM {})", vec![a.expr(), b.expr()]);
                let on = if self.dice.percent(30) { self.and_more(on, &both) } else { on };
                Some((kind, Some(on), pairs + padded))
            }
            4 if small => {
                let on = Expr::literal(Ty::Bool, if self.dice.percent(50) { "TRUE" } else { "FALSE" });
                Some((kind, Some(on), pairs + padded))
            }
            // One equality or another, or any condition.
            5 if small => {
                let on = if self.dice.percent(60) {
                    let (a, b) = (self.equality(left, right, 0.0)?, self.equality(left, right, 0.0)?);
                    Expr::same(Ty::Bool, "({} OR {})", vec![a.0, b.0])
                } else {
                    self.predicate(&both, 2, Position::Plain)
                };
                Some((kind, Some(on), pairs + padded))
            }
            _ => {
                let (mut on, rows) = self.equality(left, right, pairs / MOST_ROWS)?;
                if self.dice.percent(20) {
                    let (more, _) = self.equality(left, right, 0.0)?;
                    on = Expr::same(Ty::Bool, "({} AND {})", vec![on, more]);
                }
                if style == 1 {
                    on = self.and_more(on, &both);
                }
                Some((kind, Some(on), rows + padded))
            }
        }
    }

    fn and_more(&mut self, on: Expr, both: &Scope) -> Expr {
        let position = if self.dice.percent(15) { Position::Elsewhere } else { Position::Plain };
        let more = self.predicate(both, 2, position);
        Expr::same(Ty::Bool, "({} AND {})", vec![on, more])
    }

    /// A pair of columns that can match, one of them with at least this number of distinct values.
    fn keys(&mut self, left: &Scope, right: &Scope, distinct: f64) -> Option<(Column, Column)> {
        let mut pairs = Vec::new();
        for a in &left.columns {
            for b in &right.columns {
                if meet(a, b) && a.distinct.max(b.distinct) >= distinct {
                    pairs.push((a, b));
                }
            }
        }
        (!pairs.is_empty()).then(|| self.dice.pick(&pairs)).map(|(a, b)| ((*a).clone(), (*b).clone()))
    }

    fn equality(&mut self, left: &Scope, right: &Scope, distinct: f64) -> Option<(Expr, f64)> {
        let (a, b) = self.keys(left, right, distinct)?;
        let rows = left.rows * right.rows / a.distinct.max(b.distinct).max(1.0);
        let (mut x, y) = (a.expr(), b.expr());
        if matches!(x.ty, Ty::Int | Ty::BigInt) && self.dice.percent(15) {
            x = Expr::template(
                Ty::BigInt,
                x.digits + 1,
                super::super::query::Template::same("({} + CAST(1 AS BIGINT))"),
                vec![x],
            );
        }
        let sides = if self.dice.percent(50) { vec![x, y] } else { vec![y, x] };
        Some((Expr::same(Ty::Bool, "({} = {})", sides), rows))
    }

    fn range(&mut self, left: &Scope, right: &Scope) -> Option<Expr> {
        let mut found = self.keys(left, right, 0.0)?;
        for _ in 0..5 {
            if found.0.ty == Ty::Bool {
                found = self.keys(left, right, 0.0)?;
            }
        }
        let (a, b) = (found.0.expr(), found.1.expr());
        let text = *self.dice.pick(&["({} < {})", "({} <= {})", "({} > {})", "({} >= {})", "({} <> {})"]);
        // Not all engines order booleans.
        Some(Expr::same(Ty::Bool, if a.ty == Ty::Bool { "({} <> {})" } else { text }, vec![a, b]))
    }

    /// `EXISTS` or `IN` over a table, correlated or not.
    pub(super) fn semi(&mut self, scope: &Scope) -> Option<Expr> {
        let most_rows = MOST_PAIRS / scope.rows.max(1.0);
        let (from, inner) = self.table_of(most_rows.max(1.0));
        let is_negated = self.dice.percent(45);
        let mut filter = None;
        let is_tied = self.dice.percent(65);
        if is_tied {
            let is_equal = self.dice.percent(75);
            let tie = if is_equal { self.equality(&inner, scope, 0.0).map(|e| e.0) } else { self.range(&inner, scope) };
            filter = Some(tie?);
        }
        if self.dice.percent(40) {
            let more = self.predicate(&inner, 1, Position::Plain);
            filter = Some(match filter {
                Some(tie) => Expr::same(Ty::Bool, "({} AND {})", vec![tie, more]),
                None => more,
            });
        }
        let (subquery, item) = if self.dice.percent(50) {
            (Subquery::Exists { is_negated }, Expr::literal(Ty::BigInt, "1"))
        } else {
            let (value, item) = self.keys(scope, &inner, 0.0)?;
            // DataFusion 55 returns no rows for a correlated NOT IN if there is a null, even one that the correlation
            // excludes.
            let is_negated = is_negated && !is_tied;
            (Subquery::In { value: Box::new(value.expr()), is_negated }, item.expr())
        };
        let name = self.name("x");
        let item = super::super::query::Item { expr: item, name };
        let mut select = super::super::query::Select::new(vec![item], Some(from));
        select.is_distinct = !is_tied && self.dice.percent(10);
        select.filter = filter;
        Some(Expr::new(Ty::Bool, 0, Form::Subquery(subquery, Box::new(Query::of(select)))))
    }

    /// A single value of a table: an aggregate, correlated or not.
    pub(super) fn scalar(&mut self, outer: Option<&Scope>, ty: Ty) -> Option<Expr> {
        let most_rows = outer.map_or(f64::INFINITY, |o| MOST_PAIRS / o.rows.max(1.0));
        let (from, inner) = self.table_of(most_rows.max(1.0));
        let mut filter = self.dice.percent(40).then(|| self.predicate(&inner, 1, Position::Plain));
        if let Some(outer) = outer {
            let (tie, _) = self.equality(&inner, outer, 0.0)?;
            filter = Some(match filter {
                Some(more) => Expr::same(Ty::Bool, "({} AND {})", vec![tie, more]),
                None => tie,
            });
        }
        let value = self.aggregate_of(&inner, ty)?;
        let digits = value.digits;
        let name = self.name("x");
        let item = super::super::query::Item { expr: value, name };
        let mut select = super::super::query::Select::new(vec![item], Some(from));
        select.filter = filter;
        Some(Expr::new(ty, digits, Form::Subquery(Subquery::Scalar, Box::new(Query::of(select)))))
    }
}

fn is_one_sided(kind: JoinKind) -> bool {
    matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::RightSemi | JoinKind::RightAnti)
}

fn joined(kind: JoinKind, left: Scope, right: Scope, rows: f64) -> Scope {
    match kind {
        JoinKind::LeftSemi | JoinKind::LeftAnti => left,
        JoinKind::RightSemi | JoinKind::RightAnti => right,
        _ => Scope {
            columns: left.columns.into_iter().chain(right.columns).collect(),
            unique: left.unique.into_iter().chain(right.unique).collect(),
            is_keyed: left.is_keyed && right.is_keyed,
            rows,
        },
    }
}

fn scope_of(made: &Made, alias: &str) -> Scope {
    let columns: Vec<Column> = made.columns.iter().map(|c| Column { table: alias.into(), ..c.clone() }).collect();
    // Rows that are the same in all columns are identical.
    Scope { unique: columns.clone(), is_keyed: false, columns, rows: made.rows }
}

fn table_scope(table: &Table, alias: &str) -> Scope {
    let column = |c: &super::super::schema::ColumnDef| Column {
        table: alias.into(),
        name: c.name.clone(),
        ty: c.ty,
        digits: match c.ty {
            Ty::Int => 4,
            Ty::BigInt => 9,
            _ => 0,
        },
        distinct: c.distinct as f64,
    };
    let columns: Vec<Column> = table.columns.iter().map(column).collect();
    Scope { unique: columns[..1].to_vec(), is_keyed: true, columns, rows: table.rows.len() as f64 }
}
