//! What `CREATE TABLE` says about an Iceberg table beyond its columns.
//!
//! ```sql
//! CREATE [OR REPLACE] TABLE [IF NOT EXISTS] ns.t (col type [NOT NULL] [COMMENT 'text'], ...)
//!   [PARTITIONED BY (column | year(c) | month(c) | day(c) | hour(c) | bucket(n, c) | truncate(w, c), ...)]
//!   [{SORTED BY (term, ...) | WRITE ORDERED BY term, ...}]    -- term: partition term [ASC | DESC] [NULLS FIRST | LAST]
//!   [COMMENT 'text'] [LOCATION 'uri'] [TBLPROPERTIES ('key' = 'value', ...)]
//!   [AS SELECT ...]
//! ```
//! The transforms are those of the Iceberg specification ("Partition Transforms"), spelled as Spark spells them. No SQL
//! parser at hand reads these clauses, so they are cut out of the tokens and the rest goes to DataFusion's parser.

use std::collections::HashMap;

use datafusion::sql::parser::{DFParserBuilder, Statement as ParsedStatement};
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, OrderByExpr,
    Statement as SqlStatement, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use iceberg::spec::{
    NestedField, NullOrder, Schema, SortDirection, SortField, SortOrder, Transform, UnboundPartitionSpec,
};

use crate::bridge;
use crate::error::{Error, ErrorKind, Result};
use crate::evolve::{COMMENT, Term, find_source};
use crate::names::{avro_name, folded};
use crate::table::NewTable;
use crate::time_travel::{mark_versions, settle_versions};

/// The clauses of a `CREATE TABLE` that DataFusion does not know.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableClauses {
    partitioned_by: Vec<Term>,
    sorted_by: Vec<SortTerm>,
    /// Comments of columns, by name.
    docs: HashMap<String, String>,
    /// The table's comment.
    comment: Option<String>,
    /// Where the table's files, or those of the namespace's tables, go, when the statement says it.
    pub location: Option<String>,
    /// Table properties.
    pub properties: HashMap<String, String>,
}

/// A term of a sort order.
#[derive(Debug, Clone, PartialEq)]
pub struct SortTerm {
    /// What is compared.
    pub term: Term,
    /// Which way.
    pub direction: SortDirection,
    /// Where nulls go.
    pub nulls: NullOrder,
}

/// One statement, parsed.
#[derive(Debug)]
pub struct Parsed {
    /// The statement as DataFusion parses it.
    pub statement: ParsedStatement,
    /// For `CREATE TABLE`, what else it says; for `CREATE SCHEMA`, its location.
    pub clauses: TableClauses,
    /// For statements that write: the branch that they name, as in `INSERT INTO ns.t.branch_b`.
    pub branch: Option<String>,
}

/// Parses text that holds exactly one statement.
pub fn parse(sql: &str) -> Result<Parsed> {
    let invalid = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Invalid, format!("SQL: {e}"));
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|e| invalid(&e))?;
    let tokens: Vec<_> = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let tokens = mark_versions(tokens)?;
    if is_create_table(&tokens) || is_create_namespace(&tokens) {
        let (tokens, mut clauses) = cut(tokens)?;
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
        let statement = parser.parse_statement().map_err(|e| invalid(&e))?;
        while parser.consume_token(&Token::SemiColon) {}
        let rest = parser.peek_token();
        if rest.token != Token::EOF {
            return Err(invalid(&format!("unexpected `{rest}` after the statement{}", rest.span.start)));
        }
        if let SqlStatement::CreateTable(create) = &statement {
            clauses.docs = docs(&create.columns)?;
        }
        let mut statement = ParsedStatement::Statement(Box::new(statement));
        let branch = settle_versions(&mut statement)?;
        return Ok(Parsed { statement, clauses, branch });
    }
    let parser = DFParserBuilder::new(tokens).with_dialect(&dialect).build();
    let statements = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements = statements.map_err(|e| invalid(&e.strip_backtrace()))?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(mut statement), true) => {
            let branch = settle_versions(&mut statement)?;
            Ok(Parsed { statement, clauses: TableClauses::default(), branch })
        }
        (None, _) => Err(invalid(&"there is no statement")),
        _ => Err(invalid(&"one statement at a time, please")),
    }
}

