//! `$refs`: one row per branch or tag, in the order of their names.
//!
//! | column | |
//! |---|---|
//! | name | |
//! | type | `BRANCH` or `TAG` |
//! | snapshot_id | the snapshot that it refers to |
//! | max_reference_age_in_ms | the age at which maintenance drops the name; NULL if the table's properties decide |
//! | min_snapshots_to_keep | of a branch, likewise: how many of its snapshots are always kept |
//! | max_snapshot_age_in_ms | of a branch, likewise: the age up to which its snapshots are kept |

use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray};
use iceberg::spec::{SnapshotReference, SnapshotRetention};

use super::{batch, optional, required};
use crate::error::Result;
use crate::read::IcebergTable;
use crate::table::references::References;

pub(super) fn read(table: &IcebergTable) -> Result<RecordBatch> {
    let references = References::of(table.table().metadata())?;
    rows(&references.iter().collect::<Vec<_>>())
}

pub(super) fn rows(of: &[(&str, &SnapshotReference)]) -> Result<RecordBatch> {
    let kind = |r: &SnapshotReference| if r.is_branch() { "BRANCH" } else { "TAG" };
    // Age of the name, number of snapshots, age of snapshots.
    let kept = |r: &SnapshotReference| match &r.retention {
        SnapshotRetention::Branch { min_snapshots_to_keep, max_snapshot_age_ms, max_ref_age_ms } => {
            (*max_ref_age_ms, *min_snapshots_to_keep, *max_snapshot_age_ms)
        }
        SnapshotRetention::Tag { max_ref_age_ms } => (*max_ref_age_ms, None, None),
    };
    batch(vec![
        required("name", StringArray::from_iter_values(of.iter().map(|(name, _)| name))),
        required("type", StringArray::from_iter_values(of.iter().map(|(_, r)| kind(r)))),
        required("snapshot_id", Int64Array::from_iter_values(of.iter().map(|(_, r)| r.snapshot_id))),
        optional("max_reference_age_in_ms", Int64Array::from_iter(of.iter().map(|(_, r)| kept(r).0))),
        optional("min_snapshots_to_keep", Int32Array::from_iter(of.iter().map(|(_, r)| kept(r).1))),
        optional("max_snapshot_age_in_ms", Int64Array::from_iter(of.iter().map(|(_, r)| kept(r).2))),
    ])
}
