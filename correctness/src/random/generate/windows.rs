//! Window functions.

use super::super::query::{EXACT, Expr, Form, From, Key, Query, ROUNDED, Select, Window};
use super::super::value::Ty;
use super::values::{DIGITS_OF_COUNTS, MOST_DIGITS};
use super::{Column, Generator, Made, Position, Scope};

const FRAMES: [&str; 8] = [
    "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
    "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
    "ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "ROWS 2 PRECEDING",
];
/// Frames by value have the same rows for any order of ties.
const RANGES: [&str; 4] = [
    "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
];
/// These require a single key, a whole number.
const DISTANCES: [&str; 3] = [
    "RANGE BETWEEN 2 PRECEDING AND 2 FOLLOWING",
    "RANGE BETWEEN 5 PRECEDING AND CURRENT ROW",
    "RANGE BETWEEN CURRENT ROW AND 3 FOLLOWING",
];

impl Generator<'_> {
    /// A SELECT with window functions, sometimes as a subquery whose result is filtered.
    pub(super) fn windowed(&mut self, mut select: Select, scope: &Scope) -> Made {
        let mut columns = Vec::new();
        for _ in 0..self.dice.between(1, 3) {
            if let Some(column) = self.any_column(scope) {
                self.add_item(&mut select, &mut columns, column.expr(), scope.rows);
            }
        }
        let mut has_unsteady = false;
        for _ in 0..self.dice.between(1, 2) {
            let value = self.window(scope);
            if has_unsteady && is_unsteady(&value) && !scope.is_keyed {
                continue;
            }
            has_unsteady |= is_unsteady(&value);
            self.add_item(&mut select, &mut columns, value, scope.rows);
        }
        let made = Made { query: Query::of(select), columns, rows: scope.rows };
        if self.dice.percent(40) { self.filtered(made) } else { made }
    }

    fn filtered(&mut self, made: Made) -> Made {
        let alias = self.name("q");
        let inner: Vec<Column> = made.columns.iter().map(|c| Column { table: alias.clone(), ..c.clone() }).collect();
        let scope = Scope { unique: inner.clone(), is_keyed: false, columns: inner, rows: made.rows };
        let from = From::Query { query: Box::new(made.query), alias };
        let mut select = Select::new(vec![], Some(from));
        let mut columns = Vec::new();
        for column in &scope.columns {
            self.add_item(&mut select, &mut columns, column.expr(), scope.rows);
        }
        let last = scope.columns.last().map(Column::expr);
        select.filter = match last {
            // The first rows of each key, which have their own plan.
            Some(last) if last.ty == Ty::BigInt && self.dice.percent(60) => {
                let most = Expr::literal(Ty::BigInt, self.dice.between(1, 3).to_string());
                let text = if self.dice.percent(50) { "({} = {})" } else { "({} <= {})" };
                Some(Expr::same(Ty::Bool, text, vec![last, most]))
            }
            _ => Some(self.predicate(&scope, 1, Position::Filter)),
        };
        Made { query: Query::of(select), columns, rows: scope.rows }
    }

    fn window(&mut self, scope: &Scope) -> Expr {
        let mut partition = Vec::new();
        for _ in 0..self.dice.weighted(&[(3, 0), (5, 1), (1, 2)]) {
            if let Some(column) = self.any_column(scope) {
                partition.push(column.expr());
            }
        }
        let order = self.some_keys(scope);
        match self.dice.below(12) {
            0 | 1 => self.placed("row_number", vec![], scope, partition, order),
            2 | 3 => {
                // Ties matter for these.
                let function = *self.dice.pick(&["rank", "dense_rank"]);
                window(function, Ty::BigInt, DIGITS_OF_COUNTS, vec![], partition, order, None)
            }
            4 => {
                let function = *self.dice.pick(&["percent_rank", "cume_dist"]);
                window(function, Ty::Double, ROUNDED, vec![], partition, order, None)
            }
            5 => {
                let buckets = Expr::literal(Ty::BigInt, self.dice.between(1, 5).to_string());
                self.placed("ntile", vec![buckets], scope, partition, order)
            }
            6 | 7 => self.neighbour(scope, partition, order),
            8 => self.ends(scope, partition, order),
            _ => self.running(scope, partition, order),
        }
    }

    fn some_keys(&mut self, scope: &Scope) -> Vec<Key> {
        let mut keys = Vec::new();
        for _ in 0..self.dice.weighted(&[(1, 0), (5, 1), (2, 2)]) {
            let Some(column) = self.any_column(scope) else { continue };
            let expr = if self.dice.percent(80) {
                column.expr()
            } else {
                self.value(scope, column.ty, 1, Position::Elsewhere)
            };
            keys.push(self.key(expr));
        }
        keys
    }

    /// The keys, extended until tied rows are identical.
    fn total(&mut self, scope: &Scope, mut order: Vec<Key>) -> Vec<Key> {
        for column in &scope.unique {
            order.push(self.key(column.expr()));
        }
        order
    }

    fn placed(
        &mut self,
        function: &'static str,
        arguments: Vec<Expr>,
        scope: &Scope,
        partition: Vec<Expr>,
        order: Vec<Key>,
    ) -> Expr {
        let order = self.total(scope, order);
        window(function, Ty::BigInt, DIGITS_OF_COUNTS, arguments, partition, order, None)
    }

    fn neighbour(&mut self, scope: &Scope, partition: Vec<Expr>, order: Vec<Key>) -> Expr {
        let Some(column) = self.any_column(scope) else {
            return self.placed("row_number", vec![], scope, partition, order);
        };
        let order = self.total(scope, order);
        let mut arguments = vec![column.expr()];
        if self.dice.percent(60) {
            arguments.push(Expr::literal(Ty::BigInt, self.dice.between(1, 3).to_string()));
            if self.dice.percent(40) {
                arguments.push(self.literal(column.ty));
            }
        }
        let function = *self.dice.pick(&["lag", "lead"]);
        let found = window(function, column.ty, column.digits, arguments, partition, order, None);
        self.ignoring(found)
    }

    fn ends(&mut self, scope: &Scope, partition: Vec<Expr>, order: Vec<Key>) -> Expr {
        let Some(column) = self.any_column(scope) else {
            return self.placed("row_number", vec![], scope, partition, order);
        };
        let order = self.total(scope, order);
        let function = *self.dice.pick(&["first_value", "last_value", "nth_value"]);
        let mut arguments = vec![column.expr()];
        if function == "nth_value" {
            arguments.push(Expr::literal(Ty::BigInt, self.dice.between(1, 3).to_string()));
        }
        let frame = self.dice.percent(60).then(|| (*self.dice.pick(&FRAMES)).to_string());
        let found = window(function, column.ty, column.digits, arguments, partition, order, frame);
        self.ignoring(found)
    }

    fn ignoring(&mut self, mut found: Expr) -> Expr {
        if let Form::Window(window) = &mut found.form {
            window.is_ignoring_nulls = self.dice.percent(30);
        }
        found
    }

    /// An aggregate over a frame.
    fn running(&mut self, scope: &Scope, partition: Vec<Expr>, order: Vec<Key>) -> Expr {
        let column = self.any_column(scope);
        let number = self.column_of(scope, |c| c.ty.is_number());
        let (function, ty, digits, arguments) = match (self.dice.below(6), column, number) {
            (0, _, _) | (_, None, _) => ("count", Ty::BigInt, DIGITS_OF_COUNTS, vec![]),
            (1, Some(column), _) => ("count", Ty::BigInt, DIGITS_OF_COUNTS, vec![column.expr()]),
            (2 | 3, _, Some(n)) => match n.ty {
                Ty::Int | Ty::BigInt if n.digits + 6 <= MOST_DIGITS => {
                    ("sum", Ty::BigInt, n.digits + 6, vec![n.expr()])
                }
                Ty::Decimal(p, s) if p <= 28 => ("sum", Ty::Decimal(p + 10, s), 0, vec![n.expr()]),
                Ty::Double if n.digits == EXACT => ("sum", Ty::Double, EXACT, vec![n.expr()]),
                ty => ("max", ty, n.digits, vec![n.expr()]),
            },
            (4, _, Some(n)) if n.ty == Ty::Int || (n.ty == Ty::Double && n.digits == EXACT) => {
                ("avg", Ty::Double, ROUNDED, vec![n.expr()])
            }
            (_, Some(column), _) => (*self.dice.pick(&["min", "max"]), column.ty, column.digits, vec![column.expr()]),
        };
        let (order, frame) = self.frame(scope, order);
        window(function, ty, digits, arguments, partition, order, frame)
    }

    fn frame(&mut self, scope: &Scope, order: Vec<Key>) -> (Vec<Key>, Option<String>) {
        match self.dice.below(8) {
            0..3 => (self.total(scope, order), Some((*self.dice.pick(&FRAMES)).to_string())),
            3 | 4 if !order.is_empty() => (order, Some((*self.dice.pick(&RANGES)).to_string())),
            5 => match self.column_of(scope, |c| matches!(c.ty, Ty::Int | Ty::BigInt)) {
                Some(column) => (vec![self.key(column.expr())], Some((*self.dice.pick(&DISTANCES)).to_string())),
                None => (order, None),
            },
            _ => (order, None),
        }
    }
}

/// Whether identical rows may get different values.
fn is_unsteady(value: &Expr) -> bool {
    let Form::Window(window) = &value.form else { return false };
    match window.function {
        "rank" | "dense_rank" | "percent_rank" | "cume_dist" => false,
        "count" | "sum" | "avg" | "min" | "max" => window.frame.as_ref().is_some_and(|frame| frame.starts_with("ROWS")),
        _ => true,
    }
}

fn window(
    function: &'static str,
    ty: Ty,
    digits: u32,
    arguments: Vec<Expr>,
    partition: Vec<Expr>,
    order: Vec<Key>,
    frame: Option<String>,
) -> Expr {
    let window = Window { function, arguments, is_ignoring_nulls: false, partition, order, frame };
    Expr::new(ty, digits, Form::Window(Box::new(window)))
}
