//! Parameters: `$1`, `$2` and so on, or `?` for the next one. DataFusion knows only the former.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Result};
use crate::position::Position;

/// The most parameters of a statement.
const MAX: usize = 65_535;

/// Numbers each `?`, and checks the others.
pub(crate) fn numbered(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let (mut unnumbered, mut has_numbers) = (0, false);
    for token in &mut tokens {
        let Token::Placeholder(text) = &token.token else { continue };
        let number = if text == "?" {
            unnumbered += 1;
            Some(unnumbered)
        } else {
            has_numbers = true;
            text.strip_prefix('$').and_then(|number| number.parse().ok())
        };
        let wrong = |what: String| Err(Error::invalid(format!("SQL: {what}")).at(Position::of(token.span.start)));
        match number {
            _ if has_numbers && unnumbered > 0 => {
                return wrong("parameters are either all `?` or all numbered, as in `$1`".to_string());
            }
            Some(number @ 1..=MAX) => token.token = Token::Placeholder(format!("${number}")),
            Some(number @ 1..) => return wrong(format!("parameter {number} is beyond the last, which is {MAX}")),
            _ => return wrong(format!("`{text}` is no parameter: write `$1`, `$2` and so on, or `?`")),
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    #[test]
    fn question_marks_are_numbered() {
        let check = |sql: &str, expected: &str| {
            let Statement::Sql(sql) = parse(sql).unwrap() else { panic!("{sql}") };
            assert_eq!(sql.tree.to_string(), expected);
        };
        check("SELECT ?, ? FROM t WHERE a = ?", "SELECT $1, $2 FROM t WHERE a = $3");
        check("SELECT $2, $1, $2", "SELECT $2, $1, $2");
        check("SELECT '?', $$?$$, \"?\" FROM t -- ?", "SELECT '?', $$?$$, \"?\" FROM t");
        check("INSERT INTO t VALUES (?, ?)", "INSERT INTO t VALUES ($1, $2)");
    }

    #[test]
    fn other_parameters_are_refused() {
        let check = |sql: &str, expected: &str| assert_eq!(parse(sql).unwrap_err().to_string(), expected);
        let mixed = "SQL: parameters are either all `?` or all numbered, as in `$1`";
        check("SELECT ?, $1", &format!("{mixed} (line 1, column 11)"));
        check("SELECT $1,\n ?", &format!("{mixed} (line 2, column 2)"));
        for (text, column) in [("$0", 8), ("$name", 8), ("?7", 8)] {
            let what = format!("SQL: `{text}` is no parameter: write `$1`, `$2` and so on, or `?`");
            check(&format!("SELECT {text}"), &format!("{what} (line 1, column {column})"));
        }
        check("SELECT $70000", "SQL: parameter 70000 is beyond the last, which is 65535 (line 1, column 8)");
    }
}
