//! Spark's statements about branches and tags, and its procedures that move them.

use datafusion::common::{ScalarValue, TableReference};
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Statement, TypedString,
    UnaryOperator, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::{ReferenceChange, ReferenceKind, Retention};
use crate::error::{Error, ErrorKind, Result};
use crate::names::folded;
use crate::namespaces::CATALOG_NAME;
use crate::store::missing::nearest;
use crate::time_travel::{Version, table_name};

/// A statement that changes branches, tags or the current snapshot of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceStatement {
    /// The table.
    pub table: TableReference,
    /// What is done to it.
    pub change: ReferenceChange,
}

/// The procedures, and the names of their arguments after `table`.
const PROCEDURES: [(&str, &[&str]); 5] = [
    ("cherrypick_snapshot", &["snapshot_id"]),
    ("fast_forward", &["branch", "to"]),
    ("rollback_to_snapshot", &["snapshot_id"]),
    ("rollback_to_timestamp", &["timestamp"]),
    ("set_current_snapshot", &["snapshot_id", "ref"]),
];

/// Parses `ALTER TABLE ... BRANCH | TAG ...` and `CALL system.<procedure>(...)`; `None` if the text is another statement.
pub fn parse_reference_statement(sql: &str) -> Result<Option<ReferenceStatement>> {
    // What cannot be tokenized is for the parser of other statements to complain about.
    let Ok(mut parser) = Parser::new(&GenericDialect {}).try_with_sql(sql) else { return Ok(None) };
    let statement = if parser.parse_keywords(&[Keyword::ALTER, Keyword::TABLE]) {
        let Ok(name) = parser.parse_object_name(false) else { return Ok(None) };
        match alteration(&mut parser).map_err(invalid)? {
            Some(change) => ReferenceStatement { table: reference(&name)?, change },
            None => return Ok(None),
        }
    } else if parser.peek_keyword(Keyword::CALL) {
        match parser.parse_statement().map_err(invalid)? {
            Statement::Call(call) => procedure(&call)?,
            _ => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token();
    match rest.token {
        Token::EOF => Ok(Some(statement)),
        _ => Err(bad(format!("SQL: unexpected `{rest}` after the statement{}", rest.span.start))),
    }
}

type Parsed<T> = std::result::Result<T, ParserError>;

/// What stands after the table's name; `None` if it is not about branches and tags.
fn alteration(parser: &mut Parser<'_>) -> Parsed<Option<ReferenceChange>> {
    let create = parser.parse_keyword(Keyword::CREATE);
    let replace = match create {
        true => parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]),
        false => parser.parse_keyword(Keyword::REPLACE),
    };
    let drop = !create && !replace && parser.parse_keyword(Keyword::DROP);
    if !create && !replace && !drop {
        return Ok(None);
    }
    let kind = match () {
        () if word(parser, "branch") => ReferenceKind::Branch,
        () if word(parser, "tag") => ReferenceKind::Tag,
        () => return Ok(None),
    };
    if drop {
        let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        return Ok(Some(ReferenceChange::Drop { kind, name: name(parser)?, if_exists }));
    }
    let if_not_exists = create && !replace && parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = name(parser)?;
    let at = match parser.parse_keywords(&[Keyword::AS, Keyword::OF]) {
        true => {
            expect(parser, "version")?;
            Some(number(parser)?)
        }
        false => None,
    };
    let mut retention = Retention::default();
    if word(parser, "retain") {
        retention.max_ref_age_ms = Some(age(parser)?);
    }
    if kind == ReferenceKind::Branch && parser.parse_keyword(Keyword::WITH) {
        expect(parser, "snapshot")?;
        expect(parser, "retention")?;
        let count = positive(parser)?;
        if word(parser, "snapshots") || word(parser, "snapshot") {
            let too_many = |_| ParserError::ParserError(format!("{count} snapshots are too many"));
            retention.min_snapshots_to_keep = Some(i32::try_from(count).map_err(too_many)?);
            if matches!(parser.peek_token().token, Token::Number(..)) {
                retention.max_snapshot_age_ms = Some(age(parser)?);
            }
        } else {
            retention.max_snapshot_age_ms = Some(unit(parser, count)?);
        }
    }
    Ok(Some(match create {
        true => ReferenceChange::Create { kind, name, at, if_not_exists, or_replace: replace, retention },
        false => ReferenceChange::Replace { kind, name, at, retention },
    }))
}

/// Takes the next token if it is this word.
fn word(parser: &mut Parser<'_>, text: &str) -> bool {
    let token = parser.peek_token().token;
    let is_it = matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(text));
    if is_it {
        parser.advance_token();
    }
    is_it
}

fn expect(parser: &mut Parser<'_>, text: &str) -> Parsed<()> {
    match word(parser, text) {
        true => Ok(()),
        false => parser.expected(&text.to_uppercase(), parser.peek_token()),
    }
}

/// A branch's or tag's name; Spark takes it as a word, here it may stand in single quotes as well.
fn name(parser: &mut Parser<'_>) -> Parsed<String> {
    if let Token::SingleQuotedString(name) = parser.peek_token().token {
        parser.advance_token();
        return Ok(name);
    }
    // Not folded to lower case: Iceberg tells `Q1` from `q1`.
    Ok(parser.parse_identifier()?.value)
}

