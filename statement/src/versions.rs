//! `FROM t VERSION AS OF 3`, and the other ways to select the state of a table to read.
//!
//! The syntax tree has a field for the version of a table, but sqlparser sets it only for other dialects, and not from
//! all forms of Spark and Trino. So the clauses are rewritten as an argument of the table before parsing, which
//! sqlparser accepts wherever a table may be, and moved to that field afterwards:
//!
//! - `t [FOR] VERSION | SYSTEM_VERSION AS OF <id or name>`, `t [FOR] TIMESTAMP | SYSTEM_TIME AS OF <time>`;
//! - Spark's `ns.t.branch_<name>` and `ns.t.tag_<name>`, where a branch can also be written to;
//! - `table_changes('ns.t', from, to)`, which reads `ns.t`, so that planning finds the table like any other.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FromTable, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, Spanned, Statement as SqlStatement, TableFactor, TableFunctionArgs, TableObject,
    TableVersion, TableWithJoins, Value, VisitMut, VisitorMut,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::error::{Error, Result};
use crate::names::{CATALOG, folded};
use crate::position::Position;
use crate::references::ReferenceKind;
use crate::token_reader::{TokenReader, is_word, table_name_in};

/// The name of the table function that reads the rows added to a table.
pub const TABLE_CHANGES: &str = "table_changes";

const BY_VERSION: &str = "VERSION AS OF";
const BY_TIME: &str = "TIMESTAMP AS OF";

/// The remaining tokens, with each `AS OF` clause rewritten as an argument of its table: `t VERSION AS OF 3 AS x`
/// becomes `t("VERSION AS OF" => 3) AS x`.
pub(crate) fn mark_versions(reader: &mut TokenReader) -> Result<Vec<TokenWithSpan>> {
    let mut marked: Vec<TokenWithSpan> = Vec::new();
    loop {
        let clause = marked.last().filter(|t| may_end_a_name(t)).and_then(|_| clause(reader));
        let Some((name, words)) = clause else {
            let Some(token) = reader.next() else { return Ok(marked) };
            marked.push(token);
            continue;
        };
        let span = reader.peek().span;
        (0..words).for_each(|_| drop(reader.next()));
        let start = reader.index();
        reader.parse(&format!("SQL: {name}"), Parser::parse_expr)?;
        let put = |token| TokenWithSpan::new(token, span);
        let argument = Word { value: name.to_string(), quote_style: Some('"'), keyword: Keyword::NoKeyword };
        marked.extend([Token::LParen, Token::Word(argument), Token::RArrow].map(put));
        marked.extend(reader.taken_since(start));
        marked.push(put(Token::RParen));
    }
}

/// Whether a clause after this token may belong to a table. In a list of columns, `version AS of` names a column.
fn may_end_a_name(token: &TokenWithSpan) -> bool {
    match &token.token {
        Token::Word(w) => !matches!(w.keyword, Keyword::SELECT | Keyword::DISTINCT | Keyword::ALL),
        _ => false,
    }
}

/// The next clause and the number of words that introduce it.
fn clause(reader: &TokenReader) -> Option<(&'static str, usize)> {
    let is = |n: usize, words: &[&str]| words.iter().any(|word| is_word(reader.peek_nth(n), word));
    let first = usize::from(is(0, &["for"]));
    let name = match () {
        () if is(first, &["version", "system_version"]) => BY_VERSION,
        () if is(first, &["timestamp", "system_time"]) => BY_TIME,
        () => return None,
    };
    let is_as_of = is(first + 1, &["as"]) && is(first + 2, &["of"]);
    let follows = match &reader.peek_nth(first + 3).token {
        Token::Word(w) => !matches!(w.keyword, Keyword::FROM | Keyword::WHERE | Keyword::ORDER | Keyword::LIMIT),
        other => !matches!(other, Token::EOF | Token::Comma | Token::RParen | Token::SemiColon),
    };
    (is_as_of && follows).then_some((name, first + 3))
}

/// Moves the versions that [`mark_versions`] wrote as arguments, and those that are part of a name, to their field in
/// the syntax tree. Returns the branch that the statement writes to, if it names one.
pub(crate) fn resolve_versions(statement: &mut SqlStatement) -> Result<Option<String>> {
    // First, because the name of a table that is written to is not a version to read.
    let branch = match written_to(statement) {
        Some(name) => take_branch(name)?,
        None => None,
    };
    if let ControlFlow::Break(e) = statement.visit(&mut ResolveVersions) {
        return Err(e);
    }
    let is_versioned = |table: &&TableFactor| matches!(table, TableFactor::Table { version: Some(_), .. });
    if let Some(table) = changed_in_place(statement).find(is_versioned) {
        let what = "rows of an old version cannot be changed; rows of a branch can, as in DELETE FROM ns.t.branch_b";
        return Err(Error::unsupported(what).at(Position::of(table.span().start)));
    }
    Ok(branch)
}

