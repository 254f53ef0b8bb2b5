//! Spark's procedures that move branches and the current snapshot.
//!
//! ```sql
//! CALL [bergmill.]system.procedure('ns.t', ...)
//! CALL [bergmill.]system.procedure(table => 'ns.t', ...)
//! ```

use sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, Statement as SqlStatement,
    TypedString, UnaryOperator, Value,
};
use sqlparser::parser::Parser;

use crate::error::{Error, ErrorKind, Result};
use crate::names::{CATALOG, TableName, folded};
use crate::nearest::nearest;
use crate::position::Position;
use crate::references::{ReferenceChange, ReferenceStatement, SnapshotName};
use crate::token_reader::{TokenReader, table_name_in};

/// The procedures, and the names of their arguments after `table`.
const PROCEDURES: [(&str, &[&str]); 5] = [
    ("cherrypick_snapshot", &["snapshot_id"]),
    ("fast_forward", &["branch", "to"]),
    ("rollback_to_snapshot", &["snapshot_id"]),
    ("rollback_to_timestamp", &["timestamp"]),
    ("set_current_snapshot", &["snapshot_id", "ref"]),
];

/// Parses a whole statement; `None` if it is not a `CALL`.
pub(crate) fn parse(reader: &mut TokenReader) -> Result<Option<ReferenceStatement>> {
    if !reader.is_next(&["call"]) {
        return Ok(None);
    }
    match reader.parse("SQL", Parser::parse_statement)? {
        SqlStatement::Call(call) => procedure(&call).map(Some).map_err(|e| e.at(Position::of(call.name.span().start))),
        _ => Ok(None),
    }
}

/// `CALL [bergmill.]system.<procedure>(...)`.
fn procedure(call: &Function) -> Result<ReferenceStatement> {
    let path: Vec<String> = call.name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let name = match path.as_slice() {
        [CATALOG, "system", name] | ["system", name] => *name,
        _ => {
            return Err(bad(format!(
                "CALL {}: procedures are in system, as in CALL system.fast_forward(...)",
                call.name
            )));
        }
    };
    let Some((name, arguments)) = PROCEDURES.iter().find(|(known, _)| *known == name) else {
        let known = PROCEDURES.map(|(known, _)| known);
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known procedures: {}", known.join(", ")),
        };
        return Err(Error::new(ErrorKind::NotFound, format!("procedure system.{name} not found; {hint}")));
    };
    let given = Arguments::of(name, arguments, &call.args)?;
    let change = match *name {
        "fast_forward" => ReferenceChange::FastForward { branch: given.text("branch")?, to: given.text("to")? },
        "cherrypick_snapshot" => ReferenceChange::CherryPick(given.id("snapshot_id")?),
        "rollback_to_snapshot" => ReferenceChange::RollBackTo(given.id("snapshot_id")?),
        "rollback_to_timestamp" => ReferenceChange::RollBackToTime(given.moment("timestamp")?),
        _ => match (given.get("snapshot_id"), given.get("ref")) {
            (Some(_), None) => ReferenceChange::SetCurrent(SnapshotName::Id(given.id("snapshot_id")?)),
            (None, Some(_)) => ReferenceChange::SetCurrent(SnapshotName::Reference(given.text("ref")?)),
            _ => return Err(bad(format!("{name} takes either a snapshot_id or a ref"))),
        },
    };
    Ok(ReferenceStatement { table: TableName::of(&table_name_in(&given.text("table")?)?)?, change })
}

/// The arguments of a procedure, by name.
struct Arguments<'a> {
    procedure: &'a str,
    given: Vec<(&'a str, &'a Expr)>,
}

impl<'a> Arguments<'a> {
    fn of(procedure: &'a str, known: &[&'a str], args: &'a FunctionArguments) -> Result<Self> {
        let known: Vec<&str> = std::iter::once("table").chain(known.iter().copied()).collect();
        let usage = || bad(format!("{procedure} takes {}", known.join(", ")));
        let FunctionArguments::List(list) = args else { return Err(usage()) };
        let mut given: Vec<(&str, &Expr)> = Vec::new();
        for (at, arg) in list.args.iter().enumerate() {
            let (name, expr) = match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => (known.get(at).copied(), expr),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    (known.iter().find(|k| name.value.eq_ignore_ascii_case(k)).copied(), expr)
                }
                _ => return Err(usage()),
            };
            let name = name.ok_or_else(usage)?;
            if given.iter().any(|(taken, _)| *taken == name) {
                return Err(bad(format!("{procedure}: {name} is given twice")));
            }
            given.push((name, expr));
        }
        Ok(Self { procedure, given })
    }

    fn get(&self, name: &str) -> Option<&'a Expr> {
        self.given.iter().find(|(known, _)| *known == name).map(|(_, expr)| *expr)
    }

    fn need(&self, name: &str) -> Result<&'a Expr> {
        self.get(name).ok_or_else(|| bad(format!("{} needs the argument {name}", self.procedure)))
    }

    fn text(&self, name: &str) -> Result<String> {
        match self.need(name)? {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Ok(text.clone()),
                other => Err(self.wrong(name, other, "a name in quotes")),
            },
            other => Err(self.wrong(name, other, "a name in quotes")),
        }
    }

    fn id(&self, name: &str) -> Result<i64> {
        let expr = self.need(name)?;
        let (sign, literal) = match expr {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => ("-", expr.as_ref()),
            other => ("", other),
        };
        let digits = match literal {
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) => {
                    digits.parse::<i64>().ok().and_then(|_| format!("{sign}{digits}").parse().ok())
                }
                _ => None,
            },
            _ => None,
        };
        digits.ok_or_else(|| self.wrong(name, expr, "a snapshot's id"))
    }

    /// The text of a timestamp or date literal.
    fn moment(&self, name: &str) -> Result<String> {
        let text = match self.need(name)? {
            Expr::TypedString(TypedString { data_type: DataType::Timestamp(..) | DataType::Date, value, .. }) => value,
            Expr::Value(value) => value,
            other => return Err(self.wrong(name, other, "a TIMESTAMP")),
        };
        match &text.value {
            Value::SingleQuotedString(text) => Ok(text.clone()),
            _ => Err(self.wrong(name, text, "a TIMESTAMP")),
        }
    }

    fn wrong(&self, name: &str, given: &dyn std::fmt::Display, wanted: &str) -> Error {
        bad(format!("{}: {name} must be {wanted}, not {given}", self.procedure))
    }
}

fn bad(what: String) -> Error {
    Error::invalid(what)
}
