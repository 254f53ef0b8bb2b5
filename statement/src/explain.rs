//! `EXPLAIN` with the options of DataFusion.
//!
//! ```sql
//! EXPLAIN {[ANALYZE] [VERBOSE] [FORMAT format] | (option [value], ...)} statement
//! ```

use sqlparser::ast::UtilityOption;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::error::Result;
use crate::parse::{Sql, sql};
use crate::token_reader::TokenReader;

/// `EXPLAIN` of a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// Its options.
    pub options: ExplainOptions,
    /// The statement to explain.
    pub statement: Box<Sql>,
}

/// The options of an `EXPLAIN`.
#[derive(Debug, Clone, PartialEq)]
pub enum ExplainOptions {
    /// `[ANALYZE] [VERBOSE] [FORMAT format]`.
    Words {
        /// Whether the statement is run.
        analyze: bool,
        /// Whether all plans are shown.
        verbose: bool,
        /// The format, such as `tree`.
        format: Option<String>,
    },
    /// `(ANALYZE, FORMAT tree, ...)`.
    List(Vec<UtilityOption>),
}

/// Parses a whole statement, with its versions marked; `None` if it is of another kind.
pub(crate) fn parse(reader: &mut TokenReader) -> Result<Option<Explain>> {
    if !reader.take(&["explain"]) {
        return Ok(None);
    }
    let options = match reader.peek().token {
        Token::LParen if !begins_query(&reader.peek_nth(1).token) => {
            ExplainOptions::List(reader.parse("EXPLAIN", Parser::parse_utility_options)?)
        }
        _ => {
            let (analyze, verbose) = (reader.take(&["analyze"]), reader.take(&["verbose"]));
            let format = if reader.take(&["format"]) { Some(format(reader)?) } else { None };
            ExplainOptions::Words { analyze, verbose, format }
        }
    };
    Ok(Some(Explain { options, statement: Box::new(sql(reader)?) }))
}

fn format(reader: &mut TokenReader) -> Result<String> {
    let format = match &reader.peek().token {
        Token::Word(word) => word.value.clone(),
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => text.clone(),
        _ => return Err(reader.unexpected("EXPLAIN", "a format such as TREE")),
    };
    reader.next();
    Ok(format)
}

/// Whether the token after `(` starts a query rather than a list of options.
fn begins_query(token: &Token) -> bool {
    use Keyword::{DELETE, INSERT, MERGE, SELECT, TABLE, UPDATE, VALUES, WITH};
    match token {
        Token::LParen => true,
        Token::Word(w) => [SELECT, WITH, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE].contains(&w.keyword),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Statement, parse};

    #[test]
    fn options_and_statement_are_distinguished() {
        let check = |sql: &str, options: Option<ExplainOptions>, statement: &str| {
            let Ok(Statement::Explain(explain)) = parse(sql) else { panic!("{sql}") };
            assert_eq!(explain.statement.tree.to_string(), statement, "{sql}");
            match (options, explain.options) {
                (Some(expected), options) => assert_eq!(options, expected, "{sql}"),
                (None, ExplainOptions::List(options)) => assert_eq!(options.len(), 2, "{sql}"),
                (None, other) => panic!("{sql}: {other:?}"),
            }
        };
        let words = |analyze, verbose, format: Option<&str>| {
            Some(ExplainOptions::Words { analyze, verbose, format: format.map(ToString::to_string) })
        };
        check("EXPLAIN SELECT 1", words(false, false, None), "SELECT 1");
        check("explain analyze verbose select 1;", words(true, true, None), "SELECT 1");
        check("EXPLAIN FORMAT tree SELECT 1", words(false, false, Some("tree")), "SELECT 1");
        check("EXPLAIN (SELECT 1)", words(false, false, None), "(SELECT 1)");
        check("EXPLAIN (ANALYZE, FORMAT tree) SELECT 1", None, "SELECT 1");
        check("EXPLAIN DELETE FROM t.a.branch_b", words(false, false, None), "DELETE FROM t.a");
    }
}
