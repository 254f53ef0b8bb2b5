//! Help while a statement is typed: names are completed, words coloured, and Enter goes on until a semicolon.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Result;
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bergmill_gateway::Client;
use bergmill_statement::{Syntax, identifier, split, syntax};
use futures::TryStreamExt;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

/// Words of the language that are completed, separated by commas.
const KEYWORDS: &str = "ALL, ALTER TABLE, AND, ANTI JOIN, AS, ASC, BETWEEN, BY, CALL, CASE, CAST, CREATE NAMESPACE, \
    CREATE OR REPLACE, CREATE ROLE, CREATE TABLE, CREATE USER, CREATE VIEW, CROSS JOIN, CURRENT ROW, DELETE FROM, \
    DESC, DESCRIBE, DISTINCT, DROP NAMESPACE, DROP ROLE, DROP TABLE, DROP VIEW, ELSE, END, EXCEPT, EXISTS, EXPLAIN, \
    EXPLAIN ANALYZE, FILTER, FOLLOWING, FOR VERSION AS OF, FROM, FULL JOIN, GRANT, GROUP BY, GROUPING SETS, HAVING, \
    IF EXISTS, IF NOT EXISTS, IN, INNER JOIN, INSERT INTO, INTERSECT, INTERVAL, IS NOT NULL, IS NULL, JOIN, \
    LEFT JOIN, LIKE, LIMIT, MERGE INTO, NOT, NULL, NULLS FIRST, NULLS LAST, OFFSET, ON, OR, ORDER BY, OVER, \
    PARTITION BY, PARTITIONED BY, PRECEDING, RANGE, REVOKE, ROWS, SELECT, SEMI JOIN, SET, SHOW GRANTS, SHOW ROLES, \
    SHOW TABLES, THEN, UNION ALL, UPDATE, USING, VALUES, WHEN MATCHED THEN, WHERE, WINDOW, WITH";

/// The names that a server knows.
#[derive(Debug, Default)]
struct Names {
    namespaces: BTreeSet<String>,
    /// With their namespaces.
    tables: BTreeSet<(String, String)>,
    columns: BTreeSet<String>,
    functions: BTreeSet<String>,
}

/// Completes, colours and checks what is typed. Clones share the names.
#[derive(Debug, Clone)]
pub struct Assistant {
    names: Arc<RwLock<Names>>,
    colours: bool,
}

