//! Random conditions over the columns of a table.

use super::kind::Kind;
use super::random::Random;
use super::table::Column;

const COMPARISONS: [&str; 8] = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
const PATTERNS: [&str; 16] = [
    "가%",
    "가방끈%",
    "가방",
    "%끈",
    "a%",
    "ab_",
    "abc%d",
    "%",
    "",
    "🙂🙂%",
    "힣%",
    "가\\%%",
    "나_",
    "가나%",
    "_",
    "%방%",
];

/// A condition of AND, OR and NOT, nested `depth` deep.
pub fn condition(columns: &[Column], random: &mut Random, depth: usize) -> String {
    let nested = |random: &mut Random| condition(columns, random, depth - 1);
    match random.below(if depth == 0 { 5 } else { 12 }) {
        0..=4 => {
            let column = &columns[random.below(columns.len())];
            of_column(column, columns, random)
        }
        5 => format!("NOT ({})", nested(random)),
        6..=8 => format!("({}) AND ({})", nested(random), nested(random)),
        _ => format!("({}) OR ({})", nested(random), nested(random)),
    }
}

fn of_column(column: &Column, columns: &[Column], random: &mut Random) -> String {
    let Column { name, kind, .. } = column;
    match random.below(16) {
        0..=4 => compared(name, &operand(*kind, random), random),
        5 => {
            let not = random.of(&["", "NOT "]);
            format!("{name} {not}BETWEEN {} AND {}", operand(*kind, random), operand(*kind, random))
        }
        6 | 7 => {
            let list: Vec<String> = (0..1 + random.below(5)).map(|_| operand(*kind, random)).collect();
            format!("{name} {}IN ({})", random.of(&["", "NOT "]), list.join(", "))
        }
        8 => format!("{name} IS {}NULL", random.of(&["", "NOT "])),
        9..=11 => special(name, *kind, random),
        12 | 13 => compared(&cast(name, *kind, random), &operand(*kind, random), random),
        14 => match random.position(columns, |c| c.kind == *kind && c.name != *name) {
            Some(other) => compared(name, &columns[other].name, random),
            None => {
                let value = operand(*kind, random);
                compared(&format!("coalesce({name}, {value})"), &kind.value(random), random)
            }
        },
        _ => compared(name, &foreign(*kind, random), random),
    }
}

/// A value, or NULL.
fn operand(kind: Kind, random: &mut Random) -> String {
    match random.one_in(12) {
        true if random.one_in(2) => "NULL".to_string(),
        true => format!("CAST(NULL AS {})", kind.sql()),
        false => kind.value(random),
    }
}

fn compared(left: &str, right: &str, random: &mut Random) -> String {
    let how = random.of(&COMPARISONS);
    if random.one_in(4) { format!("{right} {how} {left}") } else { format!("{left} {how} {right}") }
}

/// Conditions that only some types have.
fn special(name: &str, kind: Kind, random: &mut Random) -> String {
    match kind {
        Kind::Text => {
            let (not, pattern) = (random.of(&["", "NOT "]), random.of(&PATTERNS));
            match random.below(8) {
                0..=4 => format!("{name} {not}LIKE '{pattern}'"),
                5 => format!("{not}starts_with({name}, {})", kind.value(random)),
                6 => format!(
                    "{name} {}~ '{}'",
                    random.of(&["", "!"]),
                    random.of(&["^가", "^ab", "끈$", "^abc$", "b|나"])
                ),
                _ => format!("{name} {not}ILIKE '{}'", random.of(&["A%", "ab_", "가%"])),
            }
        }
        Kind::Boolean => match random.below(4) {
            0 => name.to_string(),
            1 => format!("NOT {name}"),
            _ => format!("{name} IS {}{}", random.of(&["", "NOT "]), random.of(&["TRUE", "FALSE", "UNKNOWN"])),
        },
        Kind::Date | Kind::Timestamp | Kind::Timestamptz => {
            let changed = match random.below(4) {
                0 => format!("date_trunc('{}', {name})", random.of(&["year", "month", "day", "hour"])),
                1 => format!("{name} + INTERVAL '1' DAY"),
                2 => {
                    return compared(
                        &format!("date_part('year', {name})"),
                        random.of(&["1969", "1970", "2024"]),
                        random,
                    );
                }
                _ => return compared(&format!("date_part('day', {name})"), random.of(&["1", "30", "31"]), random),
            };
            compared(&changed, &kind.value(random), random)
        }
        _ if kind.is_number() => {
            let changed = match random.below(4) {
                0 => format!("{name} + 1"),
                // For the smallest integer this is an error or not, depending on when DataFusion knows the value.
                1 if !matches!(kind, Kind::Int | Kind::Long) => format!("-{name}"),
                2 => format!("{name} * 2"),
                _ => format!("{name} % 10"),
            };
            compared(&changed, &kind.value(random), random)
        }
        _ => format!("{name} IS NOT NULL"),
    }
}

