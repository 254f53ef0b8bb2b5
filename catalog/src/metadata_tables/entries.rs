//! `$entries`: one row per entry of the snapshot's manifests, including files that it removed.
//!
//! | column | |
//! |---|---|
//! | status | 0 existing, 1 added, 2 deleted |
//! | snapshot_id | the snapshot that added the file, or deleted it |
//! | sequence_number | the file's position in the order of changes, which decides which deletes apply to it |
//! | file_sequence_number | the sequence number with which the file was added to the table |
//! | data_file | a struct with the columns of `$files` |

use arrow::array::{Int32Array, Int64Array, RecordBatch, StructArray};
use iceberg::spec::{DataFile, ManifestEntryRef, ManifestStatus, TableMetadata};

use super::{batch, files, optional, required};
use crate::error::Result;
use crate::read::IcebergTable;
use crate::table::files::{load_manifests, manifest_list};

pub(super) async fn read(table: &IcebergTable) -> Result<RecordBatch> {
    let Some(snapshot) = table.snapshot() else { return rows(table.table().metadata(), &[]) };
    let manifests = manifest_list(table.table(), snapshot).await?;
    let manifests = load_manifests(table.table().file_io(), manifests).await?;
    let entries: Vec<(i32, ManifestEntryRef)> = manifests
        .iter()
        .flat_map(|(file, manifest)| manifest.entries().iter().map(|e| (file.partition_spec_id, e.clone())))
        .collect();
    rows(table.table().metadata(), &entries)
}

/// Entries, each with the id of its file's partition spec.
pub(super) fn rows(metadata: &TableMetadata, of: &[(i32, ManifestEntryRef)]) -> Result<RecordBatch> {
    let status = |e: &ManifestEntryRef| match e.status() {
        ManifestStatus::Existing => 0,
        ManifestStatus::Added => 1,
        ManifestStatus::Deleted => 2,
    };
    let files: Vec<(i32, &DataFile)> = of.iter().map(|(spec, entry)| (*spec, entry.data_file())).collect();
    batch(vec![
        required("status", Int32Array::from_iter_values(of.iter().map(|(_, e)| status(e)))),
        optional("snapshot_id", Int64Array::from_iter(of.iter().map(|(_, e)| e.snapshot_id()))),
        optional("sequence_number", Int64Array::from_iter(of.iter().map(|(_, e)| e.sequence_number()))),
        optional("file_sequence_number", Int64Array::from_iter(of.iter().map(|(_, e)| e.file_sequence_number))),
        required("data_file", StructArray::from(files::rows(metadata, &files)?)),
    ])
}
