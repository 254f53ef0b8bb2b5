//! The live files of a snapshot, from its manifests.
//!
//! Manifests are immutable and are read concurrently, a bounded number at a time; a cache keeps them. Manifests without
//! a selected file are not read; `pruning` decides which these are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt};
use iceberg::io::FileIO;
use iceberg::spec::{Manifest, ManifestContentType, ManifestFile, SnapshotRef};
use iceberg::table::Table;

use crate::error::{Error, ErrorKind, Result};
use crate::table::live_file::{LiveFile, live_files};
use crate::table::pruning::{FileChoice, Numbered};
use crate::table::recent::Recent;

/// Number of manifests that are fetched and decoded concurrently.
const MANIFESTS_IN_FLIGHT: usize = 16;

/// Capacity of the cache in files of manifests. A file with statistics of a dozen columns takes about 4 KiB.
const KEPT_FILES: usize = 20_000;

/// All live files of one snapshot, in the order of the manifest list.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFiles {
    /// Data files.
    pub data: Vec<Arc<LiveFile>>,
    /// Delete files: position deletes, equality deletes, deletion vectors.
    pub deletes: Vec<Arc<LiveFile>>,
}

impl SnapshotFiles {
    /// Reads the manifests of `snapshot`.
    pub async fn load(table: &Table, snapshot: &SnapshotRef) -> Result<Self> {
        Ok(Arc::unwrap_or_clone(StatementFiles::default().load(table, snapshot).await?))
    }
}

/// The live files that a manifest lists.
pub(crate) type Listed = Arc<Vec<Arc<LiveFile>>>;

/// Cache of manifest lists and the files of manifests, which never change once they are written. The most recently read
/// ones are kept.
#[derive(Debug)]
pub(crate) struct SnapshotFilesCache {
    lists: Mutex<Recent<Arc<Vec<ManifestFile>>>>,
    manifests: Mutex<Recent<Listed>>,
}

impl Default for SnapshotFilesCache {
    fn default() -> Self {
        Self { lists: Mutex::new(Recent::new(KEPT_FILES)), manifests: Mutex::new(Recent::new(KEPT_FILES)) }
    }
}

impl SnapshotFilesCache {
    /// The manifests of `snapshot` that may list live files. The others list files that the snapshot has deleted.
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

    /// The live files of each of the manifests. Manifests that are not cached are read.
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

/// The files that a statement uses. No manifest is read twice for it, however many files there are.
#[derive(Debug, Default)]
pub(crate) struct StatementFiles {
    cache: Arc<SnapshotFilesCache>,
    held: Mutex<HashMap<String, Listed>>,
}

impl StatementFiles {
    /// For a new statement, which caches in `cache` what it reads.
    pub(crate) fn new(cache: Arc<SnapshotFilesCache>) -> Self {
        Self { cache, held: Mutex::default() }
    }

    /// All files of `snapshot`.
    pub(crate) async fn load(&self, table: &Table, snapshot: &SnapshotRef) -> Result<Arc<SnapshotFiles>> {
        let manifests = self.cache.manifests(table, snapshot).await?;
        let mut files = SnapshotFiles::default();
        for (manifest, listed) in manifests.iter().zip(self.listed(table.file_io(), &manifests).await?) {
            match manifest.content {
                ManifestContentType::Data => files.data.extend(listed.iter().cloned()),
                ManifestContentType::Deletes => files.deletes.extend(listed.iter().cloned()),
            }
        }
        Ok(Arc::new(files))
    }

