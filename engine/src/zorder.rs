//! `zorder`: the position of a row on the Z-order curve of several columns.
//!
//! Rows that are sorted by it are clustered by each of the columns, so that a filter on any of them skips files, row
//! groups and pages. The curve is due to G. M. Morton, "A Computer Oriented Geodetic Data Base and a New Technique in
//! File Sequencing", IBM, 1966. Values become eight bytes that compare as the values do, and the bits of all columns
//! are interleaved, as in Iceberg's `ZOrderByteUtils`, by which Spark's `rewrite_data_files` sorts.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, UInt64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// The bit that decides first, which in a signed integer is the sign.
const FIRST_BIT: u64 = 1 << (u64::BITS - 1);

/// The function `zorder(column, ...)`, which returns eight bytes for each column.
///
/// Numbers, dates and times take part with 64 bits, text and binary values with their first eight bytes. NULL counts as
/// the smallest value.
pub(crate) fn zorder_udf() -> ScalarUDF {
    ScalarUDF::from(ZOrder { signature: Signature::new(TypeSignature::VariadicAny, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ZOrder {
    signature: Signature,
}

impl ScalarUDFImpl for ZOrder {
    fn name(&self) -> &'static str {
        "zorder"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.iter().position(|ty| comparable(ty).is_none()) {
            None => Ok(DataType::Binary),
            Some(n) => plan_err!(
                "argument {} of zorder has the type {}; it takes numbers, booleans, text, binary values, dates and times",
                n + 1,
                arguments[n]
            ),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let columns = ColumnarValue::values_to_arrays(&arguments.args)?;
        let columns = columns.iter().map(ordered).collect::<Result<Vec<_>>>()?;
        let rows = if is_constant { 1 } else { arguments.number_rows };
        let mut keys = BinaryBuilder::with_capacity(rows, rows * columns.len() * size_of::<u64>());
        let (mut values, mut key) = (vec![0; columns.len()], vec![0; columns.len() * size_of::<u64>()]);
        for row in 0..rows {
            values.iter_mut().zip(&columns).for_each(|(value, column)| *value = column[row]);
            interleave(&values, &mut key);
            keys.append_value(&key);
        }
        let keys: ArrayRef = Arc::new(keys.finish());
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&keys, 0)?),
            false => ColumnarValue::Array(keys),
        })
    }
}

/// The type to which values of `ty` are cast before their bits are taken; `None` if they have no order on the curve.
fn comparable(ty: &DataType) -> Option<DataType> {
    Some(match ty {
        DataType::Null
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::Date32
        | DataType::Date64 => DataType::Int64,
        DataType::UInt64 => DataType::UInt64,
        // As Iceberg stores them, whatever the unit of an expression.
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => DataType::Float64,
        DataType::Boolean => DataType::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, values) => return comparable(values),
        _ => return None,
    })
}

/// The values as unsigned integers that compare as the values do.
fn ordered(column: &ArrayRef) -> Result<Vec<u64>> {
    let Some(ty) = comparable(column.data_type()) else {
        return plan_err!("zorder of the type {}", column.data_type());
    };
    let column = cast(column, &ty)?;
    let signed = |value: i64| value.cast_unsigned() ^ FIRST_BIT;
    Ok(match ty {
        DataType::UInt64 => {
            // On the scale of the other integers; those beyond it share its end.
            let on_scale = |value: u64| value.min(i64::MAX.cast_unsigned()) | FIRST_BIT;
            column.as_primitive::<UInt64Type>().iter().map(|v| v.map_or(0, on_scale)).collect()
        }
        DataType::Float64 => {
            let column = column.as_primitive::<Float64Type>();
            column.iter().map(|v| v.map_or(0, ordered_float)).collect()
        }
        DataType::Boolean => column.as_boolean().iter().map(|v| if v == Some(true) { FIRST_BIT } else { 0 }).collect(),
        DataType::Utf8 => {
            column.as_string::<i32>().iter().map(|v| v.map_or(0, |text| first_bytes(text.as_bytes()))).collect()
        }
        DataType::Binary => column.as_binary::<i32>().iter().map(|v| v.map_or(0, first_bytes)).collect(),
        _ => {
            let column = cast(&column, &DataType::Int64)?;
            column.as_primitive::<Int64Type>().iter().map(|v| v.map_or(0, signed)).collect()
        }
    })
}

/// The bits of a negative number are turned, because its magnitude grows as the number falls. NaN comes last.
fn ordered_float(value: f64) -> u64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() & !FIRST_BIT } else { value.to_bits() };
    if bits & FIRST_BIT == 0 { bits | FIRST_BIT } else { !bits }
}

fn first_bytes(value: &[u8]) -> u64 {
    let mut first = [0; size_of::<u64>()];
    let length = value.len().min(first.len());
    first[..length].copy_from_slice(&value[..length]);
    u64::from_be_bytes(first)
}

