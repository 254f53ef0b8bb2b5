//! `INSERT OVERWRITE t PARTITION (date = DATE '2026-02-14')`: the partitions to replace. sqlparser parses the clause,
//! but DataFusion does not plan it.

use std::fmt;

use sqlparser::ast::{BinaryOperator, Expr, Spanned, Statement};

use crate::error::{Error, Result};
use crate::names::folded;
use crate::position::Position;

/// A `column = value` of a `PARTITION` clause.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionValue {
    /// The column, folded.
    pub column: String,
    /// Its value, which must evaluate to a constant.
    pub value: Expr,
}

impl fmt::Display for PartitionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.column, self.value)
    }
}

impl PartitionValue {
    /// The error message for a pair whose value is not a constant.
    pub fn not_constant(pair: impl fmt::Display) -> String {
        format!("PARTITION ({pair}): set each column to a constant, as in (date = DATE '2026-02-14')")
    }
}

/// Takes the `PARTITION` clause out of an `INSERT`; `None` if it has none.
pub(crate) fn take_partitions(statement: &mut Statement) -> Result<Option<Vec<PartitionValue>>> {
    let Statement::Insert(insert) = statement else { return Ok(None) };
    let Some(pairs) = insert.partitioned.take() else { return Ok(None) };
    if !insert.overwrite {
        let what = "PARTITION (...) requires INSERT OVERWRITE; INSERT INTO finds the partitions by itself";
        let position = pairs.first().and_then(|pair| Position::of(pair.span().start));
        return Err(Error::invalid(what).at(position));
    }
    pairs.into_iter().map(partition_value).collect::<Result<_>>().map(Some)
}

fn partition_value(pair: Expr) -> Result<PartitionValue> {
    let wrong =
        |pair: &Expr| Err(Error::invalid(PartitionValue::not_constant(pair)).at(Position::of(pair.span().start)));
    match pair {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match *left {
            Expr::Identifier(name) => Ok(PartitionValue { column: folded(&name), value: *right }),
            left => wrong(&Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Eq, right }),
        },
        other => wrong(&other),
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    #[test]
    fn partitions_are_columns_with_values() {
        let Ok(Statement::Sql(sql)) =
            parse("INSERT OVERWRITE raw.t PARTITION (Date = DATE '2026-02-14', \"K\" = 'a') SELECT 1")
        else {
            panic!("expected an INSERT")
        };
        let pairs: Vec<String> = sql.partitions.iter().flatten().map(ToString::to_string).collect();
        assert_eq!(pairs, ["date = DATE '2026-02-14'", "K = 'a'"]);
        assert!(!sql.tree.to_string().contains("PARTITION"), "{}", sql.tree);
        let check = |sql: &str, expected: &str| {
            let e = parse(sql).expect_err(sql).to_string();
            assert!(e.contains(expected), "{sql}: {e}");
        };
        check("INSERT INTO t PARTITION (a = 1) SELECT 1", "requires INSERT OVERWRITE");
        check("INSERT OVERWRITE t PARTITION (a) SELECT 1", "PARTITION (a): set each column to a constant");
        check("INSERT OVERWRITE t PARTITION (a.b = 1) SELECT 1", "PARTITION (a.b = 1): set each");
        check("INSERT OVERWRITE t PARTITION (a > 1) SELECT 1", "PARTITION (a > 1): set each");
    }
}
