//! Rows as a table in Markdown (GitHub Flavored Markdown Spec, section 4.10).

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::cells::{cells, in_one_line, is_number};

/// The names of the columns, and their alignment.
pub(super) fn header(schema: &Schema) -> String {
    let names = schema.fields().iter().map(|field| escaped(&in_one_line(field.name())));
    let lines =
        schema.fields().iter().map(|field| if is_number(field.data_type()) { "---:" } else { "---" }.to_owned());
    line(names) + &line(lines)
}

/// A line for each row.
pub(super) fn lines(batch: &RecordBatch) -> Result<String, ArrowError> {
    Ok(cells(batch)?.into_iter().map(|row| line(row.iter().map(|cell| escaped(cell)))).collect())
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn escaped(cell: &str) -> String {
    cell.replace('\\', "\\\\").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn cells_cannot_end_early() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a|b", "two\nlines"]));
        let batch = RecordBatch::try_from_iter([("n|m", ids), ("name", names)]).unwrap();
        assert_eq!(header(&batch.schema()), "| n\\|m | name |\n| ---: | --- |\n");
        assert_eq!(lines(&batch).unwrap(), "| 1 | a\\|b |\n| NULL | two\\\\nlines |\n");
    }
}
