//! Commands of the prompt that are no SQL. They begin with a backslash, and are named as those of Postgres' psql.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::output::Format;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Help,
    Quit,
    /// Runs a query, whose result is shown.
    Query(String),
    /// Shows values below each other, or no longer; `None` for the other of the two.
    Vertical(Option<bool>),
    Timing(Option<bool>),
    Format(Format),
    /// Writes results to a file, or to the terminal again.
    Output(Option<PathBuf>),
    Include(PathBuf),
}

/// What `\?` shows.
pub const HELP: &str = "\
\\d            tables and views          \\d NAME       columns of a table
\\dt [PATTERN] tables                    \\dv [PATTERN] views
\\dn           namespaces                \\df [PATTERN] functions
\\l            catalogs                  \\i FILE       run the statements of a file
\\x [on|off]   values below each other   \\timing [on|off]
\\format NAME  table, vertical, markdown, csv, json, ndjson
\\o [FILE]     write results to a file, with its name's format; without FILE: show them
\\q            quit                      \\?            this
A statement ends with ; and may have several lines. Tab completes names, Ctrl-R searches the history.
";

/// The command of a line that begins with a backslash.
pub fn parse(line: &str) -> Result<Command, String> {
    let (name, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    let rest = rest.trim().trim_end_matches(';').trim();
    let pattern = (!rest.is_empty()).then_some(rest);
    let without_argument = |command| match pattern {
        None => Ok(command),
        Some(_) => Err(format!("{name} takes no argument; \\? lists all commands")),
    };
    let switch = || match pattern {
        None => Ok(None),
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(other) => Err(format!("{name} {other}: use on or off")),
    };
    match name {
        "\\?" | "\\h" => without_argument(Command::Help),
        "\\q" => without_argument(Command::Quit),
        "\\d" => Ok(Command::Query(pattern.map_or_else(|| tables(None, None), |table| format!("DESCRIBE {table}")))),
        "\\dt" => Ok(Command::Query(tables(Some("BASE TABLE"), pattern))),
        "\\dv" => Ok(Command::Query(tables(Some("VIEW"), pattern))),
        "\\dn" => without_argument(Command::Query(
            "SELECT schema_name AS namespace FROM information_schema.schemata ORDER BY 1".into(),
        )),
        "\\l" => without_argument(Command::Query(
            "SELECT DISTINCT catalog_name AS catalog FROM information_schema.schemata ORDER BY 1".into(),
        )),
        "\\df" => Ok(Command::Query(functions(pattern))),
        "\\x" => Ok(Command::Vertical(switch()?)),
        "\\timing" => Ok(Command::Timing(switch()?)),
        "\\format" => match Format::from_str(rest, true) {
            Ok(format) if !format.is_binary() => Ok(Command::Format(format)),
            Ok(_) => Err(format!("{rest} is not text; write it to a file: \\o FILE.{rest}")),
            Err(_) => Err(format!("there is no format {rest:?}; use table, vertical, markdown, csv, json or ndjson")),
        },
        "\\o" => Ok(Command::Output(pattern.map(PathBuf::from))),
        "\\i" => match pattern {
            Some(file) => Ok(Command::Include(PathBuf::from(file))),
            None => Err("\\i needs the name of a file".into()),
        },
        other => Err(format!("there is no command {other}; \\? lists all")),
    }
}

fn tables(kind: Option<&str>, pattern: Option<&str>) -> String {
    let kind = kind.map_or_else(String::new, |kind| format!(" AND table_type = '{kind}'"));
    let matching = pattern.map_or_else(String::new, |pattern| {
        let like = like(pattern);
        format!(" AND (table_name LIKE {like} OR table_schema || '.' || table_name LIKE {like})")
    });
    format!(
        "SELECT table_schema AS namespace, table_name AS name, CASE table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END \
         AS kind FROM information_schema.tables WHERE table_schema <> 'information_schema'{kind}{matching} ORDER BY 1, 2"
    )
}

fn functions(pattern: Option<&str>) -> String {
    let matching = pattern.map_or_else(String::new, |pattern| format!(" WHERE routine_name LIKE {}", like(pattern)));
    format!(
        "SELECT routine_name AS name, lower(function_type) AS kind, min(syntax_example) AS syntax \
         FROM information_schema.routines{matching} GROUP BY 1, 2 ORDER BY 1, 2"
    )
}

/// psql's pattern, in which `*` and `?` stand for any characters, as one of LIKE.
fn like(pattern: &str) -> String {
    let escaped = pattern.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("'{}'", escaped.replace('*', "%").replace('?', "_").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_parsed_and_mistakes_explained() {
        let query = |sql: &str| Ok(Command::Query(sql.to_string()));
        for (line, expected) in [
            ("\\d raw.events;", query("DESCRIBE raw.events")),
            ("\\x", Ok(Command::Vertical(None))),
            ("\\x off", Ok(Command::Vertical(Some(false)))),
            ("\\timing maybe", Err("\\timing maybe: use on or off".to_string())),
            ("\\o  a b.csv ", Ok(Command::Output(Some("a b.csv".into())))),
            ("\\o", Ok(Command::Output(None))),
            ("\\i", Err("\\i needs the name of a file".to_string())),
            ("\\format NDJSON", Ok(Command::Format(Format::Ndjson))),
            ("\\format arrow", Err("arrow is not text; write it to a file: \\o FILE.arrow".to_string())),
            ("\\q now", Err("\\q takes no argument; \\? lists all commands".to_string())),
            ("\\zz", Err("there is no command \\zz; \\? lists all".to_string())),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
        let Ok(Command::Query(sql)) = parse("\\dt raw.ev*_'x") else { panic!("no query") };
        assert!(sql.contains("LIKE 'raw.ev%\\_''x'"), "{sql}");
    }
}
