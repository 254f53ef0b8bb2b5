//! The history of a table: the snapshots of a branch, latest first.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat};
use iceberg::spec::{MAIN_BRANCH, SnapshotRef, TableMetadata};

use crate::error::{Error, ErrorKind};

/// The snapshot that a branch refers to; `None` if the branch has no snapshot or does not exist.
pub fn head<'a>(metadata: &'a TableMetadata, branch: &str) -> Option<&'a SnapshotRef> {
    match branch {
        // The only branch that exists before its first snapshot.
        MAIN_BRANCH => metadata.current_snapshot(),
        other => metadata.snapshot_for_ref(other),
    }
}

/// The current snapshot of the main branch and its ancestors that have not expired, latest first.
pub fn ancestors(metadata: &TableMetadata) -> impl Iterator<Item = &SnapshotRef> {
    ancestors_of(metadata, metadata.current_snapshot())
}

/// A snapshot and its ancestors that have not expired, latest first.
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

/// The error for a snapshot id that the table does not have, which says whether it has expired, if known.
pub(crate) fn no_snapshot(metadata: &TableMetadata, id: i64) -> Error {
    let existed = metadata.history().iter().any(|entry| entry.snapshot_id == id)
        || metadata.snapshots().any(|s| s.parent_snapshot_id() == Some(id));
    let what = match existed {
        true => format!("snapshot {id} has expired: its files may be gone"),
        false => format!("the table has no snapshot {id}; it never existed or has expired"),
    };
    Error::new(ErrorKind::NotFound, what)
}

/// The display text of a time: `2026-02-14T10:00:00Z`.
pub(crate) fn moment(millis: i64) -> String {
    match DateTime::from_timestamp_millis(millis) {
        Some(at) => at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{millis} ms"),
    }
}
