//! A table's past: its snapshots from the head of a branch back.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat};
use iceberg::spec::{MAIN_BRANCH, SnapshotRef, TableMetadata};

use crate::error::{Error, ErrorKind};

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

/// Why there is no snapshot of this id, as far as the table's past says.
pub(crate) fn no_snapshot(metadata: &TableMetadata, id: i64) -> Error {
    let was_there = metadata.history().iter().any(|entry| entry.snapshot_id == id)
        || metadata.snapshots().any(|s| s.parent_snapshot_id() == Some(id));
    let what = match was_there {
        true => format!("snapshot {id} has expired: its files may be gone"),
        false => format!("the table has no snapshot {id}; it never had, or it has expired"),
    };
    Error::new(ErrorKind::NotFound, what)
}

/// A moment for people: `2026-02-14T10:00:00Z`.
pub(crate) fn moment(millis: i64) -> String {
    match DateTime::from_timestamp_millis(millis) {
        Some(at) => at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{millis} ms"),
    }
}
