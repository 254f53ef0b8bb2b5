//! Rows as records: a line for each value.

use std::fmt::Write;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use console::measure_text_width;

use super::cells::{cells, in_one_line};

/// The rows of a batch, numbered from `before` + 1.
pub(super) fn records(batch: &RecordBatch, before: u64) -> Result<String, ArrowError> {
    let names: Vec<String> = batch.schema().fields().iter().map(|field| in_one_line(field.name())).collect();
    let width = names.iter().map(|name| measure_text_width(name)).max().unwrap_or(0);
    let mut text = String::new();
    for (number, row) in (before + 1..).zip(cells(batch)?) {
        let title = format!("-[ {number} ]");
        let _infallible = writeln!(text, "{title:-<0$}", width + 2);
        for (name, value) in names.iter().zip(row) {
            let gap = " ".repeat(width - measure_text_width(name));
            let _infallible = writeln!(text, "{name}{gap} | {value}");
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn each_value_has_a_line() {
        let numbers = |values: [i64; 2]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("a", numbers([1, 2])), ("상품 이름", numbers([3, 4]))]).unwrap();
        let text = "-[ 8 ]-----\na         | 1\n상품 이름 | 3\n-[ 9 ]-----\na         | 2\n상품 이름 | 4\n";
        assert_eq!(records(&batch, 7).unwrap(), text);
    }
}
