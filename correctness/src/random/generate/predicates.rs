//! Conditions.

use super::super::query::{Expr, Form, Template};
use super::super::schema::pattern;
use super::super::value::Ty;
use super::{Generator, Position, Scope};

#[derive(Clone, Copy)]
enum Kind {
    Compare,
    Null,
    Between,
    List,
    Like,
    Bool,
    Not,
    Both,
    Distinct,
    Semi,
    Scalar,
    Case,
    Truth,
}

impl Generator<'_> {
    pub(super) fn predicate(&mut self, scope: &Scope, depth: u32, position: Position) -> Expr {
        let nested = if depth > 0 { 5 } else { 0 };
        let semi = if position == Position::Filter { 6 } else { 0 };
        let scalar = if position == Position::Plain { 0 } else { 2 };
        let kind = self.dice.weighted(&[
            (12, Kind::Compare),
            (3, Kind::Null),
            (2, Kind::Between),
            (3, Kind::List),
            (3, Kind::Like),
            (1, Kind::Bool),
            (nested / 2, Kind::Not),
            (nested, Kind::Both),
            (2, Kind::Distinct),
            (semi, Kind::Semi),
            (scalar, Kind::Scalar),
            (nested / 5, Kind::Case),
            (nested / 5, Kind::Truth),
        ]);
        self.predicate_of(kind, scope, depth, position).unwrap_or_else(|| self.compare(scope, depth, position))
    }

    fn predicate_of(&mut self, kind: Kind, scope: &Scope, depth: u32, position: Position) -> Option<Expr> {
        let bool = |text, operands| Some(Expr::same(Ty::Bool, text, operands));
        match kind {
            Kind::Compare => None,
            Kind::Null => {
                let value = self.any_column(scope)?.expr();
                bool(if self.dice.percent(50) { "({} IS NULL)" } else { "({} IS NOT NULL)" }, vec![value])
            }
            Kind::Between => {
                let value = self.any_column(scope)?;
                if value.ty == Ty::Bool {
                    return None;
                }
                let (low, high) = (self.literal(value.ty), self.value(scope, value.ty, 0, Position::Plain));
                let text = if self.dice.percent(75) { "({} BETWEEN {} AND {})" } else { "({} NOT BETWEEN {} AND {})" };
                bool(text, vec![value.expr(), low, high])
            }
            Kind::List => {
                let value = self.any_column(scope)?;
                let mut list: Vec<Expr> = (0..self.dice.between(1, 4)).map(|_| self.literal(value.ty)).collect();
                if self.dice.percent(10) {
                    list.push(Expr::null(value.ty));
                }
                let is_negated = self.dice.percent(35);
                Some(Expr::new(Ty::Bool, 0, Form::InList { value: Box::new(value.expr()), is_negated, list }))
            }
            Kind::Like => {
                let column = self.column_of(scope, |c| c.ty == Ty::Text)?;
                let pattern = Expr::literal(Ty::Text, pattern(&mut self.dice));
                bool(
                    if self.dice.percent(75) { "({} LIKE {})" } else { "({} NOT LIKE {})" },
                    vec![column.expr(), pattern],
                )
            }
            Kind::Bool => Some(self.column_of(scope, |c| c.ty == Ty::Bool)?.expr()),
            Kind::Not => {
                let inner = self.predicate(scope, depth.checked_sub(1)?, position);
                bool("(NOT {})", vec![inner])
            }
            Kind::Both => {
                let depth = depth.checked_sub(1)?;
                // DataFusion plans EXISTS and IN under OR as mark joins, which deserve a test.
                let (left, right) = (self.predicate(scope, depth, position), self.predicate(scope, depth, position));
                bool(if self.dice.percent(50) { "({} AND {})" } else { "({} OR {})" }, vec![left, right])
            }
            Kind::Distinct => {
                let column = self.any_column(scope)?;
                let other = self.value(scope, column.ty, 0, Position::Plain);
                let is_negated = self.dice.percent(50);
                let text = if is_negated { "({} IS NOT DISTINCT FROM {})" } else { "({} IS DISTINCT FROM {})" };
                bool(text, vec![column.expr(), other])
            }
            Kind::Semi => self.semi(scope),
            Kind::Scalar => {
                let column = self.column_of(scope, |c| c.ty != Ty::Bool)?;
                let outer = (position == Position::Filter && self.dice.percent(60)).then_some(scope);
                let value = self.scalar(outer, column.ty)?;
                bool(self.comparison(), vec![column.expr(), value])
            }
            Kind::Case => {
                let depth = depth.checked_sub(1)?;
                let when =
                    vec![(self.predicate(scope, depth, Position::Plain), self.predicate(scope, 0, Position::Plain))];
                let otherwise = self.dice.percent(60).then(|| Box::new(self.predicate(scope, 0, Position::Plain)));
                Some(Expr::new(Ty::Bool, 0, Form::Case { when, otherwise }))
            }
            Kind::Truth => {
                let inner = self.predicate(scope, depth.checked_sub(1)?, Position::Plain);
                let text = *self.dice.pick(&["({} IS TRUE)", "({} IS NOT TRUE)", "({} IS FALSE)", "({} IS NOT FALSE)"]);
                bool(text, vec![inner])
            }
        }
    }

    fn comparison(&mut self) -> &'static str {
        self.dice.weighted(&[
            (4, "({} = {})"),
            (2, "({} <> {})"),
            (2, "({} < {})"),
            (2, "({} <= {})"),
            (2, "({} > {})"),
            (2, "({} >= {})"),
        ])
    }

    fn compare(&mut self, scope: &Scope, depth: u32, position: Position) -> Expr {
        let Some(column) = self.any_column(scope) else {
            return Expr::literal(Ty::Bool, if self.dice.percent(70) { "TRUE" } else { "FALSE" });
        };
        let mut left = column.expr();
        if depth > 0 && self.dice.percent(25) {
            left = self.value(scope, column.ty, 1, position);
        }
        let right = match self.dice.below(10) {
            0..5 => self.literal(column.ty),
            // An untyped number: DataFusion treats it as a BIGINT.
            5 | 6 if matches!(column.ty, Ty::Int | Ty::BigInt | Ty::Decimal(..)) => {
                Expr::literal(Ty::BigInt, self.dice.between(-5, 100).to_string())
            }
            _ => self.value(scope, column.ty, depth.min(1), Position::Plain),
        };
        let text = if column.ty == Ty::Bool { "({} = {})" } else { self.comparison() };
        Expr::template(Ty::Bool, 0, Template::same(text), vec![left, right])
    }
}