/// The name of the table whose rows a statement adds, changes or removes.
fn written_to(statement: &mut SqlStatement) -> Option<&mut ObjectName> {
    let factor = match statement {
        SqlStatement::Insert(insert) => match &mut insert.table {
            TableObject::TableName(name) => return Some(name),
            _ => return None,
        },
        SqlStatement::Truncate(truncate) => return truncate.table_names.first_mut().map(|table| &mut table.name),
        SqlStatement::Merge(merge) => &mut merge.table,
        SqlStatement::Update(update) => &mut update.table.relation,
        SqlStatement::Delete(delete) => match &mut delete.from {
            FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from) => &mut from.first_mut()?.relation,
        },
        _ => return None,
    };
    match factor {
        TableFactor::Table { name, .. } => Some(name),
        _ => None,
    }
}

/// The tables whose existing rows a statement changes.
fn changed_in_place(statement: &SqlStatement) -> impl Iterator<Item = &TableFactor> {
    let (merged, joined): (Option<&TableFactor>, &[TableWithJoins]) = match statement {
        SqlStatement::Merge(merge) => (Some(&merge.table), &[]),
        SqlStatement::Update(update) => (None, std::slice::from_ref(&update.table)),
        SqlStatement::Delete(delete) => match &delete.from {
            FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from) => (None, from),
        },
        _ => (None, &[]),
    };
    merged.into_iter().chain(joined.iter().map(|from| &from.relation))
}

struct ResolveVersions;

impl VisitorMut for ResolveVersions {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table { name, args, version, .. } = factor else { return ControlFlow::Continue(()) };
        let resolved = match args.take() {
            None => {
                *version = version.take().or_else(|| version_in(name));
                Ok(())
            }
            Some(given) => match version_of(&given) {
                Some(of) => {
                    *version = Some(of);
                    Ok(())
                }
                None if is_table_changes(name) => changes(name, given).map(|call| *version = Some(call)),
                None => {
                    *args = Some(given);
                    Ok(())
                }
            },
        };
        match resolved {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e.at(Position::of(name.span().start))),
        }
    }
}

/// The version that was rewritten as the only argument of a table.
fn version_of(args: &TableFunctionArgs) -> Option<TableVersion> {
    let [FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. }] = args.args.as_slice() else { return None };
    match name.value.as_str() {
        BY_VERSION => Some(TableVersion::VersionAsOf(expr.clone())),
        BY_TIME => Some(TableVersion::TimestampAsOf(expr.clone())),
        _ => None,
    }
}

/// Takes the branch or tag out of a name in Spark's form, as a version.
fn version_in(name: &mut ObjectName) -> Option<TableVersion> {
    let (_, reference) = take_reference(name)?;
    Some(TableVersion::VersionAsOf(Expr::value(Value::SingleQuotedString(reference))))
}

/// Takes the branch of `ns.t.branch_<name>` out of the name of a table that is written to.
fn take_branch(name: &mut ObjectName) -> Result<Option<String>> {
    let written = name.to_string();
    match take_reference(name) {
        Some((ReferenceKind::Tag, tag)) => {
            let what =
                format!("{written}: a tag does not move, so tag {tag} cannot be written to; write to a branch instead");
            Err(Error::invalid(what).at(Position::of(name.span().start)))
        }
        Some((ReferenceKind::Branch, branch)) => Ok(Some(branch)),
        None => Ok(None),
    }
}

/// Takes the branch or tag out of a name.
///
/// The prefix is matched in either case, like a keyword; the name after it is case-sensitive, like all names of
/// references.
fn take_reference(name: &mut ObjectName) -> Option<(ReferenceKind, String)> {
    const PREFIXES: [(&str, ReferenceKind); 2] = [("branch_", ReferenceKind::Branch), ("tag_", ReferenceKind::Tag)];
    let parts: Vec<&Ident> = name.0.iter().map(ObjectNamePart::as_ident).collect::<Option<_>>()?;
    // `bergmill.ns.branch_x` is a table.
    let namespace_and_table = if parts.first().is_some_and(|p| folded(p) == CATALOG) { 3 } else { 2 };
    if parts.len() != namespace_and_table + 1 {
        return None;
    }
    let last = &parts.last()?.value;
    let is_prefix = |(p, _): &&(&str, _)| last.get(..p.len()).is_some_and(|start| start.eq_ignore_ascii_case(p));
    let (prefix, kind) = PREFIXES.iter().find(is_prefix)?;
    let reference = last.get(prefix.len()..).filter(|rest| !rest.is_empty())?.to_string();
    name.0.pop();
    Some((*kind, reference))
}

