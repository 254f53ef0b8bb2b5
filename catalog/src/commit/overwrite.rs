//! Commits of statements that change rows: the files that held them go, the files with what became of them come.
//!
//! What conflicts is decided as Iceberg's reference does for copy-on-write (`OverwriteFiles` with the validations that Spark
//! asks for): a file that goes must still be there; and under serializable isolation nobody may have added rows that the
//! statement would have read.

use std::collections::{BTreeSet, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use iceberg::expr::Predicate;
use iceberg::spec::{ManifestContentType, ManifestStatus, SnapshotRef};
use iceberg::table::Table;

use super::plan;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{LiveFile, load_manifests, manifest_list};
use crate::read::files_that_fit;

/// What a statement that changes rows takes out, and what it read to know that.
#[derive(Debug, Clone)]
pub struct Overwrite {
    /// The data files that go, as they were at the commit's base.
    pub removed: Vec<Arc<LiveFile>>,
    /// The rows that the statement looked for.
    pub read: ReadFilter,
    /// What others may have done since the base.
    pub isolation: Isolation,
}

/// The rows that a statement looked for. It may stand for more of them, never for fewer.
#[derive(Debug, Clone, Default)]
pub struct ReadFilter(Option<Predicate>);

impl ReadFilter {
    /// All rows of the table.
    pub fn all() -> Self {
        Self(None)
    }

    /// Rows that fit the predicate; all when there is none.
    pub(crate) fn new(predicate: Option<Predicate>) -> Self {
        Self(predicate)
    }
}

/// Isolation level of a statement that changes rows: the `write.delete.isolation-level`, `write.update.isolation-level` and
/// `write.merge.isolation-level` properties of Iceberg tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// As if statements had run one after another: rows that others added and the statement would have read are a conflict.
    #[default]
    Serializable,
    /// The statement changes the rows of the snapshot that it read; rows that others added stay as they are.
    Snapshot,
}

impl FromStr for Isolation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "serializable" => Ok(Self::Serializable),
            "snapshot" => Ok(Self::Snapshot),
            _ => {
                let what = format!("isolation level {text:?} is neither serializable nor snapshot");
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }
}

impl Overwrite {
    pub(super) fn paths(&self) -> HashSet<String> {
        self.removed.iter().map(|f| f.data_file.file_path().to_string()).collect()
    }

    /// The manifests that listed the files at the base: where to look for them first.
    pub(super) fn manifests(&self) -> HashSet<&str> {
        self.removed.iter().map(|f| f.manifest_path.as_ref()).collect()
    }

    /// Fails if what others committed since the base is in the way: `since_base` are the snapshots of the branch that came
    /// after it, the latest first.
    pub(super) async fn check(&self, table: &Table, since_base: &[&SnapshotRef]) -> Result<()> {
        for snapshot in since_base.iter().filter(|s| plan::changes_rows(s)) {
            let id = snapshot.snapshot_id();
            let mut own = manifest_list(table, snapshot).await?;
            own.retain(|m| m.added_snapshot_id == id && m.has_added_files());
            if !self.removed.is_empty() && own.iter().any(|m| m.content == ManifestContentType::Deletes) {
                return Err(conflict(format!("another writer deleted rows of files in place (snapshot {id})")));
            }
            if self.isolation == Isolation::Snapshot {
                continue;
            }
            own.retain(|m| m.content == ManifestContentType::Data);
            let mut added = BTreeSet::new();
            for (_, manifest) in load_manifests(table.file_io(), own).await? {
                let is_new = |e: &&iceberg::spec::ManifestEntryRef| e.status() == ManifestStatus::Added;
                added.extend(manifest.entries().iter().filter(is_new).map(|e| e.file_path().to_string()));
            }
            if let Some(path) = self.read_among(table, snapshot, added).await? {
                return Err(conflict(format!(
                    "another writer added rows that this statement would have read (snapshot {id}, file {path})"
                )));
            }
        }
        Ok(())
    }

    /// One of the files that `snapshot` added which may have rows that the statement looked for. The file need not be there any
    /// more: its rows may have been put into another one since.
    async fn read_among(
        &self,
        table: &Table,
        snapshot: &SnapshotRef,
        files: BTreeSet<String>,
    ) -> Result<Option<String>> {
        if files.is_empty() {
            return Ok(None);
        }
        let predicate = self.read.0.clone().unwrap_or(Predicate::AlwaysTrue);
        let read = files_that_fit(table, table.metadata().current_schema(), snapshot, predicate).await?;
        Ok(files.into_iter().find(|path| read.contains(path)))
    }
}

fn conflict(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Conflict, format!("{what} since this statement began; run it again"))
}

/// The error for files that are no longer there.
pub(super) fn gone(mut paths: Vec<&String>) -> Error {
    paths.sort();
    let first = paths.first().map(|p| p.as_str()).unwrap_or_default();
    conflict(format!("another writer changed rows of {} files that this statement changes, first {first}", paths.len()))
}
