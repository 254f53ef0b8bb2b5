//! Reading a statement word by word, with errors that say what was expected and what stood there.

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::definition::{is_word, without_parentheses};
use crate::error::{Error, ErrorKind, Result};
use crate::evolve::ColumnPath;
use crate::names::folded;

static DIALECT: GenericDialect = GenericDialect {};

/// The words that are left of a statement.
pub(super) struct Words {
    parser: Parser<'static>,
}

impl Words {
    /// `tokens` without white space.
    pub(super) fn new(tokens: Vec<TokenWithSpan>) -> Self {
        Self { parser: Parser::new(&DIALECT).with_tokens_with_locations(tokens) }
    }

    /// Takes these words if they come next, all of them.
    pub(super) fn take(&mut self, words: &[&str]) -> bool {
        let there = words.iter().enumerate().all(|(n, word)| is_word(&self.parser.peek_nth_token(n), word));
        if there {
            words.iter().for_each(|_| drop(self.parser.next_token()));
        }
        there
    }

    /// Takes the next word if it is one of these.
    pub(super) fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(&[word]))
    }

    /// Takes the next word, which must be this one.
    pub(super) fn expect(&mut self, word: &str, clause: &str) -> Result<()> {
        match self.take(&[word]) {
            true => Ok(()),
            false => Err(self.unexpected(clause, &word.to_uppercase())),
        }
    }

    /// Whether a comma comes next, which is then taken.
    pub(super) fn comma(&mut self) -> bool {
        self.parser.consume_token(&Token::Comma)
    }

    /// Takes an opening or closing parenthesis if one comes next.
    pub(super) fn symbol(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Names with dots between, in lower case unless quoted.
    pub(super) fn names(&mut self, clause: &str) -> Result<Vec<String>> {
        let mut names = vec![self.name(clause)?];
        while self.parser.consume_token(&Token::Period) {
            names.push(self.name(clause)?);
        }
        Ok(names)
    }

    /// One name.
    pub(super) fn name(&mut self, clause: &str) -> Result<String> {
        if !matches!(self.parser.peek_token().token, Token::Word(_)) {
            return Err(self.unexpected(clause, "a name"));
        }
        Ok(folded(&self.parse(clause, Parser::parse_identifier)?))
    }

    /// A column, or one inside another.
    pub(super) fn column(&mut self, clause: &str) -> Result<ColumnPath> {
        self.names(clause).map(ColumnPath)
    }

    /// A table or view.
    pub(super) fn table(&mut self, clause: &str) -> Result<TableReference> {
        table(self.names(clause)?)
    }

    /// A quoted text.
    pub(super) fn text(&mut self, clause: &str) -> Result<String> {
        match self.parser.peek_token().token {
            Token::SingleQuotedString(text) => {
                self.parser.next_token();
                Ok(text)
            }
            _ => Err(self.unexpected(clause, "a quoted text")),
        }
    }

    /// What SQL's own parser reads here.
    pub(super) fn parse<T>(
        &mut self,
        clause: &str,
        item: impl FnOnce(&mut Parser<'static>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        item(&mut self.parser).map_err(|e| Error::new(ErrorKind::Invalid, format!("{clause}: {e}")))
    }

    /// All tokens that are left.
    pub(super) fn all(&mut self) -> Vec<TokenWithSpan> {
        let mut rest = Vec::new();
        while self.parser.peek_token().token != Token::EOF {
            rest.push(self.parser.next_token());
        }
        rest
    }

    /// All tokens that are left; parentheses around all of them are left out.
    pub(super) fn rest(&mut self) -> Vec<TokenWithSpan> {
        without_parentheses(self.all())
    }

    /// Takes the opening parenthesis that must come next.
    pub(super) fn open(&mut self, clause: &str) -> Result<()> {
        match self.symbol(&Token::LParen) {
            true => Ok(()),
            false => Err(self.unexpected(clause, "`(`")),
        }
    }

    /// Takes the closing parenthesis that must come next.
    pub(super) fn close(&mut self, clause: &str) -> Result<()> {
        match self.symbol(&Token::RParen) {
            true => Ok(()),
            false => Err(self.unexpected(clause, "`,` or `)`")),
        }
    }

    /// The token that comes next.
    pub(super) fn peek(&self) -> TokenWithSpan {
        self.parser.peek_token()
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<()> {
        match self.parser.peek_token() {
            t if t.token == Token::EOF => Ok(()),
            t => Err(Error::new(ErrorKind::Invalid, format!("SQL: unexpected `{t}`{}", t.span.start))),
        }
    }

    /// The error of a statement that goes on otherwise than it can.
    pub(super) fn unexpected(&self, clause: &str, wanted: &str) -> Error {
        let found = match self.parser.peek_token() {
            t if t.token == Token::EOF => "the statement ends".to_string(),
            t => format!("there is `{t}`{}", t.span.start),
        };
        Error::new(ErrorKind::Invalid, format!("{clause}: expected {wanted}, but {found}"))
    }
}

/// A table's name of one to three parts.
pub(super) fn table(names: Vec<String>) -> Result<TableReference> {
    match <[String; 3]>::try_from(names) {
        Ok([catalog, namespace, table]) => Ok(TableReference::full(catalog, namespace, table)),
        Err(names) => match names.as_slice() {
            [namespace, table] => Ok(TableReference::partial(namespace.as_str(), table.as_str())),
            [table] => Ok(TableReference::bare(table.as_str())),
            _ => {
                let what = format!("{} is not the name of a table: namespace.table is", names.join("."));
                Err(Error::new(ErrorKind::Invalid, what))
            }
        },
    }
}
