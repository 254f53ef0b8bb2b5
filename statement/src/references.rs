//! Spark's statements about branches and tags; its procedures that move them are in `procedures`.
//!
//! ```sql
//! ALTER TABLE t
//!     {CREATE [OR REPLACE] | REPLACE} {BRANCH | TAG} [IF NOT EXISTS] name [AS OF VERSION id]
//!       [RETAIN age] [WITH SNAPSHOT RETENTION {n SNAPSHOTS [age] | age}]
//!   | DROP {BRANCH | TAG} [IF EXISTS] name
//! ```
//! An age is `n {DAYS | HOURS | MINUTES}`; only a branch has a snapshot retention.

use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::error::Result;
use crate::names::TableName;
use crate::procedures;
use crate::token_reader::{TokenReader, is_word};

/// A statement that changes branches, tags or the current snapshot of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceStatement {
    /// The table.
    pub table: TableName,
    /// The change.
    pub change: ReferenceChange,
}

/// The kind of a reference to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceKind {
    /// Can be written to, and then refers to the new snapshot.
    Branch,
    /// Refers to the same snapshot until it is replaced.
    Tag,
}

/// How long maintenance keeps a branch or tag and its snapshots. Fields that are `None` stay unchanged, or default to
/// the table's properties `history.expire.*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Age after which the branch or tag itself is removed, in milliseconds.
    pub max_ref_age_ms: Option<i64>,
    /// For a branch: the number of latest snapshots to keep.
    pub min_snapshots_to_keep: Option<i32>,
    /// For a branch: snapshots younger than this are kept, in milliseconds.
    pub max_snapshot_age_ms: Option<i64>,
}

/// A change of branches, tags or the current snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceChange {
    /// Creates a branch or tag, or with `or_replace` replaces it if it exists.
    Create {
        /// Branch or tag.
        kind: ReferenceKind,
        /// Its name.
        name: String,
        /// The snapshot that it refers to; the current one if not given.
        at: Option<i64>,
        /// Whether an existing branch or tag of that name is left unchanged.
        if_not_exists: bool,
        /// Whether an existing branch or tag of that name is replaced.
        or_replace: bool,
        /// How long it is kept.
        retention: Retention,
    },
    /// Changes the snapshot or retention of an existing branch or tag.
    Replace {
        /// Branch or tag.
        kind: ReferenceKind,
        /// Its name.
        name: String,
        /// The snapshot that it refers to; the current one if not given.
        at: Option<i64>,
        /// How long it is kept.
        retention: Retention,
    },
    /// Removes a branch or tag; its snapshots stay until they expire.
    Drop {
        /// Branch or tag.
        kind: ReferenceKind,
        /// Its name.
        name: String,
        /// Whether a missing branch or tag is no error.
        if_exists: bool,
    },
    /// Moves a branch to the snapshot of another, which must descend from it. Creates the branch if it does not exist.
    FastForward {
        /// The branch to move.
        branch: String,
        /// The branch or tag to move to.
        to: String,
    },
    /// Makes an ancestor of the current snapshot the current one.
    RollBackTo(i64),
    /// Makes the latest ancestor older than a timestamp the current snapshot. The text is in UTC if it has no time
    /// zone.
    RollBackToTime(String),
    /// Makes any snapshot the current one.
    SetCurrent(SnapshotName),
    /// Applies the changes of a snapshot to the main branch: the snapshot itself if its parent is the current one, else
    /// a new one with its files.
    CherryPick(i64),
}

/// A snapshot, by its id or by a reference to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotName {
    /// The snapshot of this id.
    Id(i64),
    /// The snapshot of a branch or tag.
    Reference(String),
}

/// Parses a whole statement; `None` if it is of another kind.
pub(crate) fn parse(reader: &mut TokenReader) -> Result<Option<ReferenceStatement>> {
    if reader.take(&["alter", "table"]) {
        let table = reader.table("ALTER TABLE")?;
        let change = reader.parse("SQL", alteration)?;
        return Ok(change.map(|change| ReferenceStatement { table, change }));
    }
    procedures::parse(reader)
}

type Parsed<T> = std::result::Result<T, ParserError>;