/// The first bit of each value, then the second of each, and so on.
fn interleave(values: &[u64], key: &mut [u8]) {
    let mut bits = (0..u64::BITS).rev().flat_map(|bit| values.iter().map(move |value| (value >> bit) as u8 & 1));
    for byte in key {
        *byte = bits.by_ref().take(8).fold(0, |byte, bit| byte << 1 | bit);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray, StringViewArray,
        TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
    };
    use datafusion::arrow::datatypes::Field;
    use datafusion::config::ConfigOptions;

    use super::*;

    fn zorder(columns: &[ArrayRef]) -> Vec<Vec<u8>> {
        let field = |column: &ArrayRef| Arc::new(Field::new("c", column.data_type().clone(), true));
        let rows = columns[0].len();
        let arguments = ScalarFunctionArgs {
            args: columns.iter().map(|column| ColumnarValue::Array(Arc::clone(column))).collect(),
            arg_fields: columns.iter().map(field).collect(),
            number_rows: rows,
            return_field: Arc::new(Field::new("z", DataType::Binary, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let keys = zorder_udf().invoke_with_args(arguments).unwrap().into_array(rows).unwrap();
        keys.as_binary::<i32>().iter().map(|key| key.unwrap().to_vec()).collect()
    }

    /// Values in ascending order, of which the last `equal` have the same position.
    fn check_ascending(values: impl Array + 'static, equal: usize) {
        let keys = zorder(&[Arc::new(values)]);
        let strict = keys.len() - equal;
        assert!(keys[..=strict.min(keys.len() - 1)].is_sorted_by(|a, b| a < b), "{keys:?}");
        assert!(keys[strict..].windows(2).all(|pair| pair[0] == pair[1]), "{keys:?}");
        assert!(keys.iter().all(|key| key.len() == 8));
    }

    #[test]
    fn positions_by_one_column_compare_as_its_values() {
        check_ascending(Int32Array::from(vec![Some(i32::MIN), Some(-1), Some(0), Some(1), Some(i32::MAX)]), 0);
        check_ascending(Int64Array::from(vec![None, Some(i64::MIN + 1), Some(-7), Some(0), Some(i64::MAX)]), 0);
        check_ascending(UInt64Array::from(vec![None, Some(0), Some(9), Some(u64::MAX / 2), Some(u64::MAX)]), 2);
        let floats = [f64::NEG_INFINITY, -1.5, -1e-300, 0.0, 1e-300, 1.0, 1.5, f64::INFINITY, f64::NAN, -f64::NAN];
        check_ascending(Float64Array::from(floats.to_vec()), 2);
        check_ascending(Decimal128Array::from(vec![None, Some(-200), Some(-1), Some(0), Some(12)]), 0);
        check_ascending(StringArray::from(vec![None, Some("a"), Some("aa"), Some("b"), Some("é"), Some("가")]), 0);
        check_ascending(StringViewArray::from(vec!["pd_00001", "pd_00002", "pd_000020", "pd_000021"]), 3);
        check_ascending(StringArray::from(vec![None, Some("")]), 2);
        check_ascending(BooleanArray::from(vec![None, Some(true)]), 0);
        check_ascending(Date32Array::from(vec![None, Some(-1), Some(0), Some(20_000)]), 0);
        check_ascending(
            TimestampMicrosecondArray::from(vec![None, Some(-1), Some(0), Some(1)]).with_timezone("UTC"),
            0,
        );
    }

    #[test]
    fn the_unit_of_an_expression_does_not_matter() {
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_771_027_200_000_000]));
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_771_027_200_000_000_000]));
        let numbers: [ArrayRef; 2] = [Arc::new(Int32Array::from(vec![5])), Arc::new(UInt64Array::from(vec![5]))];
        assert_eq!(zorder(&[micros]), zorder(&[nanos]));
        assert_eq!(zorder(&numbers[..1]), zorder(&numbers[1..]));
    }

    #[test]
    fn bits_are_interleaved_from_the_first_of_each() {
        let mut key = [0; 16];
        interleave(&[u64::MAX, 0], &mut key);
        assert_eq!(key, [0b1010_1010; 16]);
        interleave(&[1, 3], &mut key);
        assert_eq!(key[..15], [0; 15]);
        assert_eq!(key[15], 0b0111);
        let mut key = [0; 24];
        interleave(&[FIRST_BIT, 0, FIRST_BIT >> 1], &mut key);
        assert_eq!((key[0], &key[1..]), (0b1000_0100, &[0; 23][..]));
    }

    #[test]
    fn a_position_grows_with_each_column() {
        let mut seed = 7_u64;
        let mut random = || {
            // Knuth's MMIX generator; its high bits are good enough here, and shifts give values of all magnitudes.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) as i64 - (1 << 30)) >> (seed >> 59)
        };
        for columns in 1..=4 {
            for _ in 0..2000 {
                let low: Vec<i64> = (0..columns).map(|_| random()).collect();
                let mut high = low.clone();
                high.iter_mut().for_each(|value| *value += random().abs());
                let both: Vec<ArrayRef> = low
                    .iter()
                    .zip(&high)
                    .map(|(low, high)| Arc::new(Int64Array::from(vec![*low, *high])) as ArrayRef)
                    .collect();
                let keys = zorder(&both);
                assert_eq!(keys[0].cmp(&keys[1]), low.cmp(&high), "{low:?} {high:?}");
            }
        }
    }

    #[test]
    fn types_without_an_order_are_refused() {
        let list = DataType::new_list(DataType::Int32, true);
        let e = zorder_udf().return_type(&[DataType::Utf8, list]).unwrap_err().to_string();
        assert!(e.contains("argument 2 of zorder has the type List"), "{e}");
    }
}