    /// The selected data files of `snapshot`, in manifest order, and the total number of its data files. Manifests that
    /// list none of the selected files are not read; their files are counted by the manifest list.
    ///
    /// # Errors
    /// `Unsupported` if the snapshot has row-level deletes; `Corrupt` if `choice` needs file numbers that could differ
    /// in another scan.
    pub(crate) async fn chosen(
        &self,
        table: &Table,
        snapshot: &SnapshotRef,
        choice: &FileChoice<'_>,
    ) -> Result<(Vec<Numbered>, usize)> {
        let manifests = self.cache.manifests(table, snapshot).await?;
        let needed: Vec<_> = needed(&manifests, choice).cloned().collect();
        let mut listed = needed.iter().zip(self.listed(table.file_io(), &needed).await?).peekable();
        let (mut files, mut count) = (Vec::new(), 0);
        for manifest in manifests.iter() {
            let stated = stated_files(manifest);
            let Some((_, found)) = listed.next_if(|(read, _)| read.manifest_path == manifest.manifest_path) else {
                count += stated.unwrap_or(0);
                continue;
            };
            if manifest.content == ManifestContentType::Deletes {
                if found.is_empty() {
                    continue;
                }
                return Err(has_deletes(table));
            }
            if choice.needs_numbers && stated.is_some_and(|stated| stated != found.len()) {
                let what = format!(
                    "{} lists {} live files, which differs from the count in the manifest list of snapshot {}",
                    manifest.manifest_path,
                    found.len(),
                    snapshot.snapshot_id()
                );
                return Err(Error::new(ErrorKind::Corrupt, what));
            }
            files.extend(choice.of(&found, count));
            count += found.len();
        }
        Ok((files, count))
    }

    /// The live files of each of the manifests.
    async fn listed(&self, file_io: &FileIO, manifests: &[ManifestFile]) -> Result<Vec<Listed>> {
        let held = |manifest: &ManifestFile| lock(&self.held).get(&manifest.manifest_path).cloned();
        let missing: Vec<_> = manifests.iter().filter(|manifest| held(manifest).is_none()).cloned().collect();
        let read = self.cache.listed(file_io, &missing).await?;
        let mut all = lock(&self.held);
        all.extend(missing.into_iter().map(|manifest| manifest.manifest_path).zip(read));
        Ok(manifests.iter().filter_map(|manifest| all.get(&manifest.manifest_path).cloned()).collect())
    }
}

/// The manifests that must be read to know the selected data files, and whether there are row-level deletes.
fn needed<'a>(manifests: &'a [ManifestFile], choice: &FileChoice<'_>) -> impl Iterator<Item = &'a ManifestFile> {
    // The number of the next data file, as long as it is known without reading.
    let mut next = Some(0);
    manifests.iter().filter(move |manifest| {
        if manifest.content == ManifestContentType::Deletes {
            return true;
        }
        let numbers = next.zip(stated_files(manifest)).map(|(first, count)| first..first + count);
        next = numbers.as_ref().map(|numbers| numbers.end);
        choice.may_list(manifest, numbers)
    })
}

/// The number of live data files of a manifest according to the manifest list; `None` if it is not recorded, or for a
/// manifest of deletes.
fn stated_files(manifest: &ManifestFile) -> Option<usize> {
    let counts = manifest.added_files_count.zip(manifest.existing_files_count);
    let (added, existing) = counts.filter(|_| manifest.content == ManifestContentType::Data)?;
    Some(added as usize + existing as usize)
}

/// The error for reading a table with row-level deletes.
pub(crate) fn has_deletes(table: &Table) -> Error {
    let what = format!("table {} has row-level deletes, which cannot be read yet", table.identifier());
    Error::new(ErrorKind::Unsupported, what)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a file that the manifest lists may be alive.
pub(crate) fn has_live_files(manifest: &ManifestFile) -> bool {
    manifest.has_added_files() || manifest.has_existing_files()
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
                .map_err(|e| Error::new(ErrorKind::Internal, "a task that reads manifests failed").with_source(e))?;
            let manifest = manifest
                .map_err(|e| Error::from(e).context(format_args!("reading manifest {}", file.manifest_path)))?;
            Ok((file, manifest))
        }
    };
    futures::stream::iter(manifests).map(read).buffered(MANIFESTS_IN_FLIGHT).try_collect().await
}