fn is_create_table(tokens: &[TokenWithSpan]) -> bool {
    let word = |i: usize| tokens.get(i).and_then(keyword);
    word(0) == Some(Keyword::CREATE)
        && (word(1) == Some(Keyword::TABLE) || (word(2) == Some(Keyword::REPLACE) && word(3) == Some(Keyword::TABLE)))
}

/// Comments of columns, which DataFusion does not pass on.
fn docs(columns: &[ColumnDef]) -> Result<HashMap<String, String>> {
    let mut docs = HashMap::new();
    for column in columns {
        let name = folded(&column.name);
        for option in &column.options {
            match &option.option {
                ColumnOption::Comment(text) => drop(docs.insert(name.clone(), text.clone())),
                ColumnOption::Default(_) => return Err(no_default(&name)),
                _ => {}
            }
        }
    }
    Ok(docs)
}

pub(crate) fn no_default(column: &str) -> Error {
    let what = format!("column {column}: DEFAULT needs format version 3 of Iceberg, and tables are made in version 2");
    Error::new(ErrorKind::Unsupported, what)
}

/// `CREATE SCHEMA`, which may have a `LOCATION`.
fn is_create_namespace(tokens: &[TokenWithSpan]) -> bool {
    let word = |i: usize| tokens.get(i).and_then(keyword);
    word(0) == Some(Keyword::CREATE) && word(1) == Some(Keyword::SCHEMA)
}

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(w) if w.quote_style.is_none() => Some(w.keyword),
        _ => None,
    }
}

pub(crate) fn is_word(token: &TokenWithSpan, text: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(text))
}

/// How many tokens come before the clauses, with the name, which may be that of a clause:
/// `CREATE [OR REPLACE] {TABLE | SCHEMA} [IF NOT EXISTS] a.b`.
fn before_clauses(tokens: &[TokenWithSpan]) -> usize {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|t| is_word(t, word));
    let or_replace = if is(1, "or") { 2 } else { 0 };
    let mut at = or_replace + 2;
    if is(at, "if") && is(at + 1, "not") && is(at + 2, "exists") {
        at += 3;
    }
    at += 1;
    while tokens.get(at).is_some_and(|t| t.token == Token::Period) {
        at += 2;
    }
    at.min(tokens.len())
}

/// Takes our clauses out of the tokens between the name and `AS`.
fn cut(mut tokens: Vec<TokenWithSpan>) -> Result<(Vec<TokenWithSpan>, TableClauses)> {
    let after_name = tokens.split_off(before_clauses(&tokens));
    let (mut rest, tokens) = (tokens, after_name);
    let mut clauses = TableClauses::default();
    let mut depth = 0usize;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 0 {
            rest.push(token);
            continue;
        }
        if keyword(&token) == Some(Keyword::AS) {
            rest.push(token);
            rest.extend(tokens);
            break;
        }
        let by = tokens.peek().is_some_and(|t| keyword(t) == Some(Keyword::BY));
        if by && (is_word(&token, "partitioned") || is_word(&token, "sorted")) {
            tokens.next();
            let inner = parenthesis(&mut tokens, &token)?;
            if is_word(&token, "partitioned") {
                clauses.partitioned_by = partition_fields(inner)?;
            } else {
                clauses.sorted_by = sort_terms("SORTED BY", inner)?;
            }
        } else if is_word(&token, "write") && tokens.peek().is_some_and(|t| is_word(t, "ordered")) {
            tokens.next();
            if !tokens.next().is_some_and(|t| is_word(&t, "by")) {
                return Err(bad("WRITE ORDERED lacks its BY"));
            }
            clauses.sorted_by = sort_terms("WRITE ORDERED BY", until_clause(&mut tokens))?;
        } else if is_word(&token, "comment") {
            if tokens.peek().is_some_and(|t| t.token == Token::Eq) {
                tokens.next();
            }
            match tokens.next().map(|t| t.token) {
                Some(Token::SingleQuotedString(text)) => clauses.comment = Some(text),
                _ => return Err(bad("COMMENT takes a quoted text")),
            }
        } else if is_word(&token, "tblproperties") {
            clauses.properties = properties(parenthesis(&mut tokens, &token)?)?;
        } else if is_word(&token, "location") {
            match tokens.next().map(|t| t.token) {
                Some(Token::SingleQuotedString(uri)) => clauses.location = Some(uri),
                _ => return Err(Error::new(ErrorKind::Invalid, "LOCATION takes a quoted URI")),
            }
        } else if is_word(&token, "using") {
            // Spark's way to name the table format; every table is an Iceberg table here.
            if !tokens.next().is_some_and(|t| is_word(&t, "iceberg")) {
                return Err(Error::new(ErrorKind::Invalid, "USING knows only iceberg"));
            }
        } else {
            rest.push(token);
        }
    }
    Ok((rest, clauses))
}

