//! The files that make up a snapshot: what its manifests say is alive, with what a reader must know of each file.
//!
//! Manifests are immutable and are read side by side, a bounded number at a time, and once while they are remembered. Nothing is
//! pruned here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt};
use iceberg::io::FileIO;
use iceberg::spec::{DataFile, Manifest, ManifestContentType, ManifestFile, SnapshotRef};
use iceberg::table::Table;

use crate::error::{Error, ErrorKind, Result};
use crate::table::recent::Recent;

/// How many manifests are fetched and decoded at a time.
const MANIFESTS_IN_FLIGHT: usize = 16;

/// How many files of manifests are remembered in all. One with statistics of a dozen columns takes about 4 KiB.
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
        Ok(Arc::unwrap_or_clone(StatementFiles::default().load(table, snapshot).await?))
    }
}

/// The live files that a manifest lists.
pub(crate) type Listed = Arc<Vec<Arc<LiveFile>>>;

/// Manifest lists and the files of manifests that were read before. Neither changes once it is written; those read last are kept.
#[derive(Debug)]
pub(crate) struct SeenFiles {
    lists: Mutex<Recent<Arc<Vec<ManifestFile>>>>,
    manifests: Mutex<Recent<Listed>>,
}

impl Default for SeenFiles {
    fn default() -> Self {
        Self { lists: Mutex::new(Recent::new(KEPT_FILES)), manifests: Mutex::new(Recent::new(KEPT_FILES)) }
    }
}

impl SeenFiles {
    /// The manifests of `snapshot` that may list live files. The others say what the snapshot has deleted.
    async fn manifests(&self, table: &Table, snapshot: &SnapshotRef) -> Result<Arc<Vec<ManifestFile>>> {
        let path = snapshot.manifest_list();
        let known = lock(&self.lists).get(path);
        if let Some(known) = known {
            return Ok(known);
        }
        let mut read = manifest_list(table, snapshot).await?;
        read.retain(has_live_files);
        let read = Arc::new(read);
        lock(&self.lists).put(path, Arc::clone(&read), read.len());
        Ok(read)
    }

    /// The live files of each of the manifests. Those that are not remembered are read.
    async fn listed(&self, file_io: &FileIO, manifests: &[ManifestFile]) -> Result<Vec<Listed>> {
        let mut all: Vec<Option<Listed>> = Vec::with_capacity(manifests.len());
        for manifest in manifests {
            all.push(lock(&self.manifests).get(&manifest.manifest_path));
        }
        let missing = manifests.iter().zip(&all).filter(|(_, known)| known.is_none()).map(|(m, _)| m.clone()).collect();
        let mut read = load_manifests(file_io, missing).await?.into_iter();
        let mut listed = Vec::with_capacity(all.len());
        for known in all {
            let files = match known {
                Some(files) => files,
                None => {
                    let unread = || Error::new(ErrorKind::Internal, "a manifest that is needed was not read");
                    let (file, manifest) = read.next().ok_or_else(unread)?;
                    let files = Arc::new(live_files(&file, manifest)?);
                    lock(&self.manifests).put(&file.manifest_path, Arc::clone(&files), files.len());
                    files
                }
            };
            listed.push(files);
        }
        Ok(listed)
    }
}

/// The files that a statement looks at, however many they are: none of their manifests is read twice for it.
#[derive(Debug, Default)]
pub(crate) struct StatementFiles {
    seen: Arc<SeenFiles>,
    held: Mutex<HashMap<String, Listed>>,
}

impl StatementFiles {
    /// Those of a statement to come; what it reads is remembered in `seen`.
    pub(crate) fn new(seen: Arc<SeenFiles>) -> Self {
        Self { seen, held: Mutex::default() }
    }

    /// All files of `snapshot`.
    pub(crate) async fn load(&self, table: &Table, snapshot: &SnapshotRef) -> Result<Arc<SnapshotFiles>> {
        let manifests = self.manifests(table, snapshot).await?;
        let mut files = SnapshotFiles::default();
        for (manifest, listed) in manifests.iter().zip(self.listed(table.file_io(), &manifests).await?) {
            match manifest.content {
                ManifestContentType::Data => files.data.extend(listed.iter().cloned()),
                ManifestContentType::Deletes => files.deletes.extend(listed.iter().cloned()),
            }
        }
        Ok(Arc::new(files))
    }

    /// The manifests of `snapshot` that may list live files.
    pub(crate) async fn manifests(&self, table: &Table, snapshot: &SnapshotRef) -> Result<Arc<Vec<ManifestFile>>> {
        self.seen.manifests(table, snapshot).await
    }

    /// The live files of each of the manifests.
    pub(crate) async fn listed(&self, file_io: &FileIO, manifests: &[ManifestFile]) -> Result<Vec<Listed>> {
        let held = |manifest: &ManifestFile| lock(&self.held).get(&manifest.manifest_path).cloned();
        let missing: Vec<_> = manifests.iter().filter(|manifest| held(manifest).is_none()).cloned().collect();
        let read = self.seen.listed(file_io, &missing).await?;
        let mut all = lock(&self.held);
        all.extend(missing.into_iter().map(|manifest| manifest.manifest_path).zip(read));
        Ok(manifests.iter().filter_map(|manifest| all.get(&manifest.manifest_path).cloned()).collect())
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a file that the manifest lists may be alive.
pub(crate) fn has_live_files(manifest: &ManifestFile) -> bool {
    manifest.has_added_files() || manifest.has_existing_files()
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
