//! Generated rows for tables whose files are in no package, with the declared columns. The values do not matter,
//! because DataFusion uses the same ones. There are no nulls, as in those files.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

const ROWS: u64 = 100;

/// The same rows for the same columns, always.
///
/// # Errors
/// When a column has a type that cannot be generated.
pub fn made_rows(schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |(index, field): (usize, &Arc<arrow::datatypes::Field>)| -> Result<ArrayRef, ArrowError> {
        let text = |row| Some(text(field.data_type(), index, mixed(row + ROWS * index as u64)));
        let texts: ArrayRef = Arc::new((0..ROWS).map(text).collect::<StringArray>());
        cast(&texts, field.data_type())
    };
    let columns = schema.fields().iter().enumerate().map(column).collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// A value of the type as text. Texts of a first column repeat, so that there is something to group by.
fn text(ty: &DataType, index: usize, number: u64) -> String {
    let signed = |bits: u32| ((number >> (64 - bits)) as i64 - (1 << (bits - 1))).to_string();
    match ty {
        DataType::Int8 if index == 1 => (number % 5 + 1).to_string(),
        DataType::Int8 => signed(8),
        DataType::Int16 => signed(16),
        DataType::Int32 => signed(32),
        DataType::Int64 => signed(48),
        DataType::UInt8 => (number % (1 << 8)).to_string(),
        DataType::UInt16 => (number % (1 << 16)).to_string(),
        DataType::UInt32 => (number % (1 << 32)).to_string(),
        DataType::UInt64 => (number % (1 << 48)).to_string(),
        DataType::Float32 | DataType::Float64 => format!("0.{:06}", number % 1_000_000),
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            let digits = u32::from(*precision).min(18);
            let whole = digits.saturating_sub(u32::from(scale.unsigned_abs()));
            format!("{}.{}", number % 10_u64.pow(whole).max(1), number % 10)
        }
        DataType::Boolean => number.is_multiple_of(2).to_string(),
        DataType::Date32 | DataType::Timestamp(_, _) => {
            format!("20{:02}-{:02}-{:02}", number % 30, number % 12 + 1, number % 28 + 1)
        }
        _ if index == 0 => ["a", "b", "c", "d", "e"][(number % 5) as usize].to_string(),
        _ => format!("{number:x}"),
    }
}

/// Pseudorandom numbers: splitmix64.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
