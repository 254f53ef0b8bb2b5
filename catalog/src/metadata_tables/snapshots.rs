//! `$snapshots`: one row per snapshot of any branch, oldest first.
//!
//! | column | |
//! |---|---|
//! | snapshot_id | |
//! | parent_id | the snapshot that it changed |
//! | committed_at | |
//! | operation | `append`, `overwrite`, `delete` or `replace` (the same rows in other files) |
//! | summary | the writer's summary, as a JSON object |
//! | manifest_list | the file that lists its manifests |

use std::collections::BTreeMap;

use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use iceberg::spec::SnapshotRef;

use super::{batch, internal, optional, required};
use crate::bridge::UTC;
use crate::error::Result;
use crate::read::IcebergTable;

pub(super) fn read(table: &IcebergTable) -> Result<RecordBatch> {
    let mut all: Vec<&SnapshotRef> = table.table().metadata().snapshots().collect();
    all.sort_by_key(|s| s.sequence_number());
    rows(&all)
}

pub(super) fn rows(of: &[&SnapshotRef]) -> Result<RecordBatch> {
    let summary = |s: &&SnapshotRef| {
        let sorted: BTreeMap<_, _> = s.summary().additional_properties.iter().collect();
        serde_json::to_string(&sorted).map_err(internal)
    };
    let summaries = of.iter().map(summary).collect::<Result<Vec<_>>>()?;
    let times = TimestampMicrosecondArray::from_iter_values(of.iter().map(|s| s.timestamp_ms().saturating_mul(1000)));
    batch(vec![
        required("snapshot_id", Int64Array::from_iter_values(of.iter().map(|s| s.snapshot_id()))),
        optional("parent_id", Int64Array::from_iter(of.iter().map(|s| s.parent_snapshot_id()))),
        required("committed_at", times.with_timezone(UTC)),
        required("operation", StringArray::from_iter_values(of.iter().map(|s| s.summary().operation.as_str()))),
        required("summary", StringArray::from_iter_values(summaries)),
        required("manifest_list", StringArray::from_iter_values(of.iter().map(|s| s.manifest_list()))),
    ])
}
