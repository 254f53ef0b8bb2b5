//! Nested values as text, for formats without nesting.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};

/// The batch with its nested columns as JSON text.
///
/// # Errors
/// If a type in a nested column has no form in JSON.
pub fn nested_as_json(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let mut encoder = make_encoder(field, column, &options)?;
        let mut texts = StringBuilder::new();
        for row in 0..column.len() {
            if encoder.is_null(row) {
                texts.append_null();
                continue;
            }
            let mut text = Vec::new();
            encoder.encode(row, &mut text);
            texts.append_value(String::from_utf8(text).map_err(|e| ArrowError::JsonError(e.to_string()))?);
        }
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        columns.push(Arc::new(texts.finish()));
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn nested_columns_are_json_in_csv() {
        let kinds: ArrayRef = Arc::new(StringArray::from(vec![Some("say \"hi\""), None]));
        let device = StructArray::from(vec![(Arc::new(Field::new("type", DataType::Utf8, true)), kinds)]);
        let numbers = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let columns: [(_, ArrayRef); 3] = [("id", ids), ("device", Arc::new(device)), ("n", Arc::new(numbers))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut out = Vec::new();
        arrow::csv::Writer::new(&mut out).write(&nested_as_json(&batch).unwrap()).unwrap();
        let expected =
            "id,device,n\n1,\"{\"\"type\"\":\"\"say \\\"\"hi\\\"\"\"\"}\",\"[1,null]\"\n2,\"{\"\"type\"\":null}\",\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
