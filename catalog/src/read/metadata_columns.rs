//! Metadata columns: the file that a row is in, and its position in the file. A table offers them, after its own
//! columns, only on request: `SELECT *` selects the table's own columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use bergmill_statement::{
    FILE_COLUMN, MODIFIED_COLUMN, PARTITION_COLUMN, PATH_COLUMN, POSITION_COLUMN, SNAPSHOT_COLUMN,
};
use datafusion::common::ScalarValue;
use iceberg::spec::TableMetadata;

use crate::bridge::UTC;
use crate::table::live_file::LiveFile;
use crate::table::partition_value::partition_text;

/// The columns that are constant within a file, in the order of [`file_values`].
pub(super) fn file_fields() -> Vec<FieldRef> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    vec![
        Arc::new(Field::new(PATH_COLUMN, DataType::Utf8, false)),
        Arc::new(Field::new(PARTITION_COLUMN, DataType::Utf8, true)),
        Arc::new(Field::new(MODIFIED_COLUMN, time, true)),
        Arc::new(Field::new(FILE_COLUMN, DataType::Int32, false)),
        Arc::new(Field::new(SNAPSHOT_COLUMN, DataType::Int64, true)),
    ]
}

/// The column with the position of a row in its file.
pub(super) fn position_field() -> FieldRef {
    Arc::new(Field::new(POSITION_COLUMN, DataType::Int64, false))
}

/// The values of [`file_fields`] for the `number`th file of a snapshot.
pub(super) fn file_values(number: usize, file: &LiveFile, metadata: &TableMetadata) -> Vec<ScalarValue> {
    let added_by = file.snapshot_id.and_then(|id| metadata.snapshot_by_id(id));
    let committed = added_by.map(|s| s.timestamp_ms().saturating_mul(1000));
    vec![
        ScalarValue::Utf8(Some(file.data_file.file_path().to_string())),
        ScalarValue::Utf8(partition_text(metadata, file.spec_id, file.data_file.partition())),
        ScalarValue::TimestampMicrosecond(committed, Some(UTC.into())),
        ScalarValue::Int32(Some(i32::try_from(number).unwrap_or(i32::MAX))),
        ScalarValue::Int64(file.snapshot_id),
    ]
}
