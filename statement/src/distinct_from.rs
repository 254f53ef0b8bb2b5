//! How closely `IS [NOT] DISTINCT FROM` binds.
//!
//! sqlparser 0.62 takes everything that follows as the right operand, so that `a IS DISTINCT FROM b AND c` means `a IS
//! DISTINCT FROM (b AND c)`. In SQL, `AND` and `OR` bind less closely, as `NOT` does. So the tree is rotated.
//! Parentheses have nodes of their own, which show that an operand is meant.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Statement, UnaryOperator, Value, VisitMut, VisitorMut};

/// Corrects all conditions of a statement.
pub(crate) fn bind_operands(statement: &mut Statement) {
    let _: ControlFlow<()> = statement.visit(&mut BindOperands);
}

struct BindOperands;

impl VisitorMut for BindOperands {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_and = matches!(expr, Expr::BinaryOp { op: BinaryOperator::And, .. });
        let hoisted = if is_and { is_or } else { is_and_or_or };
        let operand = match expr {
            Expr::IsDistinctFrom(_, operand) | Expr::IsNotDistinctFrom(_, operand) => operand,
            Expr::UnaryOp { op: UnaryOperator::Not, expr: operand } => operand,
            Expr::BinaryOp { op, right, .. } if *op != BinaryOperator::Or => right,
            _ => return ControlFlow::Continue(()),
        };
        if hoisted(operand) {
            // `a OP (b AND c)` becomes `(a OP b) AND c`.
            let mut above = std::mem::replace(operand.as_mut(), Expr::Value(Value::Null.with_empty_span()));
            let first = first_operand(&mut above, hoisted);
            std::mem::swap(operand.as_mut(), first);
            std::mem::swap(expr, first);
            *expr = above;
        }
        ControlFlow::Continue(())
    }
}

fn is_or(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::Or, .. })
}

fn is_and_or_or(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// The first operand below operators of a kind.
fn first_operand(expr: &mut Expr, is_of_kind: fn(&Expr) -> bool) -> &mut Expr {
    if !is_of_kind(expr) {
        return expr;
    }
    match expr {
        Expr::BinaryOp { left, .. } => first_operand(left, is_of_kind),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use sqlparser::ast::{SetExpr, Statement};

    use super::*;
    use crate::parse;

    /// How the operators of a condition are nested.
    fn shape(expr: &Expr) -> String {
        match expr {
            Expr::Nested(inner) => shape(inner),
            Expr::IsDistinctFrom(left, right) => format!("[{} <> {}]", shape(left), shape(right)),
            Expr::IsNotDistinctFrom(left, right) => format!("[{} = {}]", shape(left), shape(right)),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => format!("!{}", shape(expr)),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => format!("({} & {})", shape(left), shape(right)),
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => format!("({} | {})", shape(left), shape(right)),
            other => other.to_string(),
        }
    }

    fn check(condition: &str, expected: &str) {
        let Ok(crate::Statement::Sql(sql)) = parse(&format!("SELECT * FROM t WHERE {condition}")) else {
            panic!("{condition}")
        };
        let Statement::Query(query) = sql.tree else { panic!("{condition}") };
        let SetExpr::Select(select) = *query.body else { panic!("{condition}") };
        assert_eq!(shape(&select.selection.unwrap()), expected, "{condition}");
    }

    #[test]
    fn and_and_or_bind_less_closely() {
        check("a IS DISTINCT FROM b", "[a <> b]");
        check("a IS DISTINCT FROM b AND c", "([a <> b] & c)");
        check("a IS NOT DISTINCT FROM b OR c", "([a = b] | c)");
        check("a IS DISTINCT FROM b AND c OR d", "(([a <> b] & c) | d)");
        check("a IS DISTINCT FROM b OR c AND d", "([a <> b] | (c & d))");
        check("x AND a IS DISTINCT FROM b + 1 OR c OR d", "(((x & [a <> b + 1]) | c) | d)");
        check("x OR a IS DISTINCT FROM b AND c", "(x | ([a <> b] & c))");
        check("NOT a IS DISTINCT FROM b AND c", "(![a <> b] & c)");
        check("a IS DISTINCT FROM b AND c IS NOT DISTINCT FROM d OR e", "(([a <> b] & [c = d]) | e)");
        check("a IS DISTINCT FROM b = c AND d", "([a <> b = c] & d)");
    }

    #[test]
    fn parentheses_say_what_the_operand_is() {
        check("a IS DISTINCT FROM (b AND c) AND d", "([a <> (b & c)] & d)");
        check("(a IS DISTINCT FROM b OR c) AND d", "(([a <> b] | c) & d)");
        check("x AND (a OR b)", "(x & (a | b))");
        check("NOT (a AND b)", "!(a & b)");
    }
}