/// Parses what follows the table's name; `None` if it is not a change of branches or tags.
fn alteration(parser: &mut Parser<'_>) -> Parsed<Option<ReferenceChange>> {
    let create = parser.parse_keyword(Keyword::CREATE);
    let replace = match create {
        true => parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]),
        false => parser.parse_keyword(Keyword::REPLACE),
    };
    let drop = !create && !replace && parser.parse_keyword(Keyword::DROP);
    if !create && !replace && !drop {
        return Ok(None);
    }
    let kind = match () {
        () if word(parser, "branch") => ReferenceKind::Branch,
        () if word(parser, "tag") => ReferenceKind::Tag,
        () => return Ok(None),
    };
    if drop {
        let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        return Ok(Some(ReferenceChange::Drop { kind, name: name(parser)?, if_exists }));
    }
    let if_not_exists = create && !replace && parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = name(parser)?;
    let at = match parser.parse_keywords(&[Keyword::AS, Keyword::OF]) {
        true => {
            expect(parser, "version")?;
            Some(number(parser)?)
        }
        false => None,
    };
    let mut retention = Retention::default();
    if word(parser, "retain") {
        retention.max_ref_age_ms = Some(age(parser)?);
    }
    if kind == ReferenceKind::Branch && parser.parse_keyword(Keyword::WITH) {
        expect(parser, "snapshot")?;
        expect(parser, "retention")?;
        let count = positive(parser)?;
        if word(parser, "snapshots") || word(parser, "snapshot") {
            let too_many = |_| ParserError::ParserError(format!("{count} snapshots are too many"));
            retention.min_snapshots_to_keep = Some(i32::try_from(count).map_err(too_many)?);
            if matches!(parser.peek_token().token, Token::Number(..)) {
                retention.max_snapshot_age_ms = Some(age(parser)?);
            }
        } else {
            retention.max_snapshot_age_ms = Some(unit(parser, count)?);
        }
    }
    Ok(Some(match create {
        true => ReferenceChange::Create { kind, name, at, if_not_exists, or_replace: replace, retention },
        false => ReferenceChange::Replace { kind, name, at, retention },
    }))
}

/// Takes the next token if it is this word.
fn word(parser: &mut Parser<'_>, text: &str) -> bool {
    let is_it = is_word(parser.peek_token_ref(), text);
    if is_it {
        parser.advance_token();
    }
    is_it
}

fn expect(parser: &mut Parser<'_>, text: &str) -> Parsed<()> {
    match word(parser, text) {
        true => Ok(()),
        false => parser.expected(&text.to_uppercase(), parser.peek_token()),
    }
}

/// The name of a branch or tag. Spark allows an identifier; here it may also be in single quotes.
fn name(parser: &mut Parser<'_>) -> Parsed<String> {
    if let Token::SingleQuotedString(name) = parser.peek_token().token {
        parser.advance_token();
        return Ok(name);
    }
    // Not folded to lower case: Iceberg distinguishes `Q1` from `q1`.
    Ok(parser.parse_identifier()?.value)
}

fn number(parser: &mut Parser<'_>) -> Parsed<i64> {
    let token = parser.next_token();
    match &token.token {
        Token::Number(digits, _) => match digits.parse() {
            Ok(number) => Ok(number),
            Err(_) => parser.expected("a whole number", token),
        },
        _ => parser.expected("a whole number", token),
    }
}

fn positive(parser: &mut Parser<'_>) -> Parsed<i64> {
    match number(parser)? {
        n if n > 0 => Ok(n),
        n => Err(ParserError::ParserError(format!("{n} is not positive"))),
    }
}

fn age(parser: &mut Parser<'_>) -> Parsed<i64> {
    let count = positive(parser)?;
    unit(parser, count)
}

