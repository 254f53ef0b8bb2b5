//! Compares the transforms with the iceberg crate's transforms of single values, for random and extreme values.

use arrow::array::{
    BinaryArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Int64Array, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use datafusion::prelude::SessionContext;
use iceberg::spec::{Datum, PrimitiveLiteral, PrimitiveType};
use iceberg::transform::create_transform_function;

use super::*;
use crate::table::partition_value::{literal, literal_bytes};
use crate::write::partition_udf;

/// Deterministic numbers of every size and sign.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number of at most `bits` bits, small ones as likely as large ones, or sometimes a null.
    fn signed(&mut self, bits: u32) -> Option<i64> {
        let magnitude = (self.next() >> (64 - u64::from(bits))) >> (self.next() % u64::from(bits));
        let value = magnitude as i64;
        match self.next() % 10 {
            0 => None,
            1..=4 => Some(-value),
            _ => Some(value),
        }
    }

    fn many(&mut self, bits: u32) -> Vec<Option<i64>> {
        let extremes = [0, 1, -1, 9, 10, 11, -9, -10, -11];
        extremes.into_iter().map(Some).chain((0..2_000).map(|_| self.signed(bits))).collect()
    }
}

fn check(transform: &str, ty: &PrimitiveType, values: ArrayRef) {
    let transform: Transform = transform.parse().unwrap();
    let function = create_transform_function(&transform).unwrap();
    let result = apply(&transform, &values).unwrap();
    assert_eq!(*result.data_type(), result_type(&transform, values.data_type()).unwrap());
    for row in 0..values.len() {
        if values.is_null(row) {
            assert!(result.is_null(row), "{transform} of null");
            continue;
        }
        let value = Datum::try_from_bytes(&literal_bytes(&literal(&values, row).unwrap()), ty.clone()).unwrap();
        let expected = function.transform_literal(&value).unwrap().unwrap();
        assert_eq!(literal(&result, row).unwrap(), *expected.literal(), "{transform} of {value}");
    }
}

/// Values between the years 1700 and 2240 or so, before and after 1970, with fractions of a second.
fn micros(random: &mut Random) -> Vec<Option<i64>> {
    let day = 86_400_000_000;
    let borders = [0, 1, -1, day, day - 1, -day, -day - 1, -day + 1, 3_600_000_000, -3_600_000_000];
    borders.into_iter().map(Some).chain(random.many(53)).collect()
}

#[test]
fn timestamps_have_the_crates_years_months_days_and_hours() {
    let mut random = Random(42);
    let values = micros(&mut random);
    let nanos: Vec<_> = values.iter().map(|v| v.map(|v| v * 1_000)).collect();
    let plain: ArrayRef = Arc::new(TimestampMicrosecondArray::from(values.clone()));
    let zoned: ArrayRef = Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"));
    let fine: ArrayRef = Arc::new(TimestampNanosecondArray::from(nanos));
    for transform in ["year", "month", "hour"] {
        check(transform, &PrimitiveType::Timestamp, Arc::clone(&plain));
        check(transform, &PrimitiveType::Timestamptz, Arc::clone(&zoned));
        check(transform, &PrimitiveType::TimestampNs, Arc::clone(&fine));
    }
}

#[test]
fn the_day_before_1970_starts_at_midnight_too() {
    let check = |micros: i64, expected: i32| {
        let values: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![micros]));
        let days = apply(&Transform::Day, &values).unwrap();
        assert_eq!(days.as_primitive::<Date32Type>().value(0), expected, "{micros}");
    };
    check(0, 0);
    check(86_399_999_999, 0);
    check(-1, -1);
    check(-86_400_000_000, -1);
    check(-86_400_000_001, -2);
    // Here the crate's own transform says -1, which is why days are not checked against it.
    check(-86_400_500_000, -2);
    check(i64::MAX, 106_751_991);
    check(i64::MIN, -106_751_992);
}

#[test]
fn dates_have_the_crates_years_months_and_days() {
    let values = Random(7).many(24).into_iter().map(|v| v.map(|v| v as i32));
    let dates: ArrayRef = Arc::new(Date32Array::from_iter(values));
    for transform in ["year", "month", "day", "identity"] {
        check(transform, &PrimitiveType::Date, Arc::clone(&dates));
    }
}

