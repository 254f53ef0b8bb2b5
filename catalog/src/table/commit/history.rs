//! Finds the snapshot of an earlier commit.

use iceberg::spec::{SnapshotRef, TableMetadata};

use super::CommitKey;
pub use crate::table::history::{ancestors, ancestors_of, head};

/// The summary key under which a snapshot records the key of its commit.
pub const COMMIT_KEY: &str = "bergmill.commit-key";

/// The snapshot of the commit with this key, if it is in the branch's retained history. Snapshots that were rolled back
/// do not count: their work is not in the table.
pub fn find_commit<'a>(metadata: &'a TableMetadata, branch: &str, key: &CommitKey) -> Option<&'a SnapshotRef> {
    let is_it = |s: &SnapshotRef| s.summary().additional_properties.get(COMMIT_KEY).is_some_and(|k| k == key.as_str());
    ancestors_of(metadata, head(metadata, branch)).find(|s| is_it(s))
}