/// The tokens up to the next clause of a `CREATE TABLE`; parentheses around all of them are left out.
fn until_clause(tokens: &mut std::iter::Peekable<impl Iterator<Item = TokenWithSpan>>) -> Vec<TokenWithSpan> {
    const CLAUSES: [&str; 9] =
        ["as", "partitioned", "sorted", "write", "comment", "location", "tblproperties", "using", "options"];
    let mut depth = 0usize;
    let mut inner = Vec::new();
    loop {
        // Where a term begins, such a word is a column's name.
        let begins = inner.last().is_none_or(|t: &TokenWithSpan| matches!(t.token, Token::Comma | Token::Period));
        let goes_on = |t: &TokenWithSpan| {
            let ends = !begins && CLAUSES.iter().any(|clause| is_word(t, clause));
            depth > 0 || !(ends || t.token == Token::SemiColon)
        };
        let Some(token) = tokens.next_if(goes_on) else { break };
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        inner.push(token);
    }
    without_parentheses(inner)
}

/// `(a, b)` as `a, b`; `(a), (b)` stays.
pub(crate) fn without_parentheses(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut depth = 0usize;
    let closes = tokens.iter().position(|t| {
        match t.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let whole = tokens.first().is_some_and(|t| t.token == Token::LParen) && closes == Some(tokens.len() - 1);
    if whole {
        tokens.pop();
        tokens.remove(0);
    }
    tokens
}

/// The tokens between the next parentheses, which must follow at once.
fn parenthesis(tokens: &mut impl Iterator<Item = TokenWithSpan>, after: &TokenWithSpan) -> Result<Vec<TokenWithSpan>> {
    let missing = |what: &str| Error::new(ErrorKind::Invalid, format!("{} lacks its {what}", after.token));
    if tokens.next().map(|t| t.token) != Some(Token::LParen) {
        return Err(missing("opening parenthesis"));
    }
    let mut depth = 1;
    let mut inner = Vec::new();
    for token in tokens {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(inner);
        }
        inner.push(token);
    }
    Err(missing("closing parenthesis"))
}

static DIALECT: GenericDialect = GenericDialect {};

/// The comma-separated items of a clause: all of its tokens, or an error.
fn items<T>(
    clause: &str,
    tokens: Vec<TokenWithSpan>,
    item: fn(&mut Parser<'static>) -> std::result::Result<T, ParserError>,
) -> Result<Vec<T>> {
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
    let items = parser.parse_comma_separated(item).map_err(|e| bad(format!("{clause}: {e}")))?;
    match parser.peek_token().token {
        Token::EOF => Ok(items),
        rest => Err(bad(format!("{clause}: unexpected `{rest}`"))),
    }
}

pub(crate) fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, what.to_string())
}