#[test]
fn dates_beyond_chrono_have_a_year() {
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX, i32::MIN]));
    let years = apply(&Transform::Year, &dates).unwrap();
    assert_eq!(years.as_primitive::<Int32Type>().values(), &[5_881_580 - 1_970, -5_877_641 - 1_970]);
}

#[test]
fn numbers_are_truncated_as_by_the_crate() {
    let mut random = Random(3);
    let ints: ArrayRef = Arc::new(Int32Array::from_iter(random.many(31).into_iter().map(|v| v.map(|v| v as i32))));
    let longs: ArrayRef = Arc::new(Int64Array::from(random.many(62)));
    let decimals =
        Decimal128Array::from_iter(random.many(60).into_iter().map(|v| v.map(|v| i128::from(v) * 1_000_003)));
    let decimals: ArrayRef = Arc::new(decimals.with_precision_and_scale(28, 4).unwrap());
    for width in ["truncate[1]", "truncate[10]", "truncate[997]"] {
        check(width, &PrimitiveType::Int, Arc::clone(&ints));
        check(width, &PrimitiveType::Long, Arc::clone(&longs));
        check(width, &PrimitiveType::Decimal { precision: 28, scale: 4 }, Arc::clone(&decimals));
    }
}

#[test]
fn text_is_truncated_by_characters_and_bytes_by_bytes() {
    let texts: ArrayRef =
        Arc::new(StringArray::from(vec![Some("iceberg"), None, Some("빙산 위의 책"), Some("🧊🧊🧊🧊"), Some("")]));
    for width in ["truncate[1]", "truncate[3]", "truncate[100]"] {
        check(width, &PrimitiveType::String, Arc::clone(&texts));
    }
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(&b"\xFF\x00\x01"[..]), None, Some(b"")]));
    let cut = apply(&Transform::Truncate(2), &bytes).unwrap();
    assert_eq!(cut.as_binary::<i32>().iter().collect::<Vec<_>>(), [Some(&b"\xFF\x00"[..]), None, Some(b"")]);
}

#[test]
fn buckets_are_the_crates() {
    let mut random = Random(11);
    let ints: ArrayRef = Arc::new(Int32Array::from_iter(random.many(31).into_iter().map(|v| v.map(|v| v as i32))));
    let dates: ArrayRef = Arc::new(Date32Array::from_iter(random.many(31).into_iter().map(|v| v.map(|v| v as i32))));
    let longs = random.many(63);
    let positive: Vec<_> = longs.iter().map(|v| v.map(|v| v.unsigned_abs() as i64)).collect();
    let decimals = Decimal128Array::from_iter(longs.iter().map(|v| v.map(|v| i128::from(v) * 3_000_000_019)));
    let texts =
        StringArray::from_iter(longs.iter().map(|v| v.map(|v| "가나다abc-".repeat(v as usize % 4) + &v.to_string())));
    let bytes = BinaryArray::from_iter(longs.iter().map(|v| v.map(|v| v.to_be_bytes()[..v as usize % 9].to_vec())));
    let wide = |v: i64| [v.to_be_bytes(), (!v).to_le_bytes()].concat();
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(longs.iter().map(|v| v.map(wide)), 16).unwrap();
    let fixed: ArrayRef = Arc::new(fixed);
    let decimals: ArrayRef = Arc::new(decimals.with_precision_and_scale(38, 2).unwrap());
    for count in ["bucket[1]", "bucket[16]", "bucket[1000003]"] {
        check(count, &PrimitiveType::Int, Arc::clone(&ints));
        check(count, &PrimitiveType::Date, Arc::clone(&dates));
        check(count, &PrimitiveType::Long, Arc::new(Int64Array::from(longs.clone())));
        check(count, &PrimitiveType::Time, Arc::new(Time64MicrosecondArray::from(positive.clone())));
        check(count, &PrimitiveType::Timestamp, Arc::new(TimestampMicrosecondArray::from(longs.clone())));
        // The crate rounds nanoseconds before 1970 towards zero; Java rounds down, as here.
        check(count, &PrimitiveType::TimestampNs, Arc::new(TimestampNanosecondArray::from(positive.clone())));
        check(count, &PrimitiveType::Decimal { precision: 38, scale: 2 }, Arc::clone(&decimals));
        check(count, &PrimitiveType::String, Arc::new(texts.clone()));
        check(count, &PrimitiveType::Binary, Arc::new(bytes.clone()));
        check(count, &PrimitiveType::Fixed(16), Arc::clone(&fixed));
        check(count, &PrimitiveType::Uuid, Arc::clone(&fixed));
    }
}

