//! A store in one JSON file, for installations whose catalog has no database.
//!
//! The file is replaced whole, so readers need no lock. Writers, which may be in several processes, take turns by a
//! lock on a file beside it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::store::{Kind, Store};

/// The entries by kind and name.
type Entries = BTreeMap<String, BTreeMap<String, String>>;

/// Users, roles and tokens in a JSON file that only its owner can read.
#[derive(Debug, Clone)]
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// A store in the file at `path`, which is created by the first change.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    async fn read<T: Send + 'static>(&self, of: impl FnOnce(&Entries) -> T + Send + 'static) -> Result<T> {
        let path = self.path.clone();
        blocking(move || read(&path).map(|entries| of(&entries))).await
    }

    /// Changes the entries; nothing is written if `change` returns `false`.
    async fn change(&self, change: impl FnOnce(&mut Entries) -> bool + Send + 'static) -> Result<bool> {
        let path = self.path.clone();
        blocking(move || {
            let _lock = lock(&path)?;
            let mut entries = read(&path)?;
            let changed = change(&mut entries);
            if changed {
                write(&path, &entries)?;
            }
            Ok(changed)
        })
        .await
    }
}

#[async_trait]
impl Store for FileStore {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<String>> {
        let name = name.to_string();
        self.read(move |entries| entries.get(kind.name())?.get(&name).cloned()).await
    }

    async fn list(&self, kind: Kind) -> Result<Vec<(String, String)>> {
        self.read(move |entries| entries.get(kind.name()).cloned().unwrap_or_default().into_iter().collect()).await
    }

    async fn insert(&self, kind: Kind, name: &str, text: &str) -> Result<bool> {
        let (name, text) = (name.to_string(), text.to_string());
        self.change(move |entries| {
            let of_kind = entries.entry(kind.name().to_string()).or_default();
            let is_new = !of_kind.contains_key(&name);
            if is_new {
                of_kind.insert(name, text);
            }
            is_new
        })
        .await
    }

    async fn replace(&self, kind: Kind, name: &str, expected: &str, text: &str) -> Result<bool> {
        let (name, expected, text) = (name.to_string(), expected.to_string(), text.to_string());
        self.change(move |entries| {
            let found = entries.get_mut(kind.name()).and_then(|of_kind| of_kind.get_mut(&name));
            match found.filter(|found| **found == expected) {
                Some(found) => {
                    *found = text;
                    true
                }
                None => false,
            }
        })
        .await
    }

    async fn remove(&self, kind: Kind, name: &str) -> Result<bool> {
        let name = name.to_string();
        self.change(move |entries| entries.get_mut(kind.name()).is_some_and(|of_kind| of_kind.remove(&name).is_some()))
            .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::new(ErrorKind::Store, format!("reading users: {e}")))?
}

fn read(path: &Path) -> Result<Entries> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|e| {
            Error::new(ErrorKind::Store, format!("{} is damaged; restore it from a copy: {e}", path.display()))
        }),
        Err(e) if e.kind() == IoErrorKind::NotFound => Ok(Entries::new()),
        Err(e) => Err(failed(path, &e)),
    }
}

fn write(path: &Path, entries: &Entries) -> Result<()> {
    let text = serde_json::to_string_pretty(entries)
        .map_err(|e| Error::new(ErrorKind::Store, format!("{}: {e}", path.display())))?;
    // Temporary files can be read by their owner only, and keep that when they are renamed.
    let mut file = tempfile::NamedTempFile::new_in(folder(path)).map_err(|e| failed(path, &e))?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(|e| failed(path, &e))?;
    file.persist(path).map_err(|e| failed(path, &e.error))?;
    Ok(())
}

/// Waits for the lock, which is released when the file is dropped.
fn lock(path: &Path) -> Result<File> {
    let lock = path.with_extension("lock");
    fs::create_dir_all(folder(path)).map_err(|e| failed(folder(path), &e))?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
    let file = file.map_err(|e| failed(&lock, &e))?;
    file.lock().map_err(|e| failed(&lock, &e))?;
    Ok(file)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(path: &Path, e: &std::io::Error) -> Error {
    Error::new(ErrorKind::Store, format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;
    use crate::conformance;

    #[tokio::test]
    async fn it_is_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("access.json");
        conformance::check_grants(Arc::new(FileStore::new(path.clone()))).await;
        conformance::check(&FileStore::new(path.clone())).await;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn writers_of_several_stores_do_not_lose_entries() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.json");
        let writers = (0..8).map(|n| {
            let store = FileStore::new(path.clone());
            tokio::spawn(async move {
                for m in 0..8 {
                    assert!(store.insert(Kind::Token, &format!("{n}-{m}"), "x").await.unwrap());
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        assert_eq!(FileStore::new(path).list(Kind::Token).await.unwrap().len(), 64);
    }

    #[tokio::test]
    async fn a_damaged_file_is_an_error_and_not_an_empty_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.json");
        fs::write(&path, "{\"user\":").unwrap();
        let error = FileStore::new(path).list(Kind::User).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert!(error.to_string().contains("access.json is damaged"), "{error}");
    }
}
