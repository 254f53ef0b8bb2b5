//! The kinds of words in a text, for those who show it.

use std::ops::Range;

use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use crate::position::Lines;

/// What a part of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// A word of the language, such as `SELECT`.
    Keyword,
    /// A text in quotes.
    Text,
    /// A number.
    Number,
    /// A comment.
    Comment,
}

/// The parts of `text` that are of a [`Syntax`], in order, as ranges of bytes. Text from the first mistake on, such as
/// an open quote, has none.
pub fn syntax(text: &str) -> Vec<(Range<usize>, Syntax)> {
    let mut tokens = Vec::new();
    // What precedes a mistake is in the buffer.
    let _mistake = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut tokens);
    let lines = Lines::of(text);
    let parts = tokens.iter().filter_map(|token| {
        let kind = match &token.token {
            Token::Word(word) if word.quote_style.is_none() && word.keyword != Keyword::NoKeyword => Syntax::Keyword,
            Token::Number(..) => Syntax::Number,
            Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
                Syntax::Comment
            }
            Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_) => Syntax::Text,
            _ => return None,
        };
        Some((lines.offset(token.span.start)..lines.offset(token.span.end), kind))
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_texts_numbers_and_comments_are_found() {
        let text = "SELECT a, '커피' FROM \"select\" -- why\nWHERE n > 1.5 /* 2 */ and x = 'open";
        let found: Vec<_> = syntax(text).into_iter().map(|(range, kind)| (text[range].trim(), kind)).collect();
        let expected = [
            ("SELECT", Syntax::Keyword),
            ("'커피'", Syntax::Text),
            ("FROM", Syntax::Keyword),
            ("-- why", Syntax::Comment),
            ("WHERE", Syntax::Keyword),
            ("1.5", Syntax::Number),
            ("/* 2 */", Syntax::Comment),
            ("and", Syntax::Keyword),
        ];
        assert_eq!(found, expected);
    }
}