fn number(parser: &mut Parser<'_>) -> Parsed<i64> {
    let token = parser.next_token();
    match &token.token {
        Token::Number(digits, _) => match digits.parse() {
            Ok(number) => Ok(number),
            Err(_) => parser.expected("a whole number", token),
        },
        _ => parser.expected("a whole number", token),
    }
}

fn positive(parser: &mut Parser<'_>) -> Parsed<i64> {
    match number(parser)? {
        n if n > 0 => Ok(n),
        n => Err(ParserError::ParserError(format!("{n} is not positive"))),
    }
}

fn age(parser: &mut Parser<'_>) -> Parsed<i64> {
    let count = positive(parser)?;
    unit(parser, count)
}

/// So many of the unit that follows, in milliseconds.
fn unit(parser: &mut Parser<'_>, count: i64) -> Parsed<i64> {
    let minutes = match () {
        () if word(parser, "days") || word(parser, "day") => 24 * 60,
        () if word(parser, "hours") || word(parser, "hour") => 60,
        () if word(parser, "minutes") || word(parser, "minute") => 1,
        () => return parser.expected("DAYS, HOURS or MINUTES", parser.peek_token()),
    };
    let too_long = || ParserError::ParserError(format!("{count} is too long a time"));
    count.checked_mul(minutes * 60_000).ok_or_else(too_long)
}

/// `CALL [bergmill.]system.<procedure>(...)`.
fn procedure(call: &Function) -> Result<ReferenceStatement> {
    let path: Vec<String> = parts(&call.name)?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let name = match path.as_slice() {
        [CATALOG_NAME, "system", name] | ["system", name] => *name,
        _ => {
            return Err(bad(format!(
                "CALL {}: procedures are in system, as in CALL system.fast_forward(...)",
                call.name
            )));
        }
    };
    let Some((name, arguments)) = PROCEDURES.iter().find(|(known, _)| *known == name) else {
        let known = PROCEDURES.map(|(known, _)| known.to_string());
        let hint = match nearest(name, known.iter().cloned()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", known.join(", ")),
        };
        return Err(Error::new(ErrorKind::NotFound, format!("procedure system.{name} not found; {hint}")));
    };
    let given = Arguments::of(name, arguments, &call.args)?;
    let change = match *name {
        "fast_forward" => ReferenceChange::FastForward { branch: given.text("branch")?, to: given.text("to")? },
        "cherrypick_snapshot" => ReferenceChange::CherryPick(given.id("snapshot_id")?),
        "rollback_to_snapshot" => ReferenceChange::RollBackTo(given.id("snapshot_id")?),
        "rollback_to_timestamp" => ReferenceChange::RollBackToTime(given.millis("timestamp")?),
        _ => match (given.get("snapshot_id"), given.get("ref")) {
            (Some(_), None) => ReferenceChange::SetCurrent(Version::Snapshot(given.id("snapshot_id")?)),
            (None, Some(_)) => ReferenceChange::SetCurrent(Version::Reference(given.text("ref")?)),
            _ => return Err(bad(format!("{name} takes either a snapshot_id or a ref"))),
        },
    };
    Ok(ReferenceStatement { table: reference(&table_name(&given.text("table")?)?)?, change })
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
        self.get(name).ok_or_else(|| bad(format!("{} needs its {name}", self.procedure)))
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

    /// A timestamp, in milliseconds since 1970.
    fn millis(&self, name: &str) -> Result<i64> {
        let text = match self.need(name)? {
            Expr::TypedString(TypedString { data_type: DataType::Timestamp(..) | DataType::Date, value, .. }) => value,
            Expr::Value(value) => value,
            other => return Err(self.wrong(name, other, "a TIMESTAMP")),
        };
        let Value::SingleQuotedString(text) = &text.value else { return Err(self.wrong(name, text, "a TIMESTAMP")) };
        match Version::of_moment(&ScalarValue::from(text.as_str()))? {
            Version::Time(millis) => Ok(millis),
            other => Err(self.wrong(name, &other, "a TIMESTAMP")),
        }
    }

    fn wrong(&self, name: &str, given: &dyn std::fmt::Display, wanted: &str) -> Error {
        bad(format!("{}: {name} is {wanted}, and {given} is not", self.procedure))
    }
}

fn parts(name: &ObjectName) -> Result<Vec<String>> {
    name.0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect::<Option<_>>()
        .ok_or_else(|| bad(format!("{name} is no name")))
}

fn reference(name: &ObjectName) -> Result<TableReference> {
    match parts(name)?.as_slice() {
        [table] => Ok(TableReference::bare(table.as_str())),
        [namespace, table] => Ok(TableReference::partial(namespace.as_str(), table.as_str())),
        [catalog, namespace, table] => Ok(TableReference::full(catalog.as_str(), namespace.as_str(), table.as_str())),
        _ => Err(bad(format!("{name} is no table name; write namespace.table"))),
    }
}

