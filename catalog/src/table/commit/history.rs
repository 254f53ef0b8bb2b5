//! A table's past: its snapshots from the head of a branch back, and the commits among them.

use std::collections::HashSet;

use iceberg::spec::{MAIN_BRANCH, SnapshotRef, TableMetadata};

use super::CommitKey;

/// The summary key under which a snapshot keeps the key of the commit that made it.
pub const COMMIT_KEY: &str = "bergmill.commit-key";

/// The snapshot that a branch is at; `None` for one without a snapshot, or that is not there.
pub fn head<'a>(metadata: &'a TableMetadata, branch: &str) -> Option<&'a SnapshotRef> {
    match branch {
        // The only branch that is there before its first snapshot.
        MAIN_BRANCH => metadata.current_snapshot(),
        other => metadata.snapshot_for_ref(other),
    }
}

/// The current snapshot of the main branch and its ancestors, latest first, as far as they have not been expired.
pub fn ancestors(metadata: &TableMetadata) -> impl Iterator<Item = &SnapshotRef> {
    ancestors_of(metadata, metadata.current_snapshot())
}

/// A snapshot and its ancestors, latest first, as far as they have not been expired.
pub fn ancestors_of<'a>(
    metadata: &'a TableMetadata,
    snapshot: Option<&'a SnapshotRef>,
) -> impl Iterator<Item = &'a SnapshotRef> {
    let mut next = snapshot;
    // Damaged metadata may name a snapshot as its own ancestor.
    let mut seen = HashSet::new();
    std::iter::from_fn(move || {
        let snapshot = next?;
        next = snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id));
        seen.insert(snapshot.snapshot_id()).then_some(snapshot)
    })
}

/// The snapshot that the commit of this key made, if it is in the branch's retained history. Snapshots that were rolled
/// back do not count: their work is not in the table.
pub fn find_commit<'a>(metadata: &'a TableMetadata, branch: &str, key: &CommitKey) -> Option<&'a SnapshotRef> {
    let is_it = |s: &SnapshotRef| s.summary().additional_properties.get(COMMIT_KEY).is_some_and(|k| k == key.as_str());
    ancestors_of(metadata, head(metadata, branch)).find(|s| is_it(s))
}
