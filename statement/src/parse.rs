//! Parses a text into a statement: the text is tokenized once, and each kind of statement is parsed from the tokens.
//!
//! sqlparser's tree cannot express Bergmill's statements, so the hooks of its dialects, which return such trees, are
//! not enough: this crate parses Bergmill's own statements, and for all others sqlparser gets the tokens without
//! Bergmill's clauses.

use sqlparser::ast::Statement as SqlStatement;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::assignments::check_assignments;
use crate::create_table::{TableClauses, docs, is_create_namespace, is_create_table, take_clauses};
use crate::ddl::{self, Ddl};
use crate::default_values::resolve_defaults;
use crate::distinct_from::bind_operands;
use crate::error::{Error, Result};
use crate::explain::{self, Explain};
use crate::kill;
use crate::metadata_columns::mark_tables;
use crate::options::{self, SetOption};
use crate::parameters::numbered;
use crate::partitions::{PartitionValue, take_partitions};
use crate::references::{self, ReferenceStatement};
use crate::show::{self, Show};
use crate::token_reader::TokenReader;
use crate::users::{self, UserStatement};
use crate::versions::{mark_versions, resolve_versions};

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// A statement that DataFusion plans: `SELECT`, `INSERT`, `CREATE TABLE` and so on.
    Sql(Box<Sql>),
    /// `EXPLAIN` of such a statement.
    Explain(Explain),
    /// `ALTER TABLE`, views, comments.
    Ddl(Box<Ddl>),
    /// Branches, tags, the current snapshot.
    References(ReferenceStatement),
    /// `SHOW` and `DESCRIBE`.
    Show(Show),
    /// Users and their tokens.
    Users(UserStatement),
    /// Options of the session.
    Set(SetOption),
    /// `KILL QUERY` of the statement with this id.
    Kill(String),
}

/// A statement that DataFusion plans, with the parts that its syntax tree cannot express.
#[derive(Debug, Clone, PartialEq)]
pub struct Sql {
    /// The statement.
    pub tree: SqlStatement,
    /// For `CREATE TABLE`, its further clauses; for `CREATE SCHEMA`, its location.
    pub clauses: TableClauses,
    /// For a statement that writes, the branch that it names, as in `INSERT INTO ns.t.branch_b`.
    pub branch: Option<String>,
    /// For `INSERT OVERWRITE`, the partitions that it names.
    pub partitions: Option<Vec<PartitionValue>>,
}

/// Parses text that holds exactly one statement.
///
/// # Errors
/// `Invalid` if the text is not exactly one valid statement, `Unsupported` if the statement is not supported,
/// `NotFound` for a procedure that does not exist. Most have a position in the text.
///
/// # Examples
/// ```
/// use bergmill_statement::{Statement, parse, tables_read};
///
/// let statement = parse("SELECT * FROM raw.events VERSION AS OF 'q1' WHERE kind = 'view'")?;
/// assert!(matches!(statement, Statement::Sql(_)));
/// let tables: Vec<String> = tables_read(&statement)?.iter().map(ToString::to_string).collect();
/// assert_eq!(tables, ["raw.events"]);
///
/// let error = parse("ALTER TABLE raw.events\n  DROP COLUMN").unwrap_err();
/// assert_eq!(error.to_string(), "DROP COLUMN: expected a name, but the statement ends (line 2, column 14)");
/// # Ok::<(), bergmill_statement::Error>(())
/// ```
pub fn parse(sql: &str) -> Result<Statement> {
    let mut reader = TokenReader::of(numbered(TokenReader::new(sql)?.rest())?);
    while reader.symbol(&Token::SemiColon) {}
    if reader.peek().token == Token::EOF {
        return Err(Error::invalid("SQL: there is no statement"));
    }
    if let Some(statement) = own(sql, &mut reader)? {
        reader.end()?;
        return Ok(statement);
    }
    let (tokens, clauses) = match is_create_table(&reader) || is_create_namespace(&reader) {
        true => take_clauses(&mut reader)?,
        false => (reader.rest(), TableClauses::default()),
    };
    let mut reader = TokenReader::of(mark_versions(&mut TokenReader::of(tokens))?);
    let statement = match explain::parse(&mut reader)? {
        Some(explain) => Statement::Explain(explain),
        None => Statement::Sql(Box::new(self::sql(&mut reader)?.with_clauses(clauses)?)),
    };
    reader.end()?;
    Ok(statement)
}

