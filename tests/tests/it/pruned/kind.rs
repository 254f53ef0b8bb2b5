//! Types of columns, the transforms that apply to them, and values.

use super::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Int,
    Long,
    Float,
    Double,
    Decimal,
    WideDecimal,
    Date,
    Timestamp,
    Timestamptz,
    Text,
    Boolean,
    Bytes,
}

/// The types that a table is created with; text more often, because it has the most rules.
pub const KINDS: [Kind; 12] = [
    Kind::Int,
    Kind::Long,
    Kind::Float,
    Kind::Double,
    Kind::Decimal,
    Kind::Date,
    Kind::Timestamp,
    Kind::Timestamptz,
    Kind::Text,
    Kind::Text,
    Kind::Boolean,
    Kind::Bytes,
];

const NUMBER: [&str; 4] = ["{}", "bucket(3, {})", "truncate(10, {})", "truncate(1000, {})"];
const TEXT: [&str; 4] = ["{}", "bucket(3, {})", "truncate(1, {})", "truncate(3, {})"];
const DAY: [&str; 5] = ["{}", "bucket(3, {})", "year({})", "month({})", "day({})"];
const TIME: [&str; 6] = ["{}", "bucket(3, {})", "year({})", "month({})", "day({})", "hour({})"];

const DATES: [&str; 14] = [
    "1700-02-28",
    "1967-10-24",
    "1968-12-31",
    "1969-01-01",
    "1969-11-30",
    "1969-12-30",
    "1969-12-31",
    "1970-01-01",
    "1970-01-02",
    "1970-01-31",
    "1970-02-01",
    "1971-01-01",
    "2024-10-04",
    "2261-12-31",
];
/// Times around the borders of hours and days.
const TIMES: [&str; 7] =
    ["00:00:00", "00:00:00.000001", "00:59:59.999999", "01:00:00", "12:00:00.000400", "23:59:59.5", "23:59:59.999999"];

impl Kind {
    pub fn sql(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::Long => "BIGINT",
            Self::Float => "REAL",
            Self::Double => "DOUBLE",
            Self::Decimal => "DECIMAL(9, 2)",
            Self::WideDecimal => "DECIMAL(20, 2)",
            Self::Date => "DATE",
            Self::Timestamp => "TIMESTAMP",
            Self::Timestamptz => "TIMESTAMP WITH TIME ZONE",
            Self::Text => "TEXT",
            Self::Boolean => "BOOLEAN",
            Self::Bytes => "BYTEA",
        }
    }

    /// The type that a column may be widened to.
    pub fn wider(self) -> Option<Self> {
        match self {
            Self::Int => Some(Self::Long),
            Self::Float => Some(Self::Double),
            Self::Decimal => Some(Self::WideDecimal),
            _ => None,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }

    pub fn is_number(self) -> bool {
        self.is_float() || matches!(self, Self::Int | Self::Long | Self::Decimal | Self::WideDecimal)
    }

    /// Partition transforms, with `{}` for the column.
    pub fn transforms(self) -> &'static [&'static str] {
        match self {
            Self::Int | Self::Long | Self::Decimal | Self::WideDecimal => &NUMBER,
            Self::Float | Self::Double | Self::Boolean => &["{}"],
            Self::Date => &DAY,
            Self::Timestamp | Self::Timestamptz => &TIME,
            Self::Text => &TEXT,
            Self::Bytes => &["{}", "bucket(3, {})", "truncate(2, {})"],
        }
    }

    /// A value as SQL.
    pub fn value(self, random: &mut Random) -> String {
        match self {
            Self::Int => random
                .of(&[
                    "-2147483648",
                    "-2147483647",
                    "-21",
                    "-20",
                    "-11",
                    "-10",
                    "-1",
                    "0",
                    "1",
                    "9",
                    "10",
                    "2147483647",
                ])
                .to_string(),
            Self::Long => {
                let text = random.of(&[
                    "-9223372036854775808",
                    "-3000000000",
                    "-11",
                    "-10",
                    "-1",
                    "0",
                    "9",
                    "10",
                    "3000000000",
                ]);
                format!("CAST('{text}' AS BIGINT)")
            }
            Self::Float | Self::Double => {
                let text = random.of(&[
                    "NaN",
                    "-NaN",
                    "-Infinity",
                    "-1.5",
                    "-1",
                    "-0.0",
                    "0.0",
                    "0.1",
                    "1.5",
                    "2.5",
                    "Infinity",
                ]);
                // The text "-NaN" is not parsed.
                match text {
                    "-NaN" => format!("-CAST('NaN' AS {})", self.sql()),
                    text => format!("CAST('{text}' AS {})", self.sql()),
                }
            }
            Self::Decimal | Self::WideDecimal => {
                let text = random.of(&["-10.50", "-10.00", "-0.01", "0.00", "0.01", "9.99", "10.00", "10.50", "99.99"]);
                format!("CAST('{text}' AS {})", self.sql())
            }
            Self::Date => format!("DATE '{}'", random.of(&DATES)),
            Self::Timestamp => format!("TIMESTAMP '{} {}'", random.of(&DATES), random.of(&TIMES)),
            Self::Timestamptz => {
                format!("CAST('{}T{}Z' AS TIMESTAMP WITH TIME ZONE)", random.of(&DATES), random.of(&TIMES))
            }
            Self::Text => {
                let text = random.of(&[
                    "",
                    "a",
                    "ab",
                    "abc",
                    "abcd",
                    "abe",
                    "10",
                    "가",
                    "가방",
                    "가방끈",
                    "가방끈을 매다",
                    "나비",
                    "힣힣힣힣",
                    "🙂🙂",
                    "🙂🙂🙂🙂",
                    "\u{D7FF}",
                    "\u{10FFFF}\u{10FFFF}",
                    "가a%_",
                    "ㅎ\\",
                    "가나다라마바사아자차카타파하갸",
                    "가나다라마바사아자차카타파하갸냐",
                ]);
                format!("'{text}'")
            }
            Self::Boolean => random.of(&["true", "false"]).to_string(),
            Self::Bytes => format!("X'{}'", random.of(&["", "00", "61", "6162", "616263", "7F", "80FF", "FF", "FFFF"])),
        }
    }
}