fn partition_fields(tokens: Vec<TokenWithSpan>) -> Result<Vec<Term>> {
    let fields = items("PARTITIONED BY", tokens, Parser::parse_expr)?;
    fields.iter().map(|field| term("PARTITIONED BY", field)).collect()
}

/// A column, or one of the transforms of the Iceberg specification over a column.
pub(crate) fn term(clause: &str, expr: &Expr) -> Result<Term> {
    if let Some(column) = column_name(expr) {
        return Ok(Term { column, transform: Transform::Identity });
    }
    let unknown = || {
        bad(format!(
            "{clause} {expr}: use a column, year(c), month(c), day(c), hour(c), bucket(n, c) or truncate(width, c)"
        ))
    };
    let Expr::Function(call) = expr else { return Err(unknown()) };
    let FunctionArguments::List(list) = &call.args else { return Err(unknown()) };
    let args: Vec<&Expr> = list
        .args
        .iter()
        .filter_map(|a| match a {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
            _ => None,
        })
        .collect();
    let name = call.name.to_string().to_ascii_lowercase();
    let transform = match (name.as_str(), args.as_slice()) {
        ("year" | "years", [_]) => Transform::Year,
        ("month" | "months", [_]) => Transform::Month,
        ("day" | "days" | "date", [_]) => Transform::Day,
        ("hour" | "hours" | "date_hour", [_]) => Transform::Hour,
        ("bucket", [n, _]) => Transform::Bucket(number(n).ok_or_else(unknown)?),
        ("truncate", [n, _]) => Transform::Truncate(number(n).ok_or_else(unknown)?),
        _ => return Err(unknown()),
    };
    let column = args.last().and_then(|e| column_name(e)).ok_or_else(unknown)?;
    Ok(Term { column, transform })
}

fn number(expr: &Expr) -> Option<u32> {
    match expr {
        Expr::Value(v) => match &v.value {
            Value::Number(n, _) => n.parse().ok().filter(|n| *n > 0),
            _ => None,
        },
        _ => None,
    }
}

/// A column's name, in lower case unless it was quoted, as everywhere in SQL here; a field of a struct has dots between its
/// names.
fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(names) => Some(names.iter().map(folded).collect::<Vec<_>>().join(".")),
        _ => None,
    }
}

pub(crate) fn sort_terms(clause: &str, tokens: Vec<TokenWithSpan>) -> Result<Vec<SortTerm>> {
    let fields = items(clause, tokens, Parser::parse_order_by_expr)?;
    let sort_term = |field: &OrderByExpr| {
        let term = term(clause, &field.expr)?;
        let ascending = field.options.asc.unwrap_or(true);
        // DataFusion's and Postgres' rule: nulls are larger than everything.
        let nulls_first = field.options.nulls_first.unwrap_or(!ascending);
        let direction = if ascending { SortDirection::Ascending } else { SortDirection::Descending };
        let nulls = if nulls_first { NullOrder::First } else { NullOrder::Last };
        Ok(SortTerm { term, direction, nulls })
    };
    fields.iter().map(sort_term).collect()
}

pub(crate) fn properties(tokens: Vec<TokenWithSpan>) -> Result<HashMap<String, String>> {
    let pair = |p: &mut Parser<'static>| {
        let key = p.parse_literal_string()?;
        p.expect_token(&Token::Eq)?;
        Ok((key, p.parse_literal_string()?))
    };
    Ok(items("TBLPROPERTIES", tokens, pair)?.into_iter().collect())
}

/// The sort order of these terms over the columns of `schema`; `clause` names it in errors.
pub(crate) fn sort_order(terms: &[SortTerm], schema: &Schema, clause: &str) -> Result<SortOrder> {
    if terms.is_empty() {
        return Ok(SortOrder::unsorted_order());
    }
    let mut order = SortOrder::builder();
    for SortTerm { term, direction, nulls } in terms {
        let source_id = find_source(schema, &term.column, clause)?.id;
        let (transform, direction, null_order) = (term.transform, *direction, *nulls);
        order.with_sort_field(SortField { source_id, transform, direction, null_order });
    }
    let built = order.with_order_id(1).build(schema);
    built.map_err(|e| Error::new(ErrorKind::Invalid, clause).with_source(e))
}