/// Parses a statement of Bergmill's own; `None`, and no token is taken, if it is another.
fn own(sql: &str, reader: &mut TokenReader) -> Result<Option<Statement>> {
    let start = reader.index();
    if let Some(statement) = references::parse(reader)? {
        return Ok(Some(Statement::References(statement)));
    }
    reader.back_to(start);
    if let Some(ddl) = ddl::parse(sql, reader)? {
        return Ok(Some(Statement::Ddl(Box::new(ddl))));
    }
    reader.back_to(start);
    if let Some(statement) = users::parse(reader)? {
        return Ok(Some(Statement::Users(statement)));
    }
    reader.back_to(start);
    if let Some(set) = options::parse(reader)? {
        return Ok(Some(Statement::Set(set)));
    }
    reader.back_to(start);
    if let Some(id) = kill::parse(reader)? {
        return Ok(Some(Statement::Kill(id)));
    }
    reader.back_to(start);
    if let Some(show) = show::parse(reader)? {
        return Ok(Some(Statement::Show(show)));
    }
    reader.back_to(start);
    Ok(None)
}

/// Parses a statement that DataFusion plans, from tokens whose versions are marked.
pub(crate) fn sql(reader: &mut TokenReader) -> Result<Sql> {
    for (words, name) in NOT_SUPPORTED {
        if reader.is_next(words) {
            return Err(Error::unsupported(format!("{name} is not supported")).at(reader.position()));
        }
    }
    let mut tree = reader.parse("SQL", Parser::parse_statement)?;
    bind_operands(&mut tree);
    let branch = resolve_versions(&mut tree)?;
    mark_tables(&mut tree)?;
    check_assignments(&tree)?;
    resolve_defaults(&mut tree);
    let partitions = take_partitions(&mut tree)?;
    Ok(Sql { tree, clauses: TableClauses::default(), branch, partitions })
}

/// Statements of DataFusion that sqlparser does not parse.
const NOT_SUPPORTED: [(&[&str], &str); 5] = [
    (&["copy"], "COPY"),
    (&["create", "external"], "CREATE EXTERNAL TABLE"),
    (&["create", "or", "replace", "external"], "CREATE EXTERNAL TABLE"),
    (&["create", "unbounded", "external"], "CREATE EXTERNAL TABLE"),
    (&["create", "or", "replace", "unbounded", "external"], "CREATE EXTERNAL TABLE"),
];

impl Sql {
    /// Whether it is a query, which changes nothing.
    pub fn is_query(&self) -> bool {
        matches!(self.tree, SqlStatement::Query(_))
    }

    fn with_clauses(mut self, clauses: TableClauses) -> Result<Self> {
        self.clauses = match &self.tree {
            SqlStatement::CreateTable(create) => TableClauses { docs: docs(&create.columns)?, ..clauses },
            SqlStatement::CreateSchema { .. } => clauses.only_location()?,
            _ => clauses,
        };
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_positions() {
        let check = |sql: &str, expected: &str| {
            assert_eq!(parse(sql).expect_err(sql).to_string(), expected, "{sql}");
        };
        check("SELECT 1\nFROM", "SQL: Expected: identifier, found: EOF (line 2, column 5)");
        check("SELEC 1", "SQL: Expected: an SQL statement, found: SELEC (line 1, column 1)");
        check("SELECT 'x", "SQL: Unterminated string literal (line 1, column 8)");
        check("SELECT 1 ; SELECT 2", "SQL: only one statement at a time is allowed (line 1, column 12)");
        check("SELECT 1 2", "SQL: unexpected `2` after the statement (line 1, column 10)");
        check("SHOW TABLES raw", "SQL: unexpected `raw` after the statement (line 1, column 13)");
        check(" ; ", "SQL: there is no statement");
        check("COPY t TO 'x'", "COPY is not supported (line 1, column 1)");
        check("EXPLAIN CREATE EXTERNAL TABLE t", "CREATE EXTERNAL TABLE is not supported (line 1, column 9)");
        check(
            "SELECT *\nFROM a VERSION AS OF +",
            "SQL: VERSION AS OF: Expected: an expression, found: EOF (line 2, column 23)",
        );
        check(
            "ALTER TABLE t CREATE TAG q\n  RETAIN 3 YEARS",
            "SQL: Expected: DAYS, HOURS or MINUTES, found: YEARS (line 2, column 12)",
        );
    }
}
