//! Commits of statements that change rows: the files with these rows are replaced by files with the changed rows.
//!
//! Conflicts are those of Iceberg's reference implementation for copy-on-write (`OverwriteFiles` with the validations
//! that Spark uses): a removed file must still be in the table; and under serializable isolation no concurrent commit
//! may have added rows that the statement would have read.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use iceberg::spec::{DataFile, ManifestContentType, ManifestStatus, SnapshotRef};
use iceberg::table::Table;

use super::plan;
use crate::error::{Error, ErrorKind, Result};
use crate::table::files::{load_manifests, manifest_list};
use crate::table::live_file::LiveFile;
use crate::table::pruning::{self, Predicate};

/// The files that a statement removes because it changes their rows, and the rows that it read.
#[derive(Debug, Clone)]
pub struct Overwrite {
    /// The removed data files, as of the commit's base.
    pub removed: Vec<Arc<LiveFile>>,
    /// The rows that the statement read.
    pub read: ReadFilter,
    /// Which concurrent commits since the base are allowed.
    pub isolation: Isolation,
}

/// The rows that a statement read. The filter may select more rows, but never fewer.
#[derive(Debug, Clone, Default)]
pub struct ReadFilter(Option<Predicate>);

impl ReadFilter {
    /// All rows of the table.
    pub fn all() -> Self {
        Self(None)
    }

    /// Rows that may match the predicate.
    pub(crate) fn new(predicate: Predicate) -> Self {
        Self(Some(predicate))
    }
}

/// Isolation level of a statement that changes rows: the `write.delete.isolation-level`, `write.update.isolation-level`
/// and `write.merge.isolation-level` properties of Iceberg tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// As if statements had run one after another: rows that a concurrent commit added and the statement would have
    /// read are a conflict.
    #[default]
    Serializable,
    /// The statement changes the rows of the snapshot that it read; rows of concurrent commits stay unchanged.
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

    /// The manifests that listed the files at the base, which are searched first.
    pub(super) fn manifests(&self) -> HashSet<&str> {
        self.removed.iter().map(|f| f.manifest_path.as_ref()).collect()
    }

    /// Fails if a concurrent commit since the base conflicts. `since_base` are the snapshots of the branch after the
    /// base, latest first.
    pub(super) async fn check(&self, table: &Table, since_base: &[&SnapshotRef]) -> Result<()> {
        for snapshot in since_base.iter().filter(|s| plan::changes_rows(s)) {
            let id = snapshot.snapshot_id();
            let mut own = manifest_list(table, snapshot).await?;
            own.retain(|m| m.added_snapshot_id == id && m.has_added_files());
            if !self.removed.is_empty() && own.iter().any(|m| m.content == ManifestContentType::Deletes) {
                return Err(conflict(format!("another writer added row-level deletes (snapshot {id})")));
            }
            if self.isolation == Isolation::Snapshot {
                continue;
            }
            own.retain(|m| m.content == ManifestContentType::Data);
            for (file, manifest) in load_manifests(table.file_io(), own).await? {
                let entries = manifest.entries().iter();
                let mut added = entries.filter(|e| e.status() == ManifestStatus::Added).map(|e| e.data_file());
                // The file may no longer be in the table: its rows may have been compacted into another one since.
                if let Some(read) = added.find(|added| self.reads(added, file.partition_spec_id, table)) {
                    let path = read.file_path();
                    return Err(conflict(format!(
                        "another writer added rows that this statement would have read (snapshot {id}, file {path})"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether a file may have rows that the statement would have read (inclusive projection).
    fn reads(&self, file: &DataFile, spec_id: i32, table: &Table) -> bool {
        let predicate = self.read.0.as_ref();
        predicate.is_none_or(|predicate| pruning::may_match(predicate, file, spec_id, table.metadata()))
    }
}

fn conflict(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Conflict, format!("{what} since this statement began; run the statement again"))
}

/// The error for files that are no longer in the table.
pub(super) fn missing_files(mut paths: Vec<&String>) -> Error {
    paths.sort();
    let first = paths.first().map(|p| p.as_str()).unwrap_or_default();
    conflict(format!("another writer changed rows of {} files that this statement changes, first {first}", paths.len()))
}