impl TableClauses {
    /// The location, where no other clause has a place.
    pub fn only_location(self) -> Result<Option<String>> {
        let rest = Self { location: None, ..self.clone() };
        match rest == Self::default() {
            true => Ok(self.location),
            false => Err(bad("CREATE SCHEMA takes LOCATION 'uri' and no other clause")),
        }
    }

    /// The table that these clauses and these columns define.
    pub fn new_table(&self, columns: &arrow::datatypes::Schema) -> Result<NewTable> {
        let schema = self.with_docs(bridge::iceberg_schema(columns)?)?;
        let mut properties = self.properties.clone();
        properties.extend(self.comment.clone().map(|text| (COMMENT.to_string(), text)));
        Ok(NewTable {
            partition_spec: self.partition_spec(&schema)?,
            sort_order: self.sort_order(&schema)?,
            properties,
            location: self.location.clone(),
            schema,
        })
    }

    fn with_docs(&self, schema: Schema) -> Result<Schema> {
        let fields = schema.as_struct().fields().iter().map(|field| match self.docs.get(&field.name) {
            Some(text) => NestedField::clone(field).with_doc(text).into(),
            None => field.clone(),
        });
        Ok(Schema::builder().with_fields(fields).build()?)
    }

    /// The partition spec these clauses ask for, over the columns of `schema`.
    pub fn partition_spec(&self, schema: &Schema) -> Result<UnboundPartitionSpec> {
        let mut spec = UnboundPartitionSpec::builder();
        for Term { column, transform } in &self.partitioned_by {
            let id = find_source(schema, column, "PARTITIONED BY")?.id;
            let name = match transform {
                Transform::Identity => column.clone(),
                Transform::Bucket(_) => format!("{column}_bucket"),
                Transform::Truncate(_) => format!("{column}_trunc"),
                other => format!("{column}_{other}"),
            };
            spec = spec.add_partition_field(id, avro_name(&name), *transform)?;
        }
        Ok(spec.build())
    }

    /// The sort order these clauses ask for, over the columns of `schema`.
    pub fn sort_order(&self, schema: &Schema) -> Result<SortOrder> {
        sort_order(&self.sorted_by, schema, "SORTED BY")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clauses(sql: &str) -> TableClauses {
        parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}")).clauses
    }

    #[test]
    fn clauses_are_cut_out_wherever_they_stand() {
        let got = clauses(
            "CREATE TABLE IF NOT EXISTS raw.t (ts TIMESTAMP, id BIGINT, kind TEXT) USING iceberg \
             PARTITIONED BY (day(ts), kind, bucket(16, id)) SORTED BY (ts, id DESC) \
             LOCATION 'file:///x' TBLPROPERTIES ('a.b' = 'c') AS SELECT 1, 'sorted by (x)'",
        );
        let of = |column: &str, transform| Term { column: column.to_string(), transform };
        let expected = [of("ts", Transform::Day), of("kind", Transform::Identity), of("id", Transform::Bucket(16))];
        assert_eq!(got.partitioned_by, expected);
        let descending = |term| SortTerm { term, direction: SortDirection::Descending, nulls: NullOrder::First };
        assert_eq!(got.sorted_by[1], descending(of("id", Transform::Identity)));
        assert_eq!(got.location.as_deref(), Some("file:///x"));
        assert_eq!(got.properties.get("a.b").map(String::as_str), Some("c"));
        let ordered = clauses(
            "CREATE OR REPLACE TABLE t (a INT COMMENT 'first', write TEXT) COMMENT 'all' \
             WRITE ORDERED BY (bucket(4, a) DESC, s.x) PARTITIONED BY (s.y)",
        );
        assert_eq!(ordered.sorted_by[0], descending(of("a", Transform::Bucket(4))));
        assert_eq!(ordered.sorted_by[1].term, of("s.x", Transform::Identity));
        assert_eq!(ordered.partitioned_by, [of("s.y", Transform::Identity)]);
        assert_eq!(ordered.docs.get("a").map(String::as_str), Some("first"));
        assert_eq!(ordered.comment.as_deref(), Some("all"));
        assert_eq!(clauses("CREATE TABLE t (sorted TEXT, location TEXT)"), TableClauses::default());
        let named =
            clauses("CREATE TABLE t (location INT, comment INT) WRITE ORDERED BY location, t.comment DESC COMMENT 'x'");
        assert_eq!(named.sorted_by.len(), 2);
        assert_eq!(named.comment.as_deref(), Some("x"));
        assert_eq!(clauses("SELECT 'create table x partitioned by (y)'"), TableClauses::default());
    }

