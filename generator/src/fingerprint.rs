//! A hash of the rows of a batch, to detect that another machine or version generates different rows.
//!
//! It reads values, not buffers: bytes under a null or after the last row do not count, and neither does the display
//! format of an arrow version.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, TimestampMicrosecondType};

pub(crate) fn fingerprint(batch: &RecordBatch) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for column in batch.columns() {
        for row in 0..batch.num_rows() {
            hash.value(column.as_ref(), row);
        }
    }
    hash.0
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn value(&mut self, array: &dyn Array, row: usize) {
        if array.is_null(row) {
            return self.bytes(&[0xff]);
        }
        match array.data_type() {
            DataType::Utf8 => {
                self.bytes(array.as_string::<i32>().value(row).as_bytes());
                self.bytes(&[0xfe]);
            }
            DataType::Int32 => self.bytes(&array.as_primitive::<Int32Type>().value(row).to_le_bytes()),
            DataType::Decimal128(..) => self.bytes(&array.as_primitive::<Decimal128Type>().value(row).to_le_bytes()),
            DataType::Timestamp(..) => {
                self.bytes(&array.as_primitive::<TimestampMicrosecondType>().value(row).to_le_bytes());
            }
            DataType::Struct(_) => {
                array.as_struct().columns().iter().for_each(|column| self.value(column.as_ref(), row));
            }
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                (0..items.len()).for_each(|item| self.value(items.as_ref(), item));
                self.bytes(&[0xfd]);
            }
            other => unimplemented!("the shop has no column of {other}"),
        }
    }
}
