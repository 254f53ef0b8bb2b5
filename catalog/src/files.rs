//! The files that make up a snapshot: what its manifests say is alive, with what a reader must know of each file.
//!
//! Manifests are immutable and are read side by side, a bounded number at a time. Nothing is pruned here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use iceberg::io::FileIO;
use iceberg::spec::{DataFile, Manifest, ManifestContentType, ManifestFile, SnapshotRef};
use iceberg::table::Table;

use crate::error::{Error, ErrorKind, Result};

/// How many manifests are fetched and decoded at a time.
const MANIFESTS_IN_FLIGHT: usize = 16;

/// How many files of snapshots are remembered in all. One with statistics of a dozen columns takes about 4 KiB.
const KEPT_FILES: usize = 20_000;

/// All live files of one snapshot, in the order of the manifest list.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFiles {
    /// Files of rows.
    pub data: Vec<Arc<LiveFile>>,
    /// Files that take rows away: position deletes, equality deletes, deletion vectors.
    pub deletes: Vec<Arc<LiveFile>>,
}

/// A data or delete file that is part of a snapshot.
#[derive(Debug, Clone)]
pub struct LiveFile {
    /// What its manifest says of it: path, counts, bounds, partition.
    pub data_file: DataFile,
    /// The partition spec that gives `data_file.partition()` its meaning.
    pub spec_id: i32,
    /// The table's schema when the file's manifest was written.
    pub schema_id: i32,
    /// Data sequence number: which deletes apply. Rewriting a manifest, or the file itself, keeps it.
    pub sequence_number: i64,
    /// The snapshot that added the file, when the manifest still says it.
    pub snapshot_id: Option<i64>,
    /// The manifest that lists it.
    pub manifest_path: Arc<str>,
}

impl SnapshotFiles {
    /// Reads the manifests of `snapshot`.
    pub async fn load(table: &Table, snapshot: &SnapshotRef) -> Result<Self> {
        let manifests = manifest_list(table, snapshot).await?;
        let mut files = Self::default();
        for (file, manifest) in load_manifests(table.file_io(), manifests).await? {
            let alive = live_files(&file, manifest)?;
            match file.content {
                ManifestContentType::Data => files.data.extend(alive),
                ManifestContentType::Deletes => files.deletes.extend(alive),
            }
        }
        Ok(files)
    }
}

/// The files of snapshots that were read before, by manifest list, which never changes once written. Those read last are
/// kept.
#[derive(Debug, Default)]
pub(crate) struct SeenFiles(Mutex<VecDeque<(String, Arc<SnapshotFiles>)>>);

impl SeenFiles {
    /// The files of `snapshot`, read from its manifests at most once while they are remembered.
    pub(crate) async fn load(&self, table: &Table, snapshot: &SnapshotRef) -> Result<Arc<SnapshotFiles>> {
        let list = snapshot.manifest_list();
        if let Some(seen) = self.take(list) {
            self.put(list, &seen);
            return Ok(seen);
        }
        let files = Arc::new(SnapshotFiles::load(table, snapshot).await?);
        self.put(list, &files);
        Ok(files)
    }

    fn take(&self, list: &str) -> Option<Arc<SnapshotFiles>> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = seen.iter().position(|(known, _)| known == list)?;
        seen.remove(at).map(|(_, files)| files)
    }

    fn put(&self, list: &str, files: &Arc<SnapshotFiles>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|(known, _)| known != list);
        seen.push_back((list.to_string(), Arc::clone(files)));
        let mut kept: usize = seen.iter().map(|(_, files)| files.data.len() + files.deletes.len()).sum();
        while kept > KEPT_FILES
            && let Some((_, oldest)) = seen.pop_front()
        {
            kept -= oldest.data.len() + oldest.deletes.len();
        }
    }
}

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

/// The manifests of a snapshot.
pub(crate) async fn manifest_list(table: &Table, snapshot: &SnapshotRef) -> Result<Vec<ManifestFile>> {
    let list = table.manifest_list_reader(snapshot).load().await.map_err(|e| {
        Error::from(e).context(format!("reading manifest list {} of {}", snapshot.manifest_list(), table.identifier()))
    })?;
    Ok(list.consume_entries().into_iter().collect())
}

/// Reads and decodes manifests on the runtime's threads, in the given order.
pub(crate) async fn load_manifests(
    file_io: &FileIO,
    manifests: Vec<ManifestFile>,
) -> Result<Vec<(ManifestFile, Manifest)>> {
    let read = |file: ManifestFile| {
        let io = file_io.clone();
        async move {
            let task = tokio::spawn(async move { (file.load_manifest(&io).await, file) });
            let (manifest, file) = task
                .await
                .map_err(|e| Error::new(ErrorKind::Internal, "a task that reads manifests died").with_source(e))?;
            let manifest = manifest
                .map_err(|e| Error::from(e).context(format_args!("reading manifest {}", file.manifest_path)))?;
            Ok((file, manifest))
        }
    };
    futures::stream::iter(manifests).map(read).buffered(MANIFESTS_IN_FLIGHT).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshots_read_last_are_remembered() {
        let seen = SeenFiles::default();
        let of = |n: usize| Arc::new(SnapshotFiles { data: vec![file(); n], deletes: vec![] });
        for (list, files) in [("a", 9_000), ("b", 9_000), ("a", 9_000), ("c", 9_000)] {
            let known = seen.take(list);
            seen.put(list, &known.unwrap_or_else(|| of(files)));
        }
        assert!(seen.take("b").is_none(), "a was read after b");
        assert_eq!(seen.take("a").unwrap().data.len(), 9_000);
        assert!(seen.take("c").is_some());
        seen.put("large", &of(KEPT_FILES + 1));
        assert!(seen.take("large").is_none(), "what does not fit is not kept");
    }

    fn file() -> Arc<LiveFile> {
        let data_file = iceberg::spec::DataFileBuilder::default()
            .content(iceberg::spec::DataContentType::Data)
            .file_path("f".to_string())
            .file_format(iceberg::spec::DataFileFormat::Parquet)
            .record_count(1)
            .file_size_in_bytes(1)
            .partition(iceberg::spec::Struct::empty())
            .partition_spec_id(0)
            .build()
            .unwrap();
        let manifest_path = "m".into();
        Arc::new(LiveFile { data_file, spec_id: 0, schema_id: 0, sequence_number: 1, snapshot_id: None, manifest_path })
    }
}