fn is_table_changes(name: &ObjectName) -> bool {
    matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|i| folded(i) == TABLE_CHANGES))
}

/// `table_changes('ns.t', from, to)` as a version of `ns.t`: replaces the function's name by the table's.
fn changes(name: &mut ObjectName, args: TableFunctionArgs) -> Result<TableVersion> {
    let usage = || {
        Error::invalid(format!(
            "{TABLE_CHANGES} takes a table's name in quotes, the snapshot to start after, and the last snapshot"
        ))
    };
    let mut args = args.args.into_iter();
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(table)))) = args.next() else {
        return Err(usage());
    };
    let Value::SingleQuotedString(table) = table.value else { return Err(usage()) };
    let function = std::mem::replace(name, table_name_in(&table)?);
    let args: Vec<FunctionArg> = args.collect();
    if args.is_empty() || args.len() > 2 {
        return Err(usage());
    }
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    Ok(TableVersion::Function(Expr::Function(Function {
        name: function,
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })))
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    /// The parsed statement as text.
    fn read(sql: &str) -> String {
        match parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}")) {
            Statement::Sql(sql) => sql.tree.to_string(),
            Statement::Explain(explain) => format!("EXPLAIN {}", explain.statement.tree),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn versions_are_allowed_wherever_tables_are() {
        let check = |sql: &str, expected: &str| assert_eq!(read(sql), expected, "{sql}");
        check("SELECT * FROM t VERSION AS OF 3", "SELECT * FROM t VERSION AS OF 3");
        check("select * from a.t for system_version as of 'x' u", "SELECT * FROM a.t u VERSION AS OF 'x'");
        check(
            "SELECT 1 FROM a FOR SYSTEM_TIME AS OF now() - INTERVAL '1' DAY AS x JOIN b TIMESTAMP AS OF '2026-02-14' ON true",
            // The syntax tree is printed with the alias first.
            "SELECT 1 FROM a AS x TIMESTAMP AS OF now() - INTERVAL '1' DAY JOIN b TIMESTAMP AS OF '2026-02-14' ON true",
        );
        check(
            "EXPLAIN SELECT (SELECT max(id) FROM \"T\" VERSION AS OF 1) FROM u",
            "EXPLAIN SELECT (SELECT max(id) FROM \"T\" VERSION AS OF 1) FROM u",
        );
        check(
            "SELECT * FROM ns.t.branch_B, ns.t.\"tag_Q\"",
            "SELECT * FROM ns.t VERSION AS OF 'B', ns.t VERSION AS OF 'Q'",
        );
        for same in [
            "SELECT version AS of FROM t",
            "SELECT DISTINCT timestamp AS of FROM t",
            "SELECT t.version AS of, 1 FROM t",
            "SELECT * FROM bergmill.ns.branch_x",
            "SELECT * FROM branch_x",
            "SELECT * FROM ns.branch_x",
        ] {
            check(same, same);
        }
    }

    #[test]
    fn the_branch_that_is_written_to_is_returned() {
        let check = |sql: &str, expected: Option<&str>| {
            let Ok(Statement::Sql(parsed)) = parse(sql) else { panic!("{sql}") };
            assert_eq!(parsed.branch.as_deref(), expected, "{sql}");
        };
        check("INSERT INTO ns.t.branch_b VALUES (1)", Some("b"));
        check("INSERT OVERWRITE bergmill.ns.t.\"branch_B\" SELECT 1", Some("B"));
        check("INSERT INTO bergmill.ns.branch_b VALUES (1)", None);
        check("INSERT INTO ns.t SELECT * FROM ns.t.branch_b", None);
        check("DELETE FROM ns.t.branch_b AS x WHERE x.id IN (SELECT id FROM ns.t.tag_q)", Some("b"));
        check("DELETE FROM ns.t WHERE id IN (SELECT id FROM ns.t.branch_b)", None);
        check("UPDATE ns.t.\"branch_B\" SET id = 1", Some("B"));
        check("MERGE INTO ns.t.branch_b t USING ns.t.branch_c s ON t.id = s.id WHEN MATCHED THEN DELETE", Some("b"));
        check("TRUNCATE TABLE ns.t.branch_b", Some("b"));
    }

    #[test]
    fn tags_and_old_versions_cannot_be_written_to() {
        let check = |sql: &str, expected: &str| {
            let e = parse(sql).expect_err(sql);
            assert!(e.to_string().contains(expected), "{sql}: {e}");
        };
        check("DELETE FROM ns.t.tag_q", "tag q cannot be written to");
        check("INSERT INTO ns.t.tag_q VALUES (1)", "tag q cannot be written to");
        check("TRUNCATE TABLE ns.t.tag_q", "tag q cannot be written to");
        check("UPDATE ns.t VERSION AS OF 3 SET id = 1", "rows of an old version cannot be changed");
    }
}
