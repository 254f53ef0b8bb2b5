//! A table's past: its snapshots from the current one back, and the commits among them.

use std::collections::HashSet;

use iceberg::spec::{SnapshotRef, TableMetadata};

use super::CommitKey;

/// The summary key under which a snapshot keeps the key of the commit that made it.
pub const COMMIT_KEY: &str = "bergmill.commit-key";

/// The current snapshot of the main branch and its ancestors, latest first, as far as they have not been expired.
pub fn ancestors(metadata: &TableMetadata) -> impl Iterator<Item = &SnapshotRef> {
    let mut next = metadata.current_snapshot();
    // Damaged metadata may name a snapshot as its own ancestor.
    let mut seen = HashSet::new();
    std::iter::from_fn(move || {
        let snapshot = next?;
        next = snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id));
        seen.insert(snapshot.snapshot_id()).then_some(snapshot)
    })
}

/// The snapshot that the commit of this key made, if it is in the table's retained history. Snapshots that were rolled
/// back do not count: their work is not in the table.
pub fn find_commit<'a>(metadata: &'a TableMetadata, key: &CommitKey) -> Option<&'a SnapshotRef> {
    ancestors(metadata).find(|s| s.summary().additional_properties.get(COMMIT_KEY).is_some_and(|k| k == key.as_str()))
}
