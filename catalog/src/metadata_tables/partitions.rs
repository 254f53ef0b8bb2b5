//! `$partitions`: one row per partition of the snapshot; a single row for an unpartitioned table.
//!
//! | column | |
//! |---|---|
//! | partition | `day=2026-02-14/type=view`; NULL for files without partition |
//! | spec_id | the partition spec of its files |
//! | record_count | rows in data files, including those that delete files delete |
//! | file_count | data files |
//! | total_data_file_size_in_bytes | |
//! | position_delete_record_count, position_delete_file_count | |
//! | equality_delete_record_count, equality_delete_file_count | |
//! | last_updated_at, last_updated_snapshot_id | the last snapshot that added one of its present files, if that has not expired |

use std::collections::BTreeMap;

use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::{batch, optional, partition_text, required, signed};
use crate::bridge::UTC;
use crate::error::Result;
use crate::read::IcebergTable;
use crate::table::commit::Tally;

#[derive(Default)]
pub(super) struct Row {
    tally: Tally,
    data_bytes: u64,
    /// Time in milliseconds, and snapshot.
    updated: Option<(i64, i64)>,
}

/// A partition: path and spec.
type Key = (Option<String>, i32);

pub(super) async fn read(table: &IcebergTable) -> Result<RecordBatch> {
    let metadata = table.table().metadata();
    let files = table.all_files().await?;
    let mut partitions: BTreeMap<Key, Row> = BTreeMap::new();
    for (file, is_data) in files.data.iter().map(|f| (f, true)).chain(files.deletes.iter().map(|f| (f, false))) {
        let key = (partition_text(metadata, file.spec_id, file.data_file.partition()), file.spec_id);
        let row = partitions.entry(key).or_default();
        row.tally.add(&file.data_file);
        if is_data {
            row.data_bytes += file.data_file.file_size_in_bytes();
        }
        let added_by = file.snapshot_id.and_then(|id| metadata.snapshot_by_id(id));
        row.updated = row.updated.max(added_by.map(|s| (s.timestamp_ms(), s.snapshot_id())));
    }
    rows(&partitions.into_iter().collect::<Vec<_>>())
}

pub(super) fn rows(of: &[(Key, Row)]) -> Result<RecordBatch> {
    let number = |name: &str, count: fn(&Row) -> u64| {
        required(name, Int64Array::from_iter_values(of.iter().map(|(_, row)| signed(count(row)))))
    };
    let updated = || of.iter().map(|(_, row)| row.updated);
    let times =
        TimestampMicrosecondArray::from_iter(updated().map(|u| u.map(|(millis, _)| millis.saturating_mul(1000))));
    batch(vec![
        optional("partition", StringArray::from_iter(of.iter().map(|((path, _), _)| path.as_deref()))),
        required("spec_id", Int32Array::from_iter_values(of.iter().map(|((_, spec), _)| *spec))),
        number("record_count", |r| r.tally.rows),
        number("file_count", |r| r.tally.files),
        number("total_data_file_size_in_bytes", |r| r.data_bytes),
        number("position_delete_record_count", |r| r.tally.position_deletes),
        number("position_delete_file_count", |r| r.tally.position_delete_files),
        number("equality_delete_record_count", |r| r.tally.equality_deletes),
        number("equality_delete_file_count", |r| r.tally.equality_delete_files),
        optional("last_updated_at", times.with_timezone(UTC)),
        optional("last_updated_snapshot_id", Int64Array::from_iter(updated().map(|u| u.map(|(_, id)| id)))),
    ])
}