/// Takes the unit that follows and returns `count` of it in milliseconds.
fn unit(parser: &mut Parser<'_>, count: i64) -> Parsed<i64> {
    let minutes = match () {
        () if word(parser, "days") || word(parser, "day") => 24 * 60,
        () if word(parser, "hours") || word(parser, "hour") => 60,
        () if word(parser, "minutes") || word(parser, "minute") => 1,
        () => return parser.expected("DAYS, HOURS or MINUTES", parser.peek_token()),
    };
    let too_long = || ParserError::ParserError(format!("{count} is too long"));
    count.checked_mul(minutes * 60_000).ok_or_else(too_long)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(sql: &str) -> Result<Option<ReferenceStatement>> {
        let mut reader = TokenReader::new(sql)?;
        let statement = parse(&mut reader)?;
        if statement.is_some() {
            reader.end()?;
        }
        Ok(statement)
    }

    fn parsed(sql: &str) -> ReferenceChange {
        let statement = statement(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let statement = statement.unwrap_or_else(|| panic!("{sql}: not about references"));
        assert_eq!(statement.table.to_string(), "raw.t", "{sql}");
        statement.change
    }

    #[test]
    fn sparks_statements_are_parsed() {
        let day = 24 * 60 * 60 * 1000;
        let create = |kind, at, retention| ReferenceChange::Create {
            kind,
            name: "b".to_string(),
            at,
            if_not_exists: false,
            or_replace: false,
            retention,
        };
        let branch = ReferenceKind::Branch;
        let kept = |max_ref_age_ms, min_snapshots_to_keep, max_snapshot_age_ms| Retention {
            max_ref_age_ms,
            min_snapshots_to_keep,
            max_snapshot_age_ms,
        };
        let check = |clause: &str, expected: ReferenceChange| {
            assert_eq!(parsed(&format!("ALTER TABLE raw.t {clause};")), expected, "{clause}");
        };
        check("CREATE BRANCH b", create(branch, None, Retention::default()));
        check("create branch 'b' as of version 7", create(branch, Some(7), Retention::default()));
        check(
            "CREATE BRANCH b AS OF VERSION 7 RETAIN 2 DAYS WITH SNAPSHOT RETENTION 3 SNAPSHOTS 1 HOURS",
            create(branch, Some(7), kept(Some(2 * day), Some(3), Some(day / 24))),
        );
        check(
            "CREATE BRANCH b WITH SNAPSHOT RETENTION 5 MINUTES",
            create(branch, None, kept(None, None, Some(300_000))),
        );
        check("CREATE TAG b RETAIN 1 DAYS", create(ReferenceKind::Tag, None, kept(Some(day), None, None)));
        let drop = ReferenceChange::Drop { kind: ReferenceKind::Tag, name: "B".to_string(), if_exists: true };
        check("DROP TAG IF EXISTS B", drop);
        let replace = ReferenceChange::Replace {
            kind: branch,
            name: "b".to_string(),
            at: Some(1),
            retention: Retention::default(),
        };
        check("REPLACE BRANCH b AS OF VERSION 1", replace);
        let call = |text: &str| parsed(&format!("CALL {text}"));
        assert_eq!(call("system.cherrypick_snapshot('raw.t', 12)"), ReferenceChange::CherryPick(12));
        assert_eq!(call("bergmill.system.rollback_to_snapshot('raw.t', 12)"), ReferenceChange::RollBackTo(12));
        assert_eq!(
            call("system.rollback_to_snapshot(snapshot_id => 12, table => 'raw.t')"),
            ReferenceChange::RollBackTo(12)
        );
        assert_eq!(
            call("system.rollback_to_timestamp('raw.t', TIMESTAMP '1970-01-01 00:00:01.5')"),
            ReferenceChange::RollBackToTime("1970-01-01 00:00:01.5".to_string())
        );
        assert_eq!(
            call("system.set_current_snapshot(table => 'raw.t', ref => 'b')"),
            ReferenceChange::SetCurrent(SnapshotName::Reference("b".to_string()))
        );
        let forward = ReferenceChange::FastForward { branch: "main".to_string(), to: "b".to_string() };
        assert_eq!(call("system.fast_forward('raw.t', 'main', 'b')"), forward);
        for other in
            ["ALTER TABLE t ADD COLUMN tag INT", "ALTER TABLE t DROP COLUMN branch", "SELECT 1", "CREATE TABLE t"]
        {
            assert_eq!(statement(other).unwrap(), None, "{other}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let check = |sql: &str, expected: &str| {
            let e = statement(sql).expect_err(sql);
            assert!(e.to_string().contains(expected), "{sql}: {e}");
        };
        check("ALTER TABLE t CREATE BRANCH b AS OF VERSION x", "a whole number");
        check("ALTER TABLE t CREATE BRANCH b RETAIN 3 YEARS", "DAYS, HOURS or MINUTES");
        check("ALTER TABLE t CREATE BRANCH b RETAIN 0 DAYS", "not positive");
        check("ALTER TABLE t CREATE BRANCH b RETAIN 9223372036854775807 DAYS", "too long");
        check("ALTER TABLE t CREATE TAG b WITH SNAPSHOT RETENTION 1 SNAPSHOTS", "unexpected `WITH`");
        check("CALL fast_forward('t', 'a', 'b')", "procedures are in system");
        check("CALL system.fast_forwards('t', 'a', 'b')", "did you mean fast_forward?");
        check("CALL system.fast_forward('t', 'a')", "fast_forward needs the argument to");
        check("CALL system.fast_forward('t', 'a', 'b', 'c')", "takes table, branch, to");
        check("CALL system.rollback_to_snapshot('t', 'a')", "a snapshot's id, not 'a'");
        check("CALL system.set_current_snapshot('t', 1, 'b')", "either a snapshot_id or a ref");
        check("CALL system.rollback_to_timestamp('t', 12)", "a TIMESTAMP, not 12");
    }
}
