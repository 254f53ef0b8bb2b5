//! Finding which tables a SELECT reads, so that the order of steps follows from their SQL.
//!
//! Bergmill's SQL is understood as far as it names tables: `ns.t VERSION AS OF ...` and its forms, `ns.t.branch_b`,
//! `table_changes('ns.t', ...)`, `ns."t$files"`. Whatever the state is that is read of a table, it is the table that is read.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, Statement, TableFactor, TableFunctionArgs, Value,
    Visit, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::table_name::TableName;

/// The catalog's name, which may stand before a namespace.
const CATALOG: &str = "bergmill";
/// The function that reads a table's changes.
const TABLE_CHANGES: &str = "table_changes";

/// The tables that one SELECT reads; an error says why the text is not one SELECT over tables with namespaces.
pub(crate) fn tables_read(sql: &str) -> Result<BTreeSet<TableName>, String> {
    // DataFusion's own default dialect, so that what is accepted here is accepted there.
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| error.to_string())?;
    let tokens = without_versions(tokens)?;
    let parsed = Parser::new(&dialect).with_tokens_with_locations(tokens).parse_statements();
    let statements = parsed.map_err(|error| error.to_string())?;
    let [statement @ Statement::Query(_)] = statements.as_slice() else {
        return Err("expected exactly one SELECT".to_owned());
    };
    let mut found = Found::default();
    if let ControlFlow::Break(error) = statement.visit(&mut found) {
        return Err(error);
    }
    let is_table = |parts: &&Vec<String>| !matches!(parts.as_slice(), [name] if found.ctes.contains(name));
    found.names.iter().filter(is_table).map(|parts| table(parts)).collect()
}

/// The table that a name stands for.
fn table(parts: &[String]) -> Result<TableName, String> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let in_catalog = match parts.as_slice() {
        [CATALOG, rest @ ..] if rest.len() > 1 => rest,
        all => all,
    };
    match in_catalog {
        [name] => Err(format!("table {name:?} has no namespace, and no WITH names it")),
        [namespace, table] => {
            // A metadata table (events$snapshots) changes when its table does.
            let table = table.split('$').next().unwrap_or(table);
            format!("{namespace}.{table}").parse()
        }
        [namespace, table, reference] if is_reference(reference) => format!("{namespace}.{table}").parse(),
        _ => Err(format!("{:?} is not a table's name: write namespace.table", parts.join("."))),
    }
}

/// Whether the last part of a name says which branch or tag of the table is meant.
fn is_reference(part: &str) -> bool {
    let starts_with = |prefix: &str| part.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    starts_with("branch_") || starts_with("tag_")
}

/// Cuts out the clauses that say which version of a table is read; no dialect of the parser knows all of them. The white
/// space goes as well.
fn without_versions(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, String> {
    let mut rest: Vec<TokenWithSpan> = tokens;
    rest.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(rest.len());
    let mut at = 0;
    while let Some(token) = rest.get(at) {
        let Some(words) = kept.last().filter(|last| may_end_a_name(last)).and_then(|_| clause(&rest[at..])) else {
            kept.push(token.clone());
            at += 1;
            continue;
        };
        let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(rest[at + words..].to_vec());
        parser.parse_expr().map_err(|error| error.to_string())?;
        at += words + parser.index();
    }
    Ok(kept)
}

/// Whether a clause after this token may be a table's. In a list of columns, `version AS of` names a column.
fn may_end_a_name(token: &TokenWithSpan) -> bool {
    match &token.token {
        Token::Word(word) => !matches!(word.keyword, Keyword::SELECT | Keyword::DISTINCT | Keyword::ALL),
        _ => false,
    }
}

/// How many words introduce the version, if these tokens begin with such a clause:
/// `[FOR] VERSION | SYSTEM_VERSION | TIMESTAMP | SYSTEM_TIME AS OF`.
fn clause(tokens: &[TokenWithSpan]) -> Option<usize> {
    let is = |at: usize, texts: &[&str]| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) => {
            word.quote_style.is_none() && texts.iter().any(|t| word.value.eq_ignore_ascii_case(t))
        }
        _ => false,
    };
    let first = usize::from(is(0, &["for"]));
    let introduces = is(first, &["version", "system_version", "timestamp", "system_time"])
        && is(first + 1, &["as"])
        && is(first + 2, &["of"]);
    let has_version = match &tokens.get(first + 3)?.token {
        Token::Word(word) => !matches!(word.keyword, Keyword::FROM | Keyword::WHERE | Keyword::ORDER | Keyword::LIMIT),
        other => !matches!(other, Token::EOF | Token::Comma | Token::RParen | Token::SemiColon),
    };
    (introduces && has_version).then_some(first + 3)
}

/// The names that a statement uses for tables, as they are after folding.
#[derive(Default)]
struct Found {
    ctes: BTreeSet<String>,
    names: Vec<Vec<String>>,
}

