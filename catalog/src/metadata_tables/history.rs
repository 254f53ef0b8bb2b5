//! `$history`: which snapshot was current when, oldest first. `TIMESTAMP AS OF` uses it.
//!
//! | column | |
//! |---|---|
//! | made_current_at | |
//! | snapshot_id | |
//! | parent_id | the snapshot that it changed; unknown when it has expired |
//! | is_current_ancestor | whether the current snapshot descends from it; false after a rollback |

use std::collections::HashSet;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};

use super::{batch, optional, required};
use crate::bridge::UTC;
use crate::error::Result;
use crate::read::IcebergTable;
use crate::table::history::ancestors;

pub(super) struct Row {
    at_millis: i64,
    snapshot_id: i64,
    parent_id: Option<i64>,
    is_ancestor: bool,
}

pub(super) fn read(table: &IcebergTable) -> Result<RecordBatch> {
    let metadata = table.table().metadata();
    let current: HashSet<i64> = ancestors(metadata).map(|s| s.snapshot_id()).collect();
    let row = |entry: &iceberg::spec::SnapshotLog| Row {
        at_millis: entry.timestamp_ms,
        snapshot_id: entry.snapshot_id,
        parent_id: metadata.snapshot_by_id(entry.snapshot_id).and_then(|s| s.parent_snapshot_id()),
        is_ancestor: current.contains(&entry.snapshot_id),
    };
    rows(&metadata.history().iter().map(row).collect::<Vec<_>>())
}

pub(super) fn rows(of: &[Row]) -> Result<RecordBatch> {
    let times = TimestampMicrosecondArray::from_iter_values(of.iter().map(|r| r.at_millis.saturating_mul(1000)));
    batch(vec![
        required("made_current_at", times.with_timezone(UTC)),
        required("snapshot_id", Int64Array::from_iter_values(of.iter().map(|r| r.snapshot_id))),
        optional("parent_id", Int64Array::from_iter(of.iter().map(|r| r.parent_id))),
        required("is_current_ancestor", BooleanArray::from_iter(of.iter().map(|r| Some(r.is_ancestor)))),
    ])
}
