//! Deletes data files that no snapshot will name.

use std::collections::HashSet;

use bergmill_storage::Location;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::DataFile;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::WriteSpec;
use crate::error::{Error, ErrorKind, Result};

/// Number of concurrent deletes.
const CONCURRENT_DELETES: usize = 16;

/// Deletes the files at `locations`, after a failed commit, and returns the number of deleted files. A missing file is
/// not an error.
pub async fn delete_files(runtime: &RuntimeEnv, locations: impl IntoIterator<Item = &str>) -> Result<usize> {
    let paths: Vec<_> = locations.into_iter().map(|at| object_path(at, None)).collect::<Result<_>>()?;
    let deletes = paths.into_iter().map(|(url, path)| async move {
        let store = runtime.object_store(&url).map_err(|e| storage(&path, e))?;
        delete(store.as_ref(), &path).await
    });
    futures::stream::iter(deletes)
        .buffer_unordered(CONCURRENT_DELETES)
        .try_fold(0, |count, deleted| async move { Ok(count + usize::from(deleted)) })
        .await
}

/// [`delete_orphan_files`] of a write, if there was one. Orphan files that cannot be removed are harmless, and logged.
pub async fn remove_orphan_files(runtime: &RuntimeEnv, spec: Option<&WriteSpec>, kept: &[DataFile]) {
    // Without a write there are no orphan files; finding them would list the bucket.
    let Some(spec) = spec else { return };
    if let Err(e) = delete_orphan_files(runtime, spec, kept).await {
        tracing::warn!("orphan files could not be removed: {e}");
    }
}

/// Deletes the orphan files of this write, such as those of attempts that were lost with their executor, and returns
/// the number of deleted files.
///
/// Every file name of a write contains the write's id, so other writers' files are safe; `kept` are the committed
/// files. The listed folder is `WriteSpec::own_folder`, which in an object store has the files of this write only. With
/// hashed paths there is no such folder: then orphan files are only listed if the whole write failed, and otherwise
/// left to maintenance.
pub async fn delete_orphan_files(runtime: &RuntimeEnv, spec: &WriteSpec, kept: &[DataFile]) -> Result<usize> {
    let folder = match spec.own_folder() {
        Some(folder) => folder,
        // Listing all of a table's files is worthwhile after a failed write, but not after each successful one.
        None if kept.is_empty() => spec.data_location.clone(),
        None => return Ok(0),
    };
    let (url, data_path) = object_path(&folder, spec.vended_to.as_deref())?;
    let store = runtime.object_store(&url).map_err(|e| storage(&data_path, e))?;
    let kept: HashSet<Path> =
        kept.iter().map(|f| object_path(f.file_path(), None).map(|(_, path)| path)).collect::<Result<_>>()?;
    let write_id = spec.write_id.to_string();
    let is_orphan = |path: &Path| path.filename().is_some_and(|name| name.contains(&write_id)) && !kept.contains(path);
    let mut found = Vec::new();
    let mut listing = store.list(Some(&data_path));
    while let Some(object) = listing.try_next().await? {
        if is_orphan(&object.location) {
            found.push(object.location);
        }
    }
    let mut count = 0;
    for path in found {
        count += usize::from(delete(store.as_ref(), &path).await?);
    }
    Ok(count)
}

/// Deletes one file and returns whether it existed.
pub(super) async fn delete(store: &dyn ObjectStore, path: &Path) -> Result<bool> {
    match store.delete(path).await {
        Ok(()) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(e) => Err(Error::from(e).context(format!("deleting {path}"))),
    }
}

fn storage(path: &Path, e: datafusion::error::DataFusionError) -> Error {
    Error::new(ErrorKind::Storage, format!("no object store for {path}")).with_source(e)
}

/// The object store of a location, and the path in it. The store uses the credentials vended to the table `vended_to`,
/// if given.
pub(super) fn object_path(location: &str, vended_to: Option<&str>) -> Result<(ObjectStoreUrl, Path)> {
    let at = Location::parse(location)?;
    let store = ObjectStoreUrl::parse(at.store_url_for(vended_to)).map_err(|e| {
        Error::new(ErrorKind::Invalid, format!("{location} does not name an object store")).with_source(e)
    })?;
    Ok((store, at.path()?))
}