impl Visitor for Found {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.extend(ctes.map(|cte| folded(&cte.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        let TableFactor::Table { name, args, .. } = factor else { return ControlFlow::Continue(()) };
        match (args, parts(name).as_slice()) {
            (None, _) => self.names.push(parts(name)),
            (Some(args), [function]) if function == TABLE_CHANGES => match changed_table(args) {
                Some(name) => self.names.push(parts(&name)),
                None => {
                    return ControlFlow::Break(format!("{TABLE_CHANGES} takes a table's name in quotes first"));
                }
            },
            // Another function (generate_series), which reads no table.
            (Some(_), _) => {}
        }
        ControlFlow::Continue(())
    }
}

/// The table whose changes are read: the text that is the first argument.
fn changed_table(args: &TableFunctionArgs) -> Option<ObjectName> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(name))) = args.args.first()? else { return None };
    let Value::SingleQuotedString(name) = &name.value else { return None };
    Parser::new(&GenericDialect {}).try_with_sql(name).ok()?.parse_object_name(false).ok()
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect()
}

/// A name as SQL understands it: the letters of ASCII are folded, as DataFusion does, unless it was quoted.
fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &[&str]) {
        let tables: Vec<String> = tables_read(sql).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(tables, expected, "{sql}");
    }

    #[test]
    fn finds_tables() {
        check("SELECT 1", &[]);
        check("SELECT * FROM raw.a JOIN raw.b ON a.x = b.x", &["raw.a", "raw.b"]);
        check("WITH c AS (SELECT * FROM raw.a) SELECT * FROM c WHERE x IN (SELECT y FROM raw.b)", &["raw.a", "raw.b"]);
        check("SELECT * FROM RAW.A, bergmill.raw.b", &["raw.a", "raw.b"]);
        check("WITH Ärger AS (SELECT 1) SELECT * FROM Ärger", &[]);
        check("WITH Recent AS (SELECT 1) SELECT * FROM recent", &[]);
        check("SELECT * FROM generate_series(1, 2) UNION ALL SELECT x FROM (SELECT x FROM raw.a) s", &["raw.a"]);
        check("SELECT count(*) FILTER (WHERE date = DATE '2026-02-14') FROM raw.a", &["raw.a"]);
    }

    #[test]
    fn any_state_of_a_table_is_the_table() {
        check("SELECT * FROM raw.\"a$snapshots\"", &["raw.a"]);
        check("SELECT * FROM raw.\"a$files\" VERSION AS OF 'q1' f WHERE f.record_count > 1", &["raw.a"]);
        check("SELECT \"$path\", x.* FROM raw.a x ORDER BY \"$pos\"", &["raw.a"]);
        for version in [
            "VERSION AS OF 6174113214391340000",
            "for version as of 'q1'",
            "FOR SYSTEM_VERSION AS OF -1",
            "TIMESTAMP AS OF '2026-02-14 10:00:00'",
            "TIMESTAMP AS OF TIMESTAMP '2026-02-14T00:00:00Z' - INTERVAL '1' DAY",
            "FOR TIMESTAMP AS OF now() - INTERVAL '1' DAY",
            "FOR SYSTEM_TIME AS OF DATE '2026-02-14'",
        ] {
            check(&format!("SELECT * FROM raw.a {version}"), &["raw.a"]);
            check(&format!("SELECT n.x FROM raw.a {version} AS o JOIN raw.b n ON n.x = o.x"), &["raw.a", "raw.b"]);
            check(&format!("SELECT (SELECT max(x) FROM raw.a {version}), y FROM raw.b"), &["raw.a", "raw.b"]);
        }
        check("SELECT * FROM raw.a.branch_b, bergmill.raw.b.\"tag_Q1\"", &["raw.a", "raw.b"]);
        check("SELECT * FROM raw.branch_b", &["raw.branch_b"]);
        check("SELECT c.x FROM table_changes('raw.a', 'q1') AS c JOIN raw.b ON b.x = c.x", &["raw.a", "raw.b"]);
        check("SELECT * FROM TABLE_CHANGES('bergmill.raw.a', NULL, 3)", &["raw.a"]);
        // Columns of these names.
        check("SELECT version AS of, a.timestamp AS of FROM raw.a", &["raw.a"]);
    }

    #[test]
    fn refuses_others() {
        for (sql, reason) in [
            ("DELETE FROM raw.a", "exactly one SELECT"),
            ("SELECT 1; SELECT 2", "exactly one SELECT"),
            ("SELEC 1", "Expected"),
            ("SELECT * FROM a", "has no namespace"),
            ("WITH Ärger AS (SELECT 1) SELECT * FROM ärger", "has no namespace"),
            ("SELECT * FROM other.raw.a", "is not a table's name"),
            ("SELECT * FROM raw.a.branch_b.c", "is not a table's name"),
            ("SELECT * FROM raw.a VERSION AS OF )", "Expected"),
            ("SELECT * FROM raw.a VERSION AS OF", "Expected"),
            ("SELECT * FROM table_changes(raw, 1)", "a table's name in quotes"),
            ("SELECT * FROM table_changes('a', 1)", "has no namespace"),
        ] {
            let error = tables_read(sql).unwrap_err();
            assert!(error.contains(reason), "{sql}: {error}");
        }
    }
}