#[test]
fn hashes_are_those_of_the_specification() {
    let check = |values: ArrayRef, expected: u32| {
        let buckets = apply(&Transform::Bucket(i32::MAX as u32), &values).unwrap();
        let bucket = (expected & 0x7FFF_FFFF) % i32::MAX as u32;
        assert_eq!(buckets.as_primitive::<Int32Type>().value(0), bucket as i32);
    };
    check(Arc::new(Int32Array::from(vec![34])), 2_017_239_379);
    check(Arc::new(Int64Array::from(vec![34])), 2_017_239_379);
    check(Arc::new(StringArray::from(vec!["iceberg"])), 1_210_000_089);
    check(Arc::new(BinaryArray::from(vec![&[0u8, 1, 2, 3][..]])), (-188_683_207i32) as u32);
    let decimal = Decimal128Array::from(vec![1_420]).with_precision_and_scale(9, 2).unwrap();
    check(Arc::new(decimal), (-500_754_589i32) as u32);
    check(Arc::new(Date32Array::from(vec![17_486])), (-653_330_422i32) as u32);
}

#[test]
fn void_is_null() {
    let values: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    assert_eq!(apply(&Transform::Void, &values).unwrap().null_count(), 2);
}

#[test]
fn transforms_refuse_unsupported_types() {
    let check = |transform: Transform, ty: DataType| assert!(result_type(&transform, &ty).is_err(), "{transform} {ty}");
    check(Transform::Hour, DataType::Date32);
    check(Transform::Day, DataType::Utf8);
    check(Transform::Bucket(4), DataType::Float64);
    check(Transform::Truncate(4), DataType::Date32);
    check(Transform::Unknown, DataType::Int32);
}

#[tokio::test]
async fn sql_can_call_the_function() {
    let ctx = SessionContext::new();
    ctx.register_udf(partition_udf());
    let check = async |sql: &str| -> String {
        let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
        arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap()
    };
    assert_eq!(check("SELECT iceberg_partition('day', TIMESTAMP '1969-12-31T23:59:59.5')").await, "1969-12-31");
    assert_eq!(check("SELECT iceberg_partition('truncate[2]', c) FROM (VALUES ('빙산곡')) t(c)").await, "빙산");
    assert!(ctx.sql("SELECT iceberg_partition('fortnight', now())").await.is_err());
    assert!(ctx.sql("SELECT iceberg_partition(c, now()) FROM (VALUES ('day')) t(c)").await.is_err());
}

#[test]
fn shortest_bytes_keep_the_sign() {
    let check = |v: i128, expected: &[u8]| assert_eq!(shortest(v), expected, "{v}");
    check(0, &[0]);
    check(127, &[127]);
    check(128, &[0, 128]);
    check(-1, &[255]);
    check(-128, &[128]);
    check(-129, &[255, 127]);
}

#[test]
fn civil_dates_are_chronos() {
    use chrono::{Datelike, NaiveDate};
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    for day in (-1_000_000..1_000_000).step_by(97) {
        let date = epoch + chrono::Duration::days(day);
        assert_eq!(civil_date(day), (i64::from(date.year()), i64::from(date.month()), i64::from(date.day())));
    }
}

#[test]
fn literals_survive_as_bytes() {
    let check = |ty: PrimitiveType, value: PrimitiveLiteral| {
        let back = Datum::try_from_bytes(&literal_bytes(&value), ty).unwrap();
        assert_eq!(*back.literal(), value);
    };
    check(PrimitiveType::Decimal { precision: 38, scale: 0 }, PrimitiveLiteral::Int128(i128::MIN));
    check(PrimitiveType::Double, PrimitiveLiteral::Double(f64::NAN.into()));
    check(PrimitiveType::Uuid, PrimitiveLiteral::UInt128(u128::MAX - 5));
}