impl Assistant {
    /// Without names yet; with colours, unless the user has asked for none (no-color.org).
    pub fn new() -> Self {
        Self { names: Arc::default(), colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// Asks the server for all names.
    pub async fn learn(&self, client: &Client) -> Result<()> {
        let mut names = Names::default();
        let columns = "SELECT table_schema, table_name, column_name FROM information_schema.columns \
                       WHERE table_schema <> 'information_schema'";
        for [namespace, table, column] in texts(client, columns).await? {
            names.namespaces.insert(namespace.clone());
            names.tables.insert((namespace, table));
            names.columns.insert(column);
        }
        let functions = "SELECT DISTINCT routine_name FROM information_schema.routines";
        names.functions.extend(texts(client, functions).await?.into_iter().map(|[name]| name));
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        Ok(())
    }

    /// What the word before `at` may become, and where it begins.
    fn completions(&self, line: &str, at: usize) -> (usize, Vec<String>) {
        let before = &line[..at];
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"');
        let start = before
            .rfind(|c| !is_part(c))
            .map_or(0, |last| last + before[last..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        if word.is_empty() || is_text(line, start) {
            return (start, Vec::new());
        }
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((prefix, rest)) = word.rsplit_once('.') {
            // A table of a namespace, or a column of a table or of its alias.
            let namespace = prefix.trim_matches('"');
            let tables = names.tables.iter().filter(|(of, _)| of == namespace).map(|(_, table)| table);
            let found: Vec<&String> =
                if names.namespaces.contains(namespace) { tables.collect() } else { names.columns.iter().collect() };
            return (start + prefix.len() + 1, starting_with(rest, found.into_iter().map(|name| identifier(name))));
        }
        let of_server = names.tables.iter().map(|(_, table)| identifier(table));
        let of_server = of_server.chain(names.namespaces.iter().chain(&names.columns).map(|name| identifier(name)));
        let of_server = of_server.chain(names.functions.iter().map(|name| format!("{name}(")));
        let small = word.chars().any(char::is_lowercase);
        let keywords = KEYWORDS.split(", ").map(|word| if small { word.to_lowercase() } else { word.to_owned() });
        (start, starting_with(word, of_server.chain(keywords)))
    }
}

/// Those that begin with `word`, whatever the case, sorted.
fn starting_with(word: &str, all: impl Iterator<Item = String>) -> Vec<String> {
    let wanted = word.trim_matches('"').to_lowercase();
    let found: BTreeSet<String> =
        all.filter(|name| name.trim_matches('"').to_lowercase().starts_with(&wanted)).collect();
    found.into_iter().collect()
}

/// Whether the position is in a text or a comment.
fn is_text(line: &str, at: usize) -> bool {
    let parts = syntax(line);
    let inside = parts
        .iter()
        .any(|(range, kind)| matches!(kind, Syntax::Text | Syntax::Comment) && range.start <= at && at < range.end);
    // An open quote is no part of the syntax.
    inside || line[..at].matches('\'').count() % 2 == 1
}

/// The rows of a query, as text.
async fn texts<const N: usize>(client: &Client, sql: &str) -> Result<Vec<[String; N]>> {
    let mut rows = client.query(sql).await?;
    let mut found = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        let columns =
            batch.columns().iter().map(|column| cast(column, &DataType::Utf8)).collect::<Result<Vec<_>, _>>()?;
        let values = |row| std::array::from_fn(|at| columns[at].as_string::<i32>().value(row).to_owned());
        found.extend((0..batch.num_rows()).map(values));
    }
    Ok(found)
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = self.completions(line, at);
        Ok((start, found.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect()))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !self.colours || line.starts_with('\\') {
            return Cow::Borrowed(line);
        }
        let (mut coloured, mut last) = (String::new(), 0);
        for (range, kind) in syntax(line) {
            let colour = match kind {
                Syntax::Keyword => "1",
                Syntax::Text => "32",
                Syntax::Number => "36",
                Syntax::Comment => "2",
            };
            coloured += &line[last..range.start];
            coloured += &format!("\u{1b}[{colour}m{}\u{1b}[0m", &line[range.clone()]);
            last = range.end;
        }
        coloured += &line[last..];
        Cow::Owned(coloured)
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        self.colours && kind != CmdKind::MoveCursor
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Whether a text is to be run: a command, or statements up to their last semicolon.
pub fn is_complete(text: &str) -> bool {
    let trimmed = text.trim();
    trimmed.starts_with('\\') || matches!(trimmed, "quit" | "exit") || split(text).1
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    fn assistant() -> Assistant {
        let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let names = Names {
            namespaces: set(&["raw", "shop"]),
            tables: [("raw", "events"), ("raw", "Event Types"), ("shop", "orders")]
                .map(|(namespace, table)| (namespace.to_string(), table.to_string()))
                .into(),
            columns: set(&["event_id", "user_id"]),
            functions: set(&["exp", "extract"]),
        };
        Assistant { names: Arc::new(RwLock::new(names)), colours: true }
    }

    #[test]
    fn names_are_completed_where_they_can_stand() {
        let check = |text: &str, expected: &[&str]| {
            let (start, found) = assistant().completions(text, text.len());
            let whole: Vec<String> = found.iter().map(|name| format!("{}{name}", &text[..start])).collect();
            assert_eq!(whole, expected, "{text}");
        };
        check("select eve", &["select \"Event Types\"", "select event_id", "select events"]);
        check("SELECT * FROM raw.", &["SELECT * FROM raw.\"Event Types\"", "SELECT * FROM raw.events"]);
        check("SELECT e.use", &["SELECT e.user_id"]);
        check("SELECT 1 WHE", &["SELECT 1 WHEN MATCHED THEN", "SELECT 1 WHERE"]);
        check("select ext", &["select extract("]);
        check("SELECT '커피', us", &["SELECT '커피', user_id", "SELECT '커피', using"]);
        check("SELECT 'eve", &[]);
        check("SELECT 1 -- eve", &[]);
        check("SELECT ", &[]);
    }

    #[test]
    fn colours_change_no_text() {
        let text = "SELECT '커피' AS x, 15 -- done";
        let coloured = assistant().highlight(text, 0).into_owned();
        assert!(coloured.contains("\u{1b}[32m'커피'\u{1b}[0m"), "{coloured}");
        assert_eq!(console::strip_ansi_codes(&coloured), text);
        let plain = Assistant { colours: false, ..assistant() };
        assert_eq!(plain.highlight(text, 0), text);
    }

    #[test]
    fn enter_goes_on_until_a_semicolon() {
        for (text, complete) in
            [("SELECT 1", false), ("SELECT 1;", true), ("SELECT ';", false), ("\\d", true), ("quit", true), ("", true)]
        {
            assert_eq!(is_complete(text), complete, "{text}");
        }
    }
}