/// The column in a wider type, or in a narrower one where values that do not fit become NULL: which rows a cast would
/// fail for depends on the rows that another part of the condition has filtered out.
fn cast(name: &str, kind: Kind, random: &mut Random) -> String {
    let (wider, narrower): (&[&str], &[&str]) = match kind {
        Kind::Int => (&["BIGINT", "DOUBLE", "REAL", "DECIMAL(20, 2)", "INT"], &["SMALLINT", "TINYINT"]),
        Kind::Long => (&["DOUBLE", "DECIMAL(30, 2)"], &["INT", "SMALLINT", "DECIMAL(5, 0)"]),
        Kind::Float => (&["DOUBLE", "REAL"], &["INT", "BIGINT"]),
        Kind::Double => (&["DOUBLE"], &["REAL", "INT", "BIGINT"]),
        Kind::Decimal | Kind::WideDecimal => {
            (&["DECIMAL(24, 4)", "DECIMAL(22, 2)", "DOUBLE"], &["DECIMAL(12, 1)", "DECIMAL(4, 2)", "INT"])
        }
        Kind::Date => {
            (&["TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP(6)"], &["TIMESTAMP", "TIMESTAMP(0)", "TIMESTAMP(6)"])
        }
        Kind::Timestamp => {
            (&["TIMESTAMP(9)", "TIMESTAMP WITH TIME ZONE"], &["DATE", "TIMESTAMP(0)", "TIMESTAMP(3)", "TIMESTAMP(6)"])
        }
        Kind::Timestamptz => (&["TIMESTAMP"], &["DATE", "TIMESTAMP(3)", "TIMESTAMP(6)"]),
        Kind::Text => (&["VARCHAR", "BYTEA"], &["INT", "DATE", "VARCHAR"]),
        Kind::Boolean => (&["INT", "BOOLEAN"], &["INT"]),
        Kind::Bytes => (&["BYTEA"], &["TEXT"]),
    };
    match random.one_in(2) {
        true => format!("CAST({name} AS {})", random.of(wider)),
        false => format!("TRY_CAST({name} AS {})", random.of(narrower)),
    }
}

/// A value of another type.
fn foreign(kind: Kind, random: &mut Random) -> String {
    match kind {
        Kind::Int | Kind::Long => random.of(&["-10.5", "9.0", "10.5", "3000000000", "-3000000000", "1e300", "'10'"]),
        Kind::Float | Kind::Double => random.of(&["-1", "0", "2", "0.1", "1.5", "1e300"]),
        Kind::Decimal | Kind::WideDecimal => random.of(&["-10.5", "0", "10", "9.995", "10.50", "1e30"]),
        Kind::Date => {
            random.of(&["TIMESTAMP '1969-12-31 12:00:00'", "TIMESTAMP '1970-01-01 00:00:00'", "'1970-01-31'"])
        }
        Kind::Timestamp | Kind::Timestamptz => {
            random.of(&["DATE '1969-12-31'", "DATE '1970-01-01'", "DATE '1970-02-01'", "'1970-01-01T00:00:00'"])
        }
        Kind::Text => random.of(&["10", "X'61'"]),
        Kind::Boolean => random.of(&["1", "'true'"]),
        Kind::Bytes => random.of(&["'ab'", "'가'"]),
    }
    .to_string()
}
