//! Reading a statement token by token, with errors that say what was expected, what is there instead, and where.

use sqlparser::ast::ObjectName;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::{Error, Result};
use crate::names::{TableName, folded};
use crate::position::Position;

/// The dialect of all statements, which is DataFusion's default.
pub(crate) static DIALECT: GenericDialect = GenericDialect {};

/// The tokens of a statement, and which of them have been read.
pub(crate) struct TokenReader {
    parser: Parser<'static>,
    /// Where the last token ends.
    end: Option<Position>,
}

impl TokenReader {
    /// The tokens of a text.
    pub(crate) fn new(sql: &str) -> Result<Self> {
        let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location();
        let mut tokens =
            tokens.map_err(|e| Error::invalid(format!("SQL: {}", e.message)).at(Position::of(e.location)))?;
        tokens.retain(|t| !matches!(t.token, Token::Whitespace(_)));
        Ok(Self::of(tokens))
    }

    /// Tokens without white space among them.
    pub(crate) fn of(tokens: Vec<TokenWithSpan>) -> Self {
        let end = tokens.last().and_then(|t| Position::of(t.span.end));
        Self { parser: Parser::new(&DIALECT).with_tokens_with_locations(tokens), end }
    }

    /// Whether these words come next.
    pub(crate) fn is_next(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| is_word(self.parser.peek_nth_token_ref(n), word))
    }

    /// Takes these words if they come next, all of them.
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

    /// Names with dots between, in lower case unless quoted.
    pub(crate) fn names(&mut self, clause: &str) -> Result<Vec<String>> {
        let mut names = vec![self.name(clause)?];
        while self.symbol(&Token::Period) {
            names.push(self.name(clause)?);
        }
        Ok(names)
    }

    /// One name.
    pub(crate) fn name(&mut self, clause: &str) -> Result<String> {
        if !matches!(self.peek().token, Token::Word(_)) {
            return Err(self.unexpected(clause, "a name"));
        }
        Ok(folded(&self.parse(clause, Parser::parse_identifier)?))
    }

    /// A table or view.
    pub(crate) fn table(&mut self, clause: &str) -> Result<TableName> {
        let here = self.position();
        TableName::of_parts(self.names(clause)?).map_err(|e| e.at(here))
    }

    /// A quoted text.
    pub(crate) fn text(&mut self, clause: &str) -> Result<String> {
        match self.quoted() {
            Some(text) => Ok(text),
            None => Err(self.unexpected(clause, "a quoted text")),
        }
    }

    /// Takes a quoted text if one comes next.
    pub(crate) fn quoted(&mut self) -> Option<String> {
        let Token::SingleQuotedString(text) = &self.peek().token else { return None };
        let text = text.clone();
        self.parser.advance_token();
        Some(text)
    }

    /// What SQL's own parser reads here.
    pub(crate) fn parse<T>(
        &mut self,
        clause: &str,
        item: impl FnOnce(&mut Parser<'static>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        item(&mut self.parser).map_err(|e| Error::of_parser(e, clause, self.position()))
    }

    /// Items in parentheses, with commas between.
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

    /// Items with commas between, and parentheses around them or not.
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

    /// The token that comes next.
    pub(crate) fn peek(&self) -> &TokenWithSpan {
        self.parser.peek_token_ref()
    }

    /// The `n`th token that comes next, from 0.
    pub(crate) fn peek_nth(&self, n: usize) -> &TokenWithSpan {
        self.parser.peek_nth_token_ref(n)
    }

    /// Takes the next token; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<TokenWithSpan> {
        let token = self.parser.next_token();
        (token.token != Token::EOF).then_some(token)
    }

    /// Takes all tokens that are left.
    pub(crate) fn rest(&mut self) -> Vec<TokenWithSpan> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Takes the tokens that are left of the statement, up to a semicolon.
    pub(crate) fn rest_of_statement(&mut self) -> Vec<TokenWithSpan> {
        std::iter::from_fn(|| if self.peek().token == Token::SemiColon { None } else { self.next() }).collect()
    }

    /// How many tokens have been taken.
    pub(crate) fn index(&self) -> usize {
        self.parser.index()
    }

    /// The tokens that were taken since there were `index` of them.
    pub(crate) fn taken_since(&self, index: usize) -> impl Iterator<Item = TokenWithSpan> {
        (index..self.parser.index()).map(|at| self.parser.token_at(at).clone()).filter(|t| t.token != Token::EOF)
    }

    /// Gives back all tokens but the first `index`.
    pub(crate) fn back_to(&mut self, index: usize) {
        while self.parser.index() > index {
            self.parser.prev_token();
        }
    }

    /// Nothing may be left but semicolons.
    pub(crate) fn end(&mut self) -> Result<()> {
        let mut has_ended = false;
        while self.symbol(&Token::SemiColon) {
            has_ended = true;
        }
        match &self.peek().token {
            Token::EOF => Ok(()),
            _ if has_ended => Err(Error::invalid("SQL: one statement at a time, please").at(self.position())),
            token => Err(Error::invalid(format!("SQL: unexpected `{token}` after the statement")).at(self.position())),
        }
    }

    /// Where the next token is, or the statement ends.
    pub(crate) fn position(&self) -> Option<Position> {
        Position::of(self.peek().span.start).or(self.end)
    }

    /// The error of a statement that goes on otherwise than it can.
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

/// A table's name that is given as text: `ns.t`, where `"ns"."t"` has quotes as everywhere in SQL.
pub(crate) fn table_name_in(text: &str) -> Result<ObjectName> {
    let wrong = || Error::invalid(format!("'{text}' is no table name; write 'namespace.table'"));
    let mut reader = TokenReader::new(text).map_err(|_| wrong())?;
    let name = reader.parse("name", |p| p.parse_object_name(false)).map_err(|_| wrong())?;
    let is_plain = name.0.iter().all(|part| part.as_ident().is_some());
    if reader.peek().token == Token::EOF && is_plain { Ok(name) } else { Err(wrong()) }
}
