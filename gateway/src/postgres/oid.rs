//! The types of Postgres that occur here, by the numbers that its protocol has for them.

use arrow::datatypes::DataType;

pub(super) const BOOL: u32 = 16;
pub(super) const BYTEA: u32 = 17;
pub(super) const NAME: u32 = 19;
pub(super) const INT8: u32 = 20;
pub(super) const INT2: u32 = 21;
pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
pub(super) const OID: u32 = 26;
pub(super) const JSON: u32 = 114;
pub(super) const FLOAT4: u32 = 700;
pub(super) const FLOAT8: u32 = 701;
pub(super) const UNKNOWN: u32 = 705;
pub(super) const BPCHAR: u32 = 1042;
pub(super) const VARCHAR: u32 = 1043;
pub(super) const DATE: u32 = 1082;
pub(super) const TIME: u32 = 1083;
pub(super) const TIMESTAMP: u32 = 1114;
pub(super) const TIMESTAMPTZ: u32 = 1184;
pub(super) const INTERVAL: u32 = 1186;
pub(super) const NUMERIC: u32 = 1700;
pub(super) const UUID: u32 = 2950;

/// Days and microseconds from 1970-01-01 to 2000-01-01, from which Postgres counts.
pub(super) const EPOCH_DAYS: i32 = 10_957;
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// Number, name, name in SQL, and width of each type; those of variable width have -1.
pub(super) const TYPES: [(u32, &str, &str, i16); 20] = [
    (BOOL, "bool", "boolean", 1),
    (BYTEA, "bytea", "bytea", -1),
    (NAME, "name", "name", 64),
    (INT8, "int8", "bigint", 8),
    (INT2, "int2", "smallint", 2),
    (INT4, "int4", "integer", 4),
    (TEXT, "text", "text", -1),
    (OID, "oid", "oid", 4),
    (JSON, "json", "json", -1),
    (FLOAT4, "float4", "real", 4),
    (FLOAT8, "float8", "double precision", 8),
    (BPCHAR, "bpchar", "character", -1),
    (VARCHAR, "varchar", "character varying", -1),
    (DATE, "date", "date", 4),
    (TIME, "time", "time without time zone", 8),
    (TIMESTAMP, "timestamp", "timestamp without time zone", 8),
    (TIMESTAMPTZ, "timestamptz", "timestamp with time zone", 8),
    (INTERVAL, "interval", "interval", 16),
    (NUMERIC, "numeric", "numeric", -1),
    (UUID, "uuid", "uuid", 16),
];

/// The type of a column or a parameter.
pub(super) fn of(arrow: &DataType) -> u32 {
    match arrow {
        DataType::Boolean => BOOL,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => INT2,
        DataType::UInt16 | DataType::Int32 => INT4,
        DataType::UInt32 | DataType::Int64 => INT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => NUMERIC,
        DataType::Float16 | DataType::Float32 => FLOAT4,
        DataType::Float64 => FLOAT8,
        DataType::Date32 | DataType::Date64 => DATE,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => BYTEA,
        DataType::Dictionary(_, values) => of(values),
        nested if nested.is_nested() => JSON,
        _ => TEXT,
    }
}

/// The width of a type.
pub(super) fn width(oid: u32) -> i16 {
    TYPES.iter().find(|(known, ..)| *known == oid).map_or(-1, |(.., width)| *width)
}

/// The name of a type.
pub(super) fn name(oid: u32) -> &'static str {
    TYPES.iter().find(|(known, ..)| *known == oid).map_or("unknown", |(_, name, ..)| name)
}
