//! Splitting a script into statements.

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer, TokenizerError};

use crate::position::Lines;

/// Splits a script into its statements, without the semicolons. Comments alone are no statement. The flag says whether
/// the script is complete: its last statement ends with a semicolon, and no quote or comment is open.
pub fn split(script: &str) -> (Vec<String>, bool) {
    let mut tokens = Vec::new();
    let failed = Tokenizer::new(&GenericDialect {}, script).tokenize_with_location_into_buf(&mut tokens).err();
    let lines = Lines::of(script);
    let mut statements = Vec::new();
    let (mut start, mut is_empty) = (0, true);
    for token in &tokens {
        match token.token {
            Token::SemiColon => {
                if !is_empty {
                    statements.push(script[start..lines.offset(token.span.start)].trim().to_string());
                }
                (start, is_empty) = (lines.offset(token.span.end), true);
            }
            Token::Whitespace(_) => {}
            _ => is_empty = false,
        }
    }
    if is_empty && failed.is_none() {
        return (statements, true);
    }
    let last = script[start..].trim().to_string();
    let complete = failed.as_ref().is_some_and(|e| !is_open(e) && last.ends_with(';'));
    // A part that cannot be tokenized is one statement up to the end of the script; parsing it reports the error.
    let comment_only = is_empty && failed.as_ref().is_some_and(|e| e.message == OPEN_COMMENT);
    if !comment_only {
        statements.push(last);
    }
    (statements, complete)
}

const OPEN_COMMENT: &str = "Unexpected EOF while in a multi-line comment";

/// Whether more text could fix the error: a quote or comment is open. The tokenizer reports this only in its message.
fn is_open(e: &TokenizerError) -> bool {
    let begins = ["Unterminated", "Unexpected EOF", "Expected close delimiter", "Expected nested delimiter"];
    begins.iter().any(|words| e.message.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::split;

    fn check(text: &str, expected: &[&str], complete: bool) {
        assert_eq!(split(text), (expected.iter().map(ToString::to_string).collect(), complete), "{text}");
    }

    #[test]
    fn semicolons_in_quotes_and_comments_split_nothing() {
        check("select 1; select 2", &["select 1", "select 2"], false);
        check("select ';', \"a;b\" -- x; y\n, 2;", &["select ';', \"a;b\" -- x; y\n, 2"], true);
        check("select 'it''s;' /* ; */ ;;", &["select 'it''s;' /* ; */"], true);
        check("select '배송;", &["select '배송;"], false);
        check(" \n", &[], true);
        check("-- first\nselect 1; /* ; */; -- done", &["-- first\nselect 1"], true);
        check("select 1 -- done", &["select 1 -- done"], false);
    }

    #[test]
    fn quotes_and_comments_are_those_of_the_parser() {
        check("select $$a;b$$, $x$;$$;$x$; select 2;", &["select $$a;b$$, $x$;$$;$x$", "select 2"], true);
        check("select /* a /* ; */ ; */ 1; select 2;", &["select /* a /* ; */ ; */ 1", "select 2"], true);
        check(r"select E'it\';s', '\'; select 2;", &[r"select E'it\';s', '\'", "select 2"], true);
        check("select 1; select $$a;", &["select 1", "select $$a;"], false);
        check("select 1;\n/* ;", &["select 1"], false);
        check("select `a;b`;", &["select `a;b`"], true);
    }

    #[test]
    fn an_error_that_more_text_cannot_fix_is_complete() {
        let wrong = r"select U&'\zzzz'";
        check(&format!("select 1; {wrong};"), &["select 1", &format!("{wrong};")], true);
        check(wrong, &[wrong], false);
    }
}
