//! Groups and their aggregates.

use super::super::query::{Aggregate, EXACT, Expr, Form, Group, Key, Query, ROUNDED, Select, Template};
use super::super::value::Ty;
use super::values::{DIGITS_OF_COUNTS, MOST_DIGITS};
use super::{Column, Generator, Made, Position, Scope};

/// The digits that the number of rows can add to a sum.
const DIGITS_OF_ROWS: u32 = 6;
/// Decimals end at 38 digits, and a sum has ten more than its terms.
const MOST_SUMMED: u8 = 28;

impl Generator<'_> {
    /// A SELECT with groups, or with one group of all rows.
    pub(super) fn grouped(&mut self, mut select: Select, scope: &Scope) -> Made {
        let mut keys: Vec<Expr> = Vec::new();
        for _ in 0..self.dice.weighted(&[(3, 0), (5, 1), (4, 2), (2, 3)]) {
            let Some(column) = self.any_column(scope) else { continue };
            keys.push(if self.dice.percent(75) { column.expr() } else { self.grouping_key(scope, &column) });
        }
        let mut columns = Vec::new();
        let rows = if keys.is_empty() { 1.0 } else { scope.rows };
        for key in &keys {
            self.add_item(&mut select, &mut columns, key.clone(), rows);
        }
        let is_in_sets = keys.len() > 1 && self.dice.percent(45);
        if is_in_sets && self.dice.percent(60) {
            let key = self.dice.pick(&keys).clone();
            let mark = Expr::same(Ty::Int, "grouping({})", vec![key]);
            self.add_item(&mut select, &mut columns, mark.cast(Ty::Int), rows);
        }
        for _ in 0..self.dice.between(i64::from(keys.is_empty()), 3) {
            let mut value = self.aggregate(scope);
            if self.dice.percent(15) {
                value = self.computed(value);
            }
            self.add_item(&mut select, &mut columns, value, rows);
        }
        if self.dice.percent(20) {
            select.having = Some(self.having(scope));
        }
        if !keys.is_empty() {
            select.group = Some(if is_in_sets { self.sets(keys) } else { Group::By(keys) });
        }
        Made { query: Query::of(select), columns, rows: if is_in_sets { rows * 3.0 } else { rows } }
    }

    /// An expression that is not a literal, which GROUP BY would interpret as a position.
    fn grouping_key(&mut self, scope: &Scope, column: &Column) -> Expr {
        let value = self.value(scope, column.ty, 1, Position::Plain);
        if has_column(&value) { value } else { column.expr() }
    }

    fn sets(&mut self, keys: Vec<Expr>) -> Group {
        match self.dice.below(3) {
            0 => Group::Rollup(keys),
            1 => Group::Cube(keys),
            _ => {
                let mut sets = vec![keys.clone()];
                for _ in 0..self.dice.between(1, 3) {
                    let mut set = keys.clone();
                    set.retain(|_| self.dice.percent(50));
                    sets.push(set);
                }
                Group::Sets(sets)
            }
        }
    }

    fn having(&mut self, scope: &Scope) -> Expr {
        let value = self.aggregate(scope);
        match value.ty {
            Ty::Bool => value,
            ty if self.dice.percent(20) => {
                let other = self.scalar(None, ty).unwrap_or_else(|| self.literal(ty));
                Expr::same(Ty::Bool, "({} >= {})", vec![value, other])
            }
            ty => {
                let literal = self.literal(ty);
                let text = *self.dice.pick(&["({} > {})", "({} <= {})", "({} <> {})"]);
                Expr::same(Ty::Bool, text, vec![value, literal])
            }
        }
    }

    /// An expression over an aggregate's value.
    fn computed(&mut self, value: Expr) -> Expr {
        match value.ty {
            Ty::BigInt if value.digits < MOST_DIGITS => {
                let digits = value.digits + 1;
                Expr::template(Ty::BigInt, digits, Template::same("({} + CAST(1 AS BIGINT))"), vec![value])
            }
            Ty::Text => Expr::same(Ty::Text, "({} || '!')", vec![value]),
            ty => {
                let (digits, literal) = (value.digits, self.literal(ty));
                Expr::template(ty, digits.max(literal.digits), Template::same("coalesce({}, {})"), vec![value, literal])
            }
        }
    }

    /// An aggregate of any kind.
    pub(super) fn aggregate(&mut self, scope: &Scope) -> Expr {
        let kind = self.dice.below(20);
        let value = self.argument(scope, |_| true);
        let mut found = match (kind, value) {
            (0..3, _) | (_, None) => aggregate("count", Ty::BigInt, DIGITS_OF_COUNTS, vec![]),
            (3 | 4, Some(value)) => aggregate("count", Ty::BigInt, DIGITS_OF_COUNTS, vec![value]),
            (5 | 6, Some(value)) => distinct(aggregate("count", Ty::BigInt, DIGITS_OF_COUNTS, vec![value])),
            (7..11, _) => self.sum(scope).unwrap_or_else(|| aggregate("count", Ty::BigInt, DIGITS_OF_COUNTS, vec![])),
            (11 | 12, _) => {
                self.average(scope).unwrap_or_else(|| aggregate("count", Ty::BigInt, DIGITS_OF_COUNTS, vec![]))
            }
            (13 | 14, _) if self.dice.percent(60) => self.texts(scope),
            (15, Some(value)) if value.ty == Ty::Bool => aggregate("bool_or", Ty::Bool, 0, vec![value]),
            (16, Some(value)) if value.ty == Ty::Bool => aggregate("bool_and", Ty::Bool, 0, vec![value]),
            (_, Some(value)) => {
                let function = if self.dice.percent(50) { "min" } else { "max" };
                let (ty, digits) = (value.ty, value.digits);
                aggregate(function, ty, digits, vec![value])
            }
        };
        if self.dice.percent(20)
            && let Form::Aggregate(aggregate) = &mut found.form
        {
            aggregate.filter = Some(self.predicate(scope, 1, Position::Plain));
        }
        found
    }

    /// An aggregate whose value has this type.
    pub(super) fn aggregate_of(&mut self, scope: &Scope, ty: Ty) -> Option<Expr> {
        if ty == Ty::BigInt && self.dice.percent(50) {
            return Some(aggregate("count", ty, DIGITS_OF_COUNTS, vec![]));
        }
        let value = self.argument(scope, |c| c.ty == ty)?;
        let function = if self.dice.percent(50) { "min" } else { "max" };
        let digits = value.digits;
        Some(aggregate(function, ty, digits, vec![value]))
    }

    fn argument(&mut self, scope: &Scope, fits: impl Fn(&Column) -> bool) -> Option<Expr> {
        Some(self.column_of(scope, fits)?.expr())
    }

    /// The argument of a sum or average: a column or an expression, sometimes with a scalar subquery.
    fn term(&mut self, scope: &Scope) -> Option<Expr> {
        let column = self.column_of(scope, |c| c.ty.is_number())?;
        if self.dice.percent(70) {
            return Some(column.expr());
        }
        Some(self.value(scope, column.ty, 1, Position::Elsewhere))
    }

    fn sum(&mut self, scope: &Scope) -> Option<Expr> {
        let term = self.term(scope)?;
        let digits = term.digits + DIGITS_OF_ROWS;
        let found = match term.ty {
            Ty::Int | Ty::BigInt if digits <= MOST_DIGITS => aggregate("sum", Ty::BigInt, digits, vec![term]),
            Ty::Decimal(p, s) if p <= MOST_SUMMED => aggregate("sum", Ty::Decimal(p + 10, s), 0, vec![term]),
            Ty::Double if term.digits == EXACT => aggregate("sum", Ty::Double, EXACT, vec![term]),
            _ => return None,
        };
        Some(if self.dice.percent(15) { distinct(found) } else { found })
    }

    fn average(&mut self, scope: &Scope) -> Option<Expr> {
        let term = self.term(scope)?;
        match term.ty {
            Ty::Int | Ty::BigInt if term.digits < 10 => Some(aggregate("avg", Ty::Double, ROUNDED, vec![term])),
            Ty::Double if term.digits == EXACT => Some(aggregate("avg", Ty::Double, ROUNDED, vec![term])),
            Ty::Decimal(p, s) if p <= MOST_SUMMED => {
                // DuckDB's is a float.
                let mut found = aggregate("avg", Ty::Decimal(p + 4, s + 4), 0, vec![term]);
                if let Form::Aggregate(aggregate) = &mut found.form {
                    aggregate.is_shared = false;
                }
                Some(found)
            }
            _ => None,
        }
    }

    fn texts(&mut self, scope: &Scope) -> Expr {
        let Some(column) = self.column_of(scope, |c| c.ty == Ty::Text) else {
            return aggregate("count", Ty::BigInt, DIGITS_OF_COUNTS, vec![]);
        };
        let separator = Expr::literal(Ty::Text, "'|'");
        let key = Key { expr: column.expr(), is_descending: self.dice.percent(50), is_nulls_first: false };
        let mut found = aggregate("string_agg", Ty::Text, 0, vec![column.expr(), separator]);
        if let Form::Aggregate(aggregate) = &mut found.form {
            aggregate.order = vec![key];
        }
        found
    }
}

fn aggregate(function: &'static str, ty: Ty, digits: u32, arguments: Vec<Expr>) -> Expr {
    let aggregate = Aggregate { function, is_distinct: false, arguments, order: vec![], filter: None, is_shared: true };
    Expr::new(ty, digits, Form::Aggregate(Box::new(aggregate)))
}

fn distinct(mut expr: Expr) -> Expr {
    if let Form::Aggregate(aggregate) = &mut expr.form {
        aggregate.is_distinct = true;
    }
    expr
}

fn has_column(expr: &Expr) -> bool {
    match &expr.form {
        Form::Column { .. } => true,
        Form::Template(_, operands) => operands.iter().any(has_column),
        Form::Cast(inner) => has_column(inner),
        Form::Case { when, otherwise } => {
            when.iter().any(|(c, v)| has_column(c) || has_column(v)) || otherwise.as_deref().is_some_and(has_column)
        }
        Form::InList { value, .. } => has_column(value),
        Form::Literal(_) | Form::Subquery(..) | Form::Aggregate(_) | Form::Window(_) => false,
    }
}