fn bad(what: String) -> Error {
    Error::new(ErrorKind::Invalid, what)
}

fn invalid(e: ParserError) -> Error {
    bad(format!("SQL: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(sql: &str) -> ReferenceChange {
        let statement = parse_reference_statement(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let statement = statement.unwrap_or_else(|| panic!("{sql}: not about references"));
        assert_eq!(statement.table, TableReference::partial("raw", "t"), "{sql}");
        statement.change
    }

    #[test]
    fn sparks_statements_are_understood() {
        let day = 24 * 60 * 60 * 1000;
        let create = |kind, at, retention| ReferenceChange::Create {
            kind,
            name: "b".to_string(),
            at,
            if_not_exists: false,
            or_replace: false,
            retention,
        };
        let branch = ReferenceKind::Branch;
        let kept = |max_ref_age_ms, min_snapshots_to_keep, max_snapshot_age_ms| Retention {
            max_ref_age_ms,
            min_snapshots_to_keep,
            max_snapshot_age_ms,
        };
        let check = |clause: &str, expected: ReferenceChange| {
            assert_eq!(parsed(&format!("ALTER TABLE raw.t {clause};")), expected, "{clause}");
        };
        check("CREATE BRANCH b", create(branch, None, Retention::default()));
        check("create branch 'b' as of version 7", create(branch, Some(7), Retention::default()));
        check(
            "CREATE BRANCH b AS OF VERSION 7 RETAIN 2 DAYS WITH SNAPSHOT RETENTION 3 SNAPSHOTS 1 HOURS",
            create(branch, Some(7), kept(Some(2 * day), Some(3), Some(day / 24))),
        );
        check(
            "CREATE BRANCH b WITH SNAPSHOT RETENTION 5 MINUTES",
            create(branch, None, kept(None, None, Some(300_000))),
        );
        check("CREATE TAG b RETAIN 1 DAYS", create(ReferenceKind::Tag, None, kept(Some(day), None, None)));
        let drop = ReferenceChange::Drop { kind: ReferenceKind::Tag, name: "B".to_string(), if_exists: true };
        check("DROP TAG IF EXISTS B", drop);
        let replace = ReferenceChange::Replace {
            kind: branch,
            name: "b".to_string(),
            at: Some(1),
            retention: Retention::default(),
        };
        check("REPLACE BRANCH b AS OF VERSION 1", replace);
        let call = |text: &str| parsed(&format!("CALL {text}"));
        assert_eq!(call("system.cherrypick_snapshot('raw.t', 12)"), ReferenceChange::CherryPick(12));
        assert_eq!(call("bergmill.system.rollback_to_snapshot('raw.t', 12)"), ReferenceChange::RollBackTo(12));
        assert_eq!(
            call("system.rollback_to_snapshot(snapshot_id => 12, table => 'raw.t')"),
            ReferenceChange::RollBackTo(12)
        );
        assert_eq!(
            call("system.rollback_to_timestamp('raw.t', TIMESTAMP '1970-01-01 00:00:01.5')"),
            ReferenceChange::RollBackToTime(1500)
        );
        assert_eq!(
            call("system.set_current_snapshot(table => 'raw.t', ref => 'b')"),
            ReferenceChange::SetCurrent(Version::Reference("b".to_string()))
        );
        let forward = ReferenceChange::FastForward { branch: "main".to_string(), to: "b".to_string() };
        assert_eq!(call("system.fast_forward('raw.t', 'main', 'b')"), forward);
        for other in
            ["ALTER TABLE t ADD COLUMN tag INT", "ALTER TABLE t DROP COLUMN branch", "SELECT 1", "CREATE TABLE t"]
        {
            assert_eq!(parse_reference_statement(other).unwrap(), None, "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |sql: &str, expected: &str| {
            let e = parse_reference_statement(sql).expect_err(sql);
            assert!(e.to_string().contains(expected), "{sql}: {e}");
        };
        check("ALTER TABLE t CREATE BRANCH b AS OF VERSION x", "a whole number");
        check("ALTER TABLE t CREATE BRANCH b RETAIN 3 YEARS", "DAYS, HOURS or MINUTES");
        check("ALTER TABLE t CREATE BRANCH b RETAIN 0 DAYS", "not positive");
        check("ALTER TABLE t CREATE BRANCH b RETAIN 9223372036854775807 DAYS", "too long");
        check("ALTER TABLE t CREATE TAG b WITH SNAPSHOT RETENTION 1 SNAPSHOTS", "unexpected `WITH`");
        check("CALL fast_forward('t', 'a', 'b')", "procedures are in system");
        check("CALL system.fast_forwards('t', 'a', 'b')", "did you mean fast_forward?");
        check("CALL system.fast_forward('t', 'a')", "fast_forward needs its to");
        check("CALL system.fast_forward('t', 'a', 'b', 'c')", "takes table, branch, to");
        check("CALL system.rollback_to_snapshot('t', 'a')", "a snapshot's id, and 'a' is not");
        check("CALL system.set_current_snapshot('t', 1, 'b')", "either a snapshot_id or a ref");
        check("CALL system.rollback_to_timestamp('t', 'noon')", "is no timestamp");
    }
}
