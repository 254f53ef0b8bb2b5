//! Reads a statement token by token; errors name the expected and the actual token and its position.

use sqlparser::ast::ObjectName;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::{Error, Result};
use crate::names::{TableName, folded};
use crate::position::Position;

/// The dialect of all statements, which is DataFusion's default.
pub(crate) static DIALECT: GenericDialect = GenericDialect {};

/// The tokens of a statement and the position of the reader in them.
pub(crate) struct TokenReader {
    parser: Parser<'static>,
    /// The end of the last token.
    end: Option<Position>,
}

impl TokenReader {
    /// Tokenizes a text.
    pub(crate) fn new(sql: &str) -> Result<Self> {
        let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location();
        let mut tokens =
            tokens.map_err(|e| Error::invalid(format!("SQL: {}", e.message)).at(Position::of(e.location)))?;
        tokens.retain(|t| !matches!(t.token, Token::Whitespace(_)));
        Ok(Self::of(tokens))
    }

    /// A reader of tokens, which must not contain white space.
    pub(crate) fn of(tokens: Vec<TokenWithSpan>) -> Self {
        let end = tokens.last().and_then(|t| Position::of(t.span.end));
        Self { parser: Parser::new(&DIALECT).with_tokens_with_locations(tokens), end }
    }

    /// Whether the next tokens are these words.
    pub(crate) fn is_next(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| is_word(self.parser.peek_nth_token_ref(n), word))
    }

    /// Takes these words if the next tokens are all of them.
    pub(crate) fn take(&mut self, words: &[&str]) -> bool {
        let there = self.is_next(words);
        if there {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        there
    }

    /// Takes the next word if it is one of these.
    pub(crate) fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(&[word]))
    }

    /// Takes the next word, which must be this one.
    pub(crate) fn expect(&mut self, word: &str, clause: &str) -> Result<()> {
        match self.take(&[word]) {
            true => Ok(()),
            false => Err(self.unexpected(clause, &word.to_uppercase())),
        }
    }

    /// Takes a comma if one comes next.
    pub(crate) fn comma(&mut self) -> bool {
        self.symbol(&Token::Comma)
    }

    /// Takes this token if it comes next.
    pub(crate) fn symbol(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Takes names separated by dots, in lower case unless quoted.
    pub(crate) fn names(&mut self, clause: &str) -> Result<Vec<String>> {
        let mut names = vec![self.name(clause)?];
        while self.symbol(&Token::Period) {
            names.push(self.name(clause)?);
        }
        Ok(names)
    }

    /// Takes one name.
    pub(crate) fn name(&mut self, clause: &str) -> Result<String> {
        if !matches!(self.peek().token, Token::Word(_)) {
            return Err(self.unexpected(clause, "a name"));
        }
        Ok(folded(&self.parse(clause, Parser::parse_identifier)?))
    }

    /// Takes the name of a table or view.
    pub(crate) fn table(&mut self, clause: &str) -> Result<TableName> {
        let here = self.position();
        TableName::of_parts(self.names(clause)?).map_err(|e| e.at(here))
    }

    /// Takes a quoted string.
    pub(crate) fn text(&mut self, clause: &str) -> Result<String> {
        match self.quoted() {
            Some(text) => Ok(text),
            None => Err(self.unexpected(clause, "a quoted string")),
        }
    }

    /// Takes a quoted string if one comes next.
    pub(crate) fn quoted(&mut self) -> Option<String> {
        let Token::SingleQuotedString(text) = &self.peek().token else { return None };
        let text = text.clone();
        self.parser.advance_token();
        Some(text)
    }

    /// Takes what a function of sqlparser parses here.
    pub(crate) fn parse<T>(
        &mut self,
        clause: &str,
        item: impl FnOnce(&mut Parser<'static>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        item(&mut self.parser).map_err(|e| Error::of_parser(e, clause, self.position()))
    }

    /// Takes items in parentheses, separated by commas.
    pub(crate) fn list<T>(&mut self, clause: &str, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        if !self.symbol(&Token::LParen) {
            return Err(self.unexpected(clause, "`(`"));
        }
        let items = self.items(item)?;
        match self.symbol(&Token::RParen) {
            true => Ok(items),
            false => Err(self.unexpected(clause, "`,` or `)`")),
        }
    }

    /// Takes items separated by commas, with or without parentheses around them.
    pub(crate) fn bare_list<T>(&mut self, clause: &str, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        match self.peek().token {
            Token::LParen => self.list(clause, item),
            _ => self.items(item),
        }
    }

    fn items<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.comma() {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// The next token.
    pub(crate) fn peek(&self) -> &TokenWithSpan {
        self.parser.peek_token_ref()
    }

    /// The `n`th next token, from 0.
    pub(crate) fn peek_nth(&self, n: usize) -> &TokenWithSpan {
        self.parser.peek_nth_token_ref(n)
    }

    /// Takes the next token; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<TokenWithSpan> {
        let token = self.parser.next_token();
        (token.token != Token::EOF).then_some(token)
    }

    /// Takes all remaining tokens.
    pub(crate) fn rest(&mut self) -> Vec<TokenWithSpan> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Takes the remaining tokens of the statement, up to a semicolon.
    pub(crate) fn rest_of_statement(&mut self) -> Vec<TokenWithSpan> {
        std::iter::from_fn(|| if self.peek().token == Token::SemiColon { None } else { self.next() }).collect()
    }

    /// The number of tokens taken.
    pub(crate) fn index(&self) -> usize {
        self.parser.index()
    }

    /// The tokens taken after the first `index`.
    pub(crate) fn taken_since(&self, index: usize) -> impl Iterator<Item = TokenWithSpan> {
        (index..self.parser.index()).map(|at| self.parser.token_at(at).clone()).filter(|t| t.token != Token::EOF)
    }

    /// Returns to the state in which `index` tokens were taken.
    pub(crate) fn back_to(&mut self, index: usize) {
        while self.parser.index() > index {
            self.parser.prev_token();
        }
    }

    /// Checks that only semicolons remain.
    pub(crate) fn end(&mut self) -> Result<()> {
        let mut has_ended = false;
        while self.symbol(&Token::SemiColon) {
            has_ended = true;
        }
        match &self.peek().token {
            Token::EOF => Ok(()),
            _ if has_ended => Err(Error::invalid("SQL: only one statement at a time is allowed").at(self.position())),
            token => Err(Error::invalid(format!("SQL: unexpected `{token}` after the statement")).at(self.position())),
        }
    }

    /// The position of the next token, or of the end of the statement.
    pub(crate) fn position(&self) -> Option<Position> {
        Position::of(self.peek().span.start).or(self.end)
    }

    /// The error for a next token other than the expected one.
    pub(crate) fn unexpected(&self, clause: &str, wanted: &str) -> Error {
        let found = match &self.peek().token {
            Token::EOF => "the statement ends".to_string(),
            token => format!("there is `{token}`"),
        };
        Error::invalid(format!("{clause}: expected {wanted}, but {found}")).at(self.position())
    }
}

/// Whether a token is this word, without quotes and in either case.
pub(crate) fn is_word(token: &TokenWithSpan, text: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(text))
}

/// Parses a table name given as text: `ns.t`, or with SQL's quotes `"ns"."t"`.
pub(crate) fn table_name_in(text: &str) -> Result<ObjectName> {
    let wrong = || Error::invalid(format!("'{text}' is not a table name: expected 'namespace.table'"));
    let mut reader = TokenReader::new(text).map_err(|_| wrong())?;
    let name = reader.parse("name", |p| p.parse_object_name(false)).map_err(|_| wrong())?;
    let is_plain = name.0.iter().all(|part| part.as_ident().is_some());
    if reader.peek().token == Token::EOF && is_plain { Ok(name) } else { Err(wrong()) }
}