    #[test]
    fn the_words_of_clauses_are_names_as_well() {
        for word in ["location", "comment", "tblproperties", "using", "sorted", "partitioned", "write", "Kommentar"] {
            for (name, create) in [
                (word.to_string(), "CREATE TABLE"),
                (format!("raw.{word}"), "CREATE OR REPLACE TABLE"),
                (format!("bergmill.{word}.{word}"), "CREATE TABLE IF NOT EXISTS"),
            ] {
                let sql = format!(
                    "{create} {name} ({word} INT COMMENT 'c') PARTITIONED BY ({word}) SORTED BY (bucket(4, {word})) \
                     LOCATION 'file:///x'"
                );
                let parsed = parse(&sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
                assert_eq!(parsed.statement.to_string(), format!("{create} {name} ({word} INT COMMENT 'c')"));
                let (of, at) = (&parsed.clauses.partitioned_by, &parsed.clauses.location);
                assert_eq!((of.len(), at.as_deref()), (1, Some("file:///x")), "{sql}");
            }
            let clauses = clauses(&format!("CREATE SCHEMA IF NOT EXISTS {word} LOCATION 'file:///x'"));
            assert_eq!(clauses.location.as_deref(), Some("file:///x"));
        }
        assert_eq!(parse("CREATE TABLE").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(parse("CREATE OR REPLACE TABLE IF NOT EXISTS").unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_namespace_may_have_a_location() {
        let got = clauses("CREATE SCHEMA IF NOT EXISTS raw LOCATION 's3://raw/'");
        assert_eq!(got, TableClauses { location: Some("s3://raw/".to_string()), ..TableClauses::default() });
        assert_eq!(parse("CREATE SCHEMA raw LOCATION s3").unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |sql: &str, expected: &str| {
            let e = parse(sql).expect_err(sql);
            assert_eq!(e.kind(), ErrorKind::Invalid);
            assert!(e.to_string().contains(expected), "{sql}: {e}");
        };
        check("CREATE TABLE t (a INT) PARTITIONED BY (week(a))", "use a column, year(c)");
        check("CREATE TABLE t (a INT) PARTITIONED BY (bucket(0, a))", "bucket(n, c)");
        check("CREATE TABLE t (a INT) PARTITIONED BY a", "opening parenthesis");
        check("CREATE TABLE t (a INT) PARTITIONED BY (a", "closing parenthesis");
        check("CREATE TABLE t (a INT) SORTED BY (a + 1)", "use a column");
        check("CREATE TABLE t (a INT) TBLPROPERTIES ('a' 'b')", "TBLPROPERTIES");
        check("CREATE TABLE t (a INT) SORTED BY (a b)", "unexpected `b`");
        check("CREATE TABLE t (a INT) LOCATION x", "quoted URI");
        check("CREATE TABLE t (a INT) COMMENT x", "quoted text");
        check("CREATE TABLE t (a INT) WRITE ORDERED a", "lacks its BY");
        check("SELEC 1", "SQL");
        check("SELECT 1; SELECT 2", "one statement");
        check("", "no statement");
    }
}
