//! Live files: the files of a snapshot, with what a reader needs to know about them.

use std::sync::Arc;

use iceberg::spec::{DataFile, Manifest, ManifestFile};

use crate::error::{Error, ErrorKind, Result};

/// A data or delete file that is part of a snapshot.
#[derive(Debug, Clone)]
pub struct LiveFile {
    /// The entry in its manifest: path, counts, bounds, partition.
    pub data_file: DataFile,
    /// The partition spec of `data_file.partition()`.
    pub spec_id: i32,
    /// The table's schema when the file's manifest was written.
    pub schema_id: i32,
    /// Data sequence number, which decides which deletes apply. Rewriting a manifest, or the file itself, keeps it.
    pub sequence_number: i64,
    /// The snapshot that added the file, if the manifest records it.
    pub snapshot_id: Option<i64>,
    /// The manifest that lists it.
    pub manifest_path: Arc<str>,
}

/// The live files that a manifest lists.
pub(crate) fn live_files(file: &ManifestFile, manifest: Manifest) -> Result<Vec<Arc<LiveFile>>> {
    let manifest_path: Arc<str> = file.manifest_path.as_str().into();
    let (entries, metadata) = manifest.into_parts();
    let schema_id = metadata.schema_id();
    entries
        .into_iter()
        .filter(|e| e.is_alive())
        .map(|entry| {
            let Some(sequence_number) = entry.sequence_number() else {
                let message = format!("{manifest_path}: no sequence number for file {}", entry.file_path());
                return Err(Error::new(ErrorKind::Corrupt, message));
            };
            let entry = Arc::unwrap_or_clone(entry);
            Ok(Arc::new(LiveFile {
                spec_id: file.partition_spec_id,
                schema_id,
                sequence_number,
                snapshot_id: entry.snapshot_id,
                manifest_path: manifest_path.clone(),
                data_file: entry.data_file,
            }))
        })
        .collect()
}
