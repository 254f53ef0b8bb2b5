//! Values of every type.

use super::super::query::{EXACT, Expr, Form, ROUNDED, Template};
use super::super::schema;
use super::super::value::{Cell, Ty};
use super::{Column, Generator, Position, Scope};

/// 64 bits hold any number of 18 digits.
pub(super) const MOST_DIGITS: u32 = 18;
/// Row numbers and counts.
pub(super) const DIGITS_OF_COUNTS: u32 = 7;
/// Decimals have at most 38 digits; this leaves room for sums and products.
const MOST_PRECISION: u8 = 28;

const FIELDS: [(&str, bool); 9] = [
    ("extract(YEAR FROM {})", true),
    ("extract(MONTH FROM {})", true),
    ("extract(DAY FROM {})", true),
    ("extract(QUARTER FROM {})", true),
    ("extract(DOY FROM {})", true),
    ("extract(DOW FROM {})", true),
    ("extract(WEEK FROM {})", true),
    ("extract(HOUR FROM {})", false),
    ("extract(MINUTE FROM {})", false),
];

impl Generator<'_> {
    pub(super) fn any_column(&mut self, scope: &Scope) -> Option<Column> {
        self.column_of(scope, |_| true)
    }

    pub(super) fn column_of(&mut self, scope: &Scope, fits: impl Fn(&Column) -> bool) -> Option<Column> {
        let fitting: Vec<&Column> = scope.columns.iter().filter(|c| fits(c)).collect();
        (!fitting.is_empty()).then(|| (*self.dice.pick(&fitting)).clone())
    }

    /// A column of whole numbers; there is always one.
    pub(super) fn whole_number(&mut self, scope: &Scope) -> Expr {
        let column = self.column_of(scope, |c| matches!(c.ty, Ty::Int | Ty::BigInt));
        column.map_or_else(|| self.literal(Ty::BigInt), |c| c.expr())
    }

    /// A value of exactly this type.
    pub(super) fn literal(&mut self, ty: Ty) -> Expr {
        let distinct = self.dice.weighted(&[(1, 3), (3, 12), (1, 1000)]);
        let first_day = *self.dice.pick(&[-4, 20_450, 18_320]);
        let cell = schema::value(&mut self.dice, ty, distinct, first_day);
        let text = match cell {
            Cell::Int(n) => format!("CAST({n} AS {})", ty.sql()),
            cell => cell.sql(ty),
        };
        let digits = match ty {
            Ty::Int => 4,
            Ty::BigInt => 9,
            _ => EXACT,
        };
        Expr::new(ty, digits, Form::Literal(text))
    }

    pub(super) fn any_value(&mut self, scope: &Scope, depth: u32, position: Position) -> Expr {
        let Some(column) = self.any_column(scope) else {
            let ty = *self.dice.pick(&[Ty::BigInt, Ty::Text, Ty::Date, Ty::Decimal(9, 2)]);
            return self.literal(ty);
        };
        if depth == 0 || self.dice.percent(40) {
            return column.expr();
        }
        if self.dice.percent(12) {
            return self.predicate(scope, depth - 1, Position::Plain);
        }
        self.value(scope, column.ty, depth, position)
    }

    /// A value of this type; for a decimal, precision and scale may differ.
    pub(super) fn value(&mut self, scope: &Scope, ty: Ty, depth: u32, position: Position) -> Expr {
        if position != Position::Plain && self.dice.percent(8) {
            // DataFusion plans correlated subqueries in WHERE and in the list of a SELECT.
            let is_tied = matches!(position, Position::Filter | Position::Items) && self.dice.percent(50);
            if let Some(value) = self.scalar(is_tied.then_some(scope), ty) {
                return value;
            }
        }
        if depth > 0 && self.dice.percent(60) {
            if self.dice.percent(25) {
                return self.choice(scope, ty, depth - 1);
            }
            if let Some(value) = self.operation(scope, ty, depth - 1) {
                return value;
            }
        }
        let column = self.column_of(scope, |c| c.ty == ty);
        match column {
            Some(column) if self.dice.percent(85) => column.expr(),
            _ if self.dice.percent(4) => Expr::null(ty),
            _ => self.literal(ty),
        }
    }

    /// CASE, COALESCE and similar expressions.
    fn choice(&mut self, scope: &Scope, ty: Ty, depth: u32) -> Expr {
        let (a, b) = (self.value(scope, ty, depth, Position::Plain), self.value(scope, ty, 0, Position::Plain));
        // Branches of the same decimal type: engines widen differently, and sums of sums overflow.
        let ty = if a.ty == b.ty { a.ty } else { wider(a.ty, b.ty) };
        let digits = a.digits.max(b.digits);
        let operands = vec![a, b];
        match self.dice.below(6) {
            0..3 => {
                let condition = self.predicate(scope, 1, Position::Plain);
                let mut operands = operands.into_iter();
                let (Some(a), Some(b)) = (operands.next(), operands.next()) else { return Expr::null(ty) };
                let otherwise = self.dice.percent(75).then(|| Box::new(b));
                Expr::new(ty, digits, Form::Case { when: vec![(condition, a)], otherwise })
            }
            3 => Expr::template(ty, digits, Template::same("nullif({}, {})"), operands),
            _ => Expr::template(ty, digits, Template::same("coalesce({}, {})"), operands),
        }
    }

    fn operation(&mut self, scope: &Scope, ty: Ty, depth: u32) -> Option<Expr> {
        match ty {
            Ty::Int | Ty::BigInt => Some(self.whole_operation(scope, depth)),
            Ty::Double => Some(self.float_operation(scope, depth)),
            Ty::Decimal(..) => self.decimal_operation(scope),
            Ty::Text => Some(self.text_operation(scope, depth)),
            Ty::Date => self.date_operation(scope, depth),
            Ty::Time | Ty::Zoned => Some(self.time_operation(scope, ty, depth)),
            Ty::Bool => Some(self.predicate(scope, depth, Position::Plain)),
        }
    }

    /// Computed as BIGINT, because engines give literals different widths.
    fn whole_operation(&mut self, scope: &Scope, depth: u32) -> Expr {
        let a = self.whole(scope, depth);
        let template = |text, digits, operands| Expr::template(Ty::BigInt, digits, Template::same(text), operands);
        match self.dice.below(8) {
            0..3 => {
                let b = self.whole(scope, depth);
                let digits = a.digits.max(b.digits) + 1;
                let text = if self.dice.percent(50) { "({} + {})" } else { "({} - {})" };
                if digits > MOST_DIGITS { a } else { template(text, digits, vec![a, b]) }
            }
            3 => {
                let b = self.whole(scope, 0);
                let digits = a.digits + b.digits;
                if digits > MOST_DIGITS { a } else { template("({} * {})", digits, vec![a, b]) }
            }
            4 => {
                let divisor = Expr::literal(Ty::BigInt, self.dice.between(2, 9).to_string());
                // DuckDB's `/` turns whole numbers into floats.
                Expr::template(
                    Ty::BigInt,
                    a.digits,
                    Template::differs("(CAST({} AS BIGINT) / {})", "({} // {})"),
                    vec![a, divisor],
                )
            }
            5 => {
                let divisor = Expr::literal(Ty::BigInt, self.dice.between(2, 9).to_string());
                template("({} % {})", 1, vec![a, divisor])
            }
            6 => template("abs({})", a.digits, vec![a]),
            _ => self.part_of_something(scope).unwrap_or(a),
        }
    }

    fn whole(&mut self, scope: &Scope, depth: u32) -> Expr {
        if depth > 0 && self.dice.percent(40) {
            return self.whole_operation(scope, depth - 1);
        }
        let number = if self.dice.percent(70) { self.whole_number(scope) } else { self.literal(Ty::BigInt) };
        // Row counts are unsigned in DataFusion, and become decimals together with signed numbers.
        if number.ty == Ty::BigInt && number.digits != DIGITS_OF_COUNTS { number } else { number.cast(Ty::BigInt) }
    }

    /// A field of a date or time, or the length of a text.
    fn part_of_something(&mut self, scope: &Scope) -> Option<Expr> {
        let column = self.column_of(scope, |c| matches!(c.ty, Ty::Text | Ty::Date | Ty::Time | Ty::Zoned))?;
        let text = match column.ty {
            Ty::Text if self.dice.percent(70) => "length({})",
            Ty::Text => "strpos({}, '과')",
            ty => {
                let (text, is_of_dates) = *self.dice.pick(&FIELDS);
                if ty == Ty::Date && !is_of_dates { "extract(DAY FROM {})" } else { text }
            }
        };
        Some(Expr::template(Ty::Int, 4, Template::same(text), vec![column.expr()]).cast(Ty::BigInt))
    }

    /// Never multiplied or negated: this avoids negative zeros, which Arrow sorts before zero and DuckDB treats as
    /// zero.
    fn float_operation(&mut self, scope: &Scope, depth: u32) -> Expr {
        let a = self.float(scope, depth);
        match self.dice.below(5) {
            0..3 => {
                let b = self.float(scope, 0);
                let digits = a.digits.max(b.digits);
                let text = if self.dice.percent(50) { "({} + {})" } else { "({} - {})" };
                Expr::template(Ty::Double, digits, Template::same(text), vec![a, b])
            }
            3 => Expr::template(Ty::Double, a.digits, Template::same("abs({})"), vec![a]),
            _ => {
                let divisor = Expr::literal(Ty::Double, "CAST(3 AS DOUBLE)");
                Expr::template(Ty::Double, ROUNDED, Template::same("({} / {})"), vec![a, divisor])
            }
        }
    }

    fn float(&mut self, scope: &Scope, depth: u32) -> Expr {
        if depth > 0 && self.dice.percent(30) {
            return self.float_operation(scope, depth - 1);
        }
        let column = self.column_of(scope, |c| matches!(c.ty, Ty::Double | Ty::Int));
        match column {
            Some(column) if column.ty == Ty::Double => column.expr(),
            Some(column) => column.expr().cast(Ty::Double),
            None => self.literal(Ty::Double),
        }
    }

    fn decimal_operation(&mut self, scope: &Scope) -> Option<Expr> {
        let a = self.column_of(scope, |c| matches!(c.ty, Ty::Decimal(..)))?;
        let b = self.column_of(scope, |c| matches!(c.ty, Ty::Decimal(..)))?;
        let (Ty::Decimal(p1, s1), Ty::Decimal(p2, s2)) = (a.ty, b.ty) else { return None };
        let (a, b) = (a.expr(), b.expr());
        let sum = Ty::Decimal((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2));
        let product = Ty::Decimal(p1 + p2 + 1, s1 + s2);
        let fits = |ty| matches!(ty, Ty::Decimal(p, _) if p <= MOST_PRECISION);
        let template = |ty, text, operands| Some(Expr::template(ty, 0, Template::same(text), operands));
        match self.dice.below(8) {
            0 | 1 if fits(sum) => template(sum, "({} + {})", vec![a, b]),
            2 | 3 if fits(sum) => template(sum, "({} - {})", vec![a, b]),
            4 if fits(product) => template(product, "({} * {})", vec![a, b]),
            5 if p1 < MOST_PRECISION - 2 => {
                // This cast is lossless: the target has at least as many digits after the point.
                let ty = Ty::Decimal(p1 + 2, s1 + 1);
                Some(a.cast(ty))
            }
            // DuckDB's quotients are floats.
            6 if p1 <= 12 => {
                let divisor = Expr::literal(Ty::Decimal(3, 1), "CAST('2.5' AS DECIMAL(3, 1))");
                let quotient = Expr::template(a.ty, 0, Template::datafusion("({} / {})"), vec![a, divisor]);
                Some(quotient.cast(Ty::Decimal(p1 + 6, s1 + 4)))
            }
            _ => template(Ty::Decimal(p1, s1), "abs({})", vec![a]),
        }
    }

    fn text_operation(&mut self, scope: &Scope, depth: u32) -> Expr {
        let a = self.value(scope, Ty::Text, depth, Position::Plain);
        match self.dice.below(9) {
            0 | 1 => {
                let b = self.value(scope, Ty::Text, 0, Position::Plain);
                Expr::same(Ty::Text, "({} || {})", vec![a, b])
            }
            2 => Expr::same(
                Ty::Text,
                ["substr({}, 1, 2)", "substr({}, 2, 1)", "substr({}, 2)"][self.dice.below(3)],
                vec![a],
            ),
            3 => Expr::same(Ty::Text, "left({}, 2)", vec![a]),
            4 => Expr::same(Ty::Text, "replace({}, '가', 'ga')", vec![a]),
            // The words have no letters whose case engines might treat differently.
            5 => Expr::same(Ty::Text, if self.dice.percent(50) { "upper({})" } else { "lower({})" }, vec![a]),
            6 => Expr::same(Ty::Text, "trim({})", vec![a]),
            7 => match self.column_of(scope, |c| matches!(c.ty, Ty::Int | Ty::BigInt | Ty::Date | Ty::Bool)) {
                Some(column) => column.expr().cast(Ty::Text),
                None => a,
            },
            _ => {
                let b = self.value(scope, Ty::Text, 0, Position::Plain);
                Expr::same(Ty::Text, "concat({}, '-', {})", vec![a, b])
            }
        }
    }

    fn date_operation(&mut self, scope: &Scope, depth: u32) -> Option<Expr> {
        if self.dice.percent(60) {
            let date = self.value(scope, Ty::Date, depth, Position::Plain);
            let text = *self.dice.pick(&[
                "({} + INTERVAL '3 days')",
                "({} - INTERVAL '1 month')",
                "date_trunc('month', {})",
                "date_trunc('week', {})",
                "date_trunc('year', {})",
            ]);
            return Some(Expr::same(Ty::Date, text, vec![date]).cast(Ty::Date));
        }
        Some(self.column_of(scope, |c| matches!(c.ty, Ty::Time | Ty::Zoned))?.expr().cast(Ty::Date))
    }

    fn time_operation(&mut self, scope: &Scope, ty: Ty, depth: u32) -> Expr {
        let time = self.value(scope, ty, depth, Position::Plain);
        // When DuckDB 1.5 compares the truncation of a NULL with a zone, it treats it as a time.
        const TRUNCATED: [(&str, &str); 5] = [
            ("date_trunc('day', {})", "(date_trunc('day', {} AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')"),
            ("date_trunc('hour', {})", "(date_trunc('hour', {} AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')"),
            ("date_trunc('month', {})", "(date_trunc('month', {} AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')"),
            ("date_trunc('quarter', {})", "(date_trunc('quarter', {} AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')"),
            ("date_trunc('second', {})", "(date_trunc('second', {} AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')"),
        ];
        let template = match self.dice.below(7) {
            0 => Template::same("({} + INTERVAL '36 hours')"),
            1 => Template::same("({} - INTERVAL '1 month')"),
            n if ty == Ty::Zoned => Template::differs(TRUNCATED[n - 2].0, TRUNCATED[n - 2].1),
            n => Template::same(TRUNCATED[n - 2].0),
        };
        let value = Expr::template(ty, 0, template, vec![time]);
        match self.column_of(scope, |c| c.ty == Ty::Date) {
            Some(column) if self.dice.percent(25) => column.expr().cast(ty),
            _ => value,
        }
    }
}

/// A type that can hold both.
fn wider(a: Ty, b: Ty) -> Ty {
    match (a, b) {
        (Ty::Decimal(p1, s1), Ty::Decimal(p2, s2)) => Ty::Decimal((p1 - s1).max(p2 - s2) + s1.max(s2), s1.max(s2)),
        (Ty::Int, Ty::BigInt) => Ty::BigInt,
        _ => a,
    }
}
