//! Builds a string column directly as Arrow offsets and bytes, without a `String` per row.

use arrow::array::{ArrayRef, NullBufferBuilder, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use std::sync::Arc;

/// A string column under construction, row by row.
pub(crate) struct TextColumn {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl TextColumn {
    /// Reserves space for `rows` texts of `width` bytes on average.
    pub(crate) fn new(rows: usize, width: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::with_capacity(rows * width), nulls: NullBufferBuilder::new(rows) }
    }

    /// Appends a whole row.
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.append(text);
        self.end_row();
    }

    /// Appends a part of a row; [`end_row`](Self::end_row) ends it.
    pub(crate) fn append(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// Whether the current row is still empty.
    pub(crate) fn row_is_empty(&self) -> bool {
        self.offsets.last() == Some(&(self.bytes.len() as i32))
    }

    pub(crate) fn end_row(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
        self.nulls.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
        self.nulls.append_null();
    }

    pub(crate) fn push_option(&mut self, text: Option<&[u8]>) {
        match text {
            Some(text) => self.push(text),
            None => self.push_null(),
        }
    }

    /// Arrow validates offsets and UTF-8 again here; this costs little and avoids `unsafe`.
    pub(crate) fn finish(mut self) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Arc::new(StringArray::new(offsets, Buffer::from_vec(self.bytes), self.nulls.finish()))
    }
}

/// A column of one text per item.
pub(crate) fn texts<T: AsRef<[u8]>>(width: usize, rows: impl ExactSizeIterator<Item = T>) -> ArrayRef {
    let mut column = TextColumn::new(rows.len(), width);
    for text in rows {
        column.push(text.as_ref());
    }
    column.finish()
}

/// A column of one text or null per item.
pub(crate) fn optional_texts<T: AsRef<[u8]>>(width: usize, rows: impl ExactSizeIterator<Item = Option<T>>) -> ArrayRef {
    let mut column = TextColumn::new(rows.len(), width);
    for text in rows {
        column.push_option(text.as_ref().map(AsRef::as_ref));
    }
    column.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;

    #[test]
    fn parts_rows_and_nulls() {
        let mut column = TextColumn::new(3, 4);
        assert!(column.row_is_empty());
        column.append("배송".as_bytes());
        assert!(!column.row_is_empty());
        column.append(b" ok");
        column.end_row();
        column.push_null();
        column.push(b"");
        let array = column.finish();
        let rows: Vec<Option<&str>> = array.as_string::<i32>().iter().collect();
        assert_eq!(rows, [Some("배송 ok"), None, Some("")]);
    }
}
