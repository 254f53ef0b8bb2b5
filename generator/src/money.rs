//! Prices: Decimal128(10, 2), in won. The shop's own prices are whole.

use arrow::array::{ArrayRef, Decimal128Array, NullBufferBuilder};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;
use std::sync::Arc;

const PRECISION: u8 = 10;
const SCALE: i8 = 2;
const HUNDREDTHS: i128 = 100;

pub(crate) const TYPE: DataType = DataType::Decimal128(PRECISION, SCALE);

/// A column of whole won or nulls.
pub(crate) fn won_column(prices: impl ExactSizeIterator<Item = Option<i32>>) -> ArrayRef {
    let mut nulls = NullBufferBuilder::new(prices.len());
    let hundredths = prices.map(|price| {
        nulls.append(price.is_some());
        i128::from(price.unwrap_or(0)) * HUNDREDTHS
    });
    let values = ScalarBuffer::from(hundredths.collect::<Vec<i128>>());
    let column = Decimal128Array::new(values, nulls.finish()).with_precision_and_scale(PRECISION, SCALE);
    Arc::new(column.expect("a precision and scale that decimals have"))
}
