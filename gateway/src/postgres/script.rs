//! The text of a message as statements, and what clients send on their own account.

use bergmill_statement::split;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, TokenizerError};

/// What to do with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is Bergmill's.
    Statement,
    /// It asks for Postgres' catalog or settings.
    Catalog,
    /// `SHOW` of a setting of Postgres.
    Show(String),
    /// It has no effect here. The tag that answers it.
    NoEffect(&'static str),
    /// `BEGIN`.
    Begin,
    /// `COMMIT` or `ROLLBACK`.
    End(&'static str),
}

/// Settings of Postgres that clients set and read, with the values that `SHOW` returns.
pub(super) const SETTINGS: [(&str, &str); 16] = [
    ("application_name", ""),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("intervalstyle", "postgres"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", "16.6"),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
];

/// Functions of Postgres that clients call to know where they are. Columns may have these names.
const FUNCTIONS: [&str; 5] = ["version", "current_schema", "current_schemas", "current_database", "set_config"];

/// The statements in a text, without those that are empty. None of them runs if the text has an error, as in Postgres:
/// then it is one statement, with that error.
pub(super) fn statements(text: &str) -> Vec<String> {
    match tokenize(text) {
        Ok(_) => split(text).0,
        Err(_) => vec![text.to_owned()],
    }
}

fn tokenize(text: &str) -> Result<Vec<Token>, TokenizerError> {
    Tokenizer::new(&GenericDialect {}, text).tokenize()
}

/// The tokens of a statement without white space; none if it has none.
fn tokens(statement: &str) -> Vec<Token> {
    let mut tokens = tokenize(statement).unwrap_or_default();
    tokens.retain(|token| !matches!(token, Token::Whitespace(_)));
    tokens
}

/// The words among tokens, in lower case.
fn words(tokens: &[Token]) -> Vec<String> {
    let word = |token: &Token| match token {
        Token::Word(word) => Some(word.value.to_lowercase()),
        _ => None,
    };
    tokens.iter().filter_map(word).collect()
}

/// What to do with a statement.
pub(super) fn kind(statement: &str) -> Kind {
    let tokens = tokens(statement);
    // What follows says nothing of the kind.
    let first = words(&tokens[..tokens.len().min(8)]);
    let words: Vec<&str> = first.iter().map(String::as_str).collect();
    let is_setting = |name: &str| SETTINGS.iter().any(|(known, _)| *known == name);
    match words.as_slice() {
        ["begin", ..] | ["start", "transaction", ..] => Kind::Begin,
        ["commit" | "end", ..] => Kind::End("COMMIT"),
        ["rollback", "to", ..] => Kind::NoEffect("ROLLBACK"),
        ["rollback" | "abort", ..] => Kind::End("ROLLBACK"),
        ["savepoint", ..] => Kind::NoEffect("SAVEPOINT"),
        ["release", ..] => Kind::NoEffect("RELEASE"),
        ["discard", ..] => Kind::NoEffect("DISCARD ALL"),
        ["deallocate", ..] => Kind::NoEffect("DEALLOCATE"),
        ["set", "session", "characteristics", ..] | ["set", "transaction", ..] => Kind::NoEffect("SET"),
        ["set", "session" | "local", name, ..] | ["set", name, ..] if is_setting(name) => Kind::NoEffect("SET"),
        ["set", "names", ..] => Kind::NoEffect("SET"),
        ["reset", name] if is_setting(name) || *name == "all" => Kind::NoEffect("RESET"),
        ["show", "transaction", "isolation", "level"] => Kind::Show("transaction_isolation".to_owned()),
        ["show", "time", "zone"] => Kind::Show("timezone".to_owned()),
        ["show", name] if is_setting(name) => Kind::Show((*name).to_owned()),
        ["select" | "with" | "values", ..] if asks_catalog(&tokens) => Kind::Catalog,
        _ => Kind::Statement,
    }
}

/// The value of a setting of Postgres.
pub(super) fn setting(name: &str) -> &'static str {
    SETTINGS.iter().find(|(known, _)| *known == name).map_or("UTC", |(_, value)| value)
}

/// Whether a query names something of `pg_catalog`, or calls one of its functions.
fn asks_catalog(query: &[Token]) -> bool {
    query.iter().enumerate().any(|(at, token)| match token {
        Token::Word(word) => {
            let (word, is_called) = (word.value.to_lowercase(), query.get(at + 1) == Some(&Token::LParen));
            word.starts_with("pg_") || is_called && FUNCTIONS.contains(&word.as_str())
        }
        _ => false,
    })
}

/// The first words of a statement, as the tag of its answer has them.
pub(super) fn tag(statement: &str) -> String {
    let tokens = tokens(statement);
    let words = words(&tokens[..tokens.len().min(8)]);
    let first = words.first().map(String::as_str).unwrap_or_default();
    let count = match first {
        "create" | "drop" | "alter" | "truncate" => 2,
        _ => 1,
    };
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !matches!(*word, "or" | "replace")).collect();
    words[..count.min(words.len())].join(" ").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_at_semicolons_outside_of_literals() {
        for (text, expected) in [
            ("SELECT 1", vec!["SELECT 1"]),
            ("SELECT 1;", vec!["SELECT 1"]),
            ("BEGIN; SELECT ';' AS \"a;b\" -- x;\n; COMMIT", vec!["BEGIN", "SELECT ';' AS \"a;b\" -- x;", "COMMIT"]),
            ("SELECT 'é';\nSELECT $$;$$;\n\nSELECT 3", vec!["SELECT 'é'", "SELECT $$;$$", "SELECT 3"]),
            (" ; -- nothing\n;", vec![]),
            ("SELECT 'open", vec!["SELECT 'open"]),
        ] {
            assert_eq!(statements(text), expected, "{text}");
        }
    }

    #[test]
    fn what_clients_send_on_their_own_account_is_known() {
        for (statement, expected) in [
            ("BEGIN", Kind::Begin),
            ("start transaction isolation level read committed", Kind::Begin),
            ("COMMIT", Kind::End("COMMIT")),
            ("ROLLBACK", Kind::End("ROLLBACK")),
            ("SET extra_float_digits = 3", Kind::NoEffect("SET")),
            ("SET client_encoding TO 'UTF8'", Kind::NoEffect("SET")),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Kind::NoEffect("SET")),
            ("SET bergmill.execution = 'local'", Kind::Statement),
            ("show standard_conforming_strings", Kind::Show("standard_conforming_strings".to_owned())),
            ("SHOW TRANSACTION ISOLATION LEVEL", Kind::Show("transaction_isolation".to_owned())),
            ("SHOW TABLES", Kind::Statement),
            ("select pg_catalog.version()", Kind::Catalog),
            ("SELECT current_schema()", Kind::Catalog),
            ("SELECT version, 'pg_catalog' FROM raw.releases", Kind::Statement),
            ("INSERT INTO pg_notes VALUES (1)", Kind::Statement),
        ] {
            assert_eq!(kind(statement), expected, "{statement}");
        }
    }

    #[test]
    fn tags_are_those_of_postgres() {
        for (statement, expected) in [
            ("INSERT INTO t VALUES (1)", "INSERT"),
            ("create or replace table t (a INT)", "CREATE TABLE"),
            ("DROP VIEW v", "DROP VIEW"),
            ("/* x */ delete from t", "DELETE"),
        ] {
            assert_eq!(tag(statement), expected);
        }
    }
}
