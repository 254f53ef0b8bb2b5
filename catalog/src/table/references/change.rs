//! Changes of branches and tags, and of the current snapshot.
//!
//! The rules are those of Java's `UpdateSnapshotReferencesOperation` and `SetSnapshotOperation`, which Spark's
//! statements and procedures call. A change is decided on the metadata that it is committed to: after a concurrent
//! commit it is decided again.

use bergmill_statement::{ReferenceChange, ReferenceKind, Retention, SnapshotName};
use datafusion::common::ScalarValue;
use iceberg::TableIdent;
use iceberg::spec::{
    FormatVersion, MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata, TableMetadataBuilder,
};
use iceberg::table::Table;

use super::References;
use crate::error::{Error, ErrorKind, Result};
use crate::table::Warehouse;
use crate::table::commit::{CherryPick, Picked};
use crate::table::history::{ancestors, ancestors_of, moment, no_snapshot};
use crate::table::version::{Version, millis_of};

impl Warehouse {
    /// Changes a table's branches, tags or current snapshot, or fails and changes nothing.
    pub async fn change_references(&self, table: &TableIdent, change: &ReferenceChange) -> Result<Table> {
        let apply_change = |metadata: &TableMetadata, builder| {
            apply(change, metadata, builder).map_err(|e| match e.kind() {
                // `alter` adds the table's name to all other errors.
                ErrorKind::NotFound => e.context(format_args!("table {table}")),
                _ => e,
            })
        };
        let changed = self.alter(table, apply_change).await?;
        let is_ancestor = |id| ancestors(changed.metadata()).any(|s| s.snapshot_id() == id);
        if let ReferenceChange::CherryPick(source) = change
            && !is_ancestor(*source)
            && let Picked::Again(pick) = CherryPick::resolve(changed.metadata(), *source)?
        {
            self.pick(&changed, pick).await?;
            return self.load(table).await;
        }
        Ok(changed)
    }
}

pub(crate) fn apply(
    change: &ReferenceChange,
    metadata: &TableMetadata,
    builder: TableMetadataBuilder,
) -> Result<Option<TableMetadataBuilder>> {
    if metadata.format_version() == FormatVersion::V1 {
        let what = "a table of format version 1 has no branches or tags";
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let references = References::of(metadata)?;
    Ok(match decide(change, metadata, &references)? {
        Update::None => None,
        Update::Remove(name) => Some(builder.remove_ref(name)),
        Update::Set(name, reference) if references.get(name) == Some(&reference) => None,
        Update::Set(name, reference) => Some(builder.set_ref(name, reference)?),
    })
}

/// Decides which reference changes, and how.
fn decide<'a>(change: &'a ReferenceChange, metadata: &TableMetadata, references: &References) -> Result<Update<'a>> {
    match change {
        ReferenceChange::Create { kind, name, at, if_not_exists, or_replace, retention } => {
            match references.get(name) {
                Some(_) if *or_replace => replace(metadata, references, *kind, name, *at, *retention),
                Some(_) if *if_not_exists => Ok(Update::None),
                Some(taken) => {
                    let taken = name_of(kind_of(taken));
                    Err(Error::new(ErrorKind::AlreadyExists, format!("{taken} {name} already exists")))
                }
                None => {
                    let id = snapshot_or_current(metadata, *at, name_of(*kind), name)?;
                    Ok(Update::Set(name, SnapshotReference::new(id, merged(*retention, default_retention(*kind)))))
                }
            }
        }
        ReferenceChange::Replace { kind, name, at, retention } => {
            replace(metadata, references, *kind, name, *at, *retention)
        }
        ReferenceChange::Drop { kind: ReferenceKind::Branch, name, .. } if name == MAIN_BRANCH => {
            Err(Error::new(ErrorKind::Invalid, "the branch main cannot be dropped"))
        }
        ReferenceChange::Drop { kind, name, if_exists } => match find(*kind, references, name) {
            Err(e) if *if_exists && e.kind() == ErrorKind::NotFound => Ok(Update::None),
            found => found.map(|_| Update::Remove(name)),
        },
        ReferenceChange::FastForward { branch, to } => {
            let target = references.find(to)?.snapshot_id;
            let from = match references.get(branch) {
                None => {
                    return Ok(Update::Set(
                        branch,
                        SnapshotReference::new(target, default_retention(ReferenceKind::Branch)),
                    ));
                }
                Some(_) => references.branch(branch)?,
            };
            let snapshot = metadata.snapshot_by_id(target);
            if !ancestors_of(metadata, snapshot).any(|s| s.snapshot_id() == from.snapshot_id) {
                let what = format!(
                    "{branch} cannot be fast-forwarded to {to}: its snapshot {} is not an ancestor of snapshot {target}",
                    from.snapshot_id
                );
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            Ok(Update::Set(branch, SnapshotReference::new(target, from.retention.clone())))
        }
        ReferenceChange::RollBackTo(id) => {
            check_snapshot(metadata, *id)?;
            if !ancestors(metadata).any(|s| s.snapshot_id() == *id) {
                let what = format!(
                    "snapshot {id} is not an ancestor of the current snapshot, so it cannot be rolled back to; \
                     set_current_snapshot can make it current"
                );
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            Ok(current(references, *id))
        }
        ReferenceChange::RollBackToTime(text) => {
            let millis = millis_of(&ScalarValue::from(text.as_str()))?;
            match ancestors(metadata).find(|s| s.timestamp_ms() < millis) {
                Some(snapshot) => Ok(current(references, snapshot.snapshot_id())),
                None => {
                    let what = format!("no ancestor of the current snapshot is older than {}", moment(millis));
                    Err(Error::new(ErrorKind::NotFound, what))
                }
            }
        }
        ReferenceChange::SetCurrent(name) => match version_of(name).state(metadata)?.snapshot {
            Some(snapshot) => Ok(current(references, snapshot.snapshot_id())),
            None => Err(Error::new(ErrorKind::Invalid, "the table has no snapshot")),
        },
        ReferenceChange::CherryPick(source) => Ok(match CherryPick::resolve(metadata, *source)? {
            Picked::FastForward => current(references, *source),
            // Done by a commit, not by a change of references.
            Picked::Again(_) => Update::None,
        }),
    }
}

/// The update of the references for a change.
enum Update<'a> {
    None,
    Set(&'a str, SnapshotReference),
    Remove(&'a str),
}

fn replace<'a>(
    metadata: &TableMetadata,
    references: &References,
    kind: ReferenceKind,
    name: &'a str,
    at: Option<i64>,
    retention: Retention,
) -> Result<Update<'a>> {
    let old = find(kind, references, name)?;
    let id = snapshot_or_current(metadata, at, name_of(kind), name)?;
    Ok(Update::Set(name, SnapshotReference::new(id, merged(retention, old.retention.clone()))))
}

/// Moves `main` to a snapshot.
fn current(references: &References, id: i64) -> Update<'static> {
    let retention = references.get(MAIN_BRANCH).map(|main| main.retention.clone());
    Update::Set(
        MAIN_BRANCH,
        SnapshotReference::new(id, retention.unwrap_or_else(|| default_retention(ReferenceKind::Branch))),
    )
}

fn check_snapshot(metadata: &TableMetadata, id: i64) -> Result<i64> {
    metadata.snapshot_by_id(id).map(|s| s.snapshot_id()).ok_or_else(|| no_snapshot(metadata, id))
}

fn snapshot_or_current(metadata: &TableMetadata, at: Option<i64>, kind: &str, name: &str) -> Result<i64> {
    match at {
        Some(id) => check_snapshot(metadata, id),
        None => metadata.current_snapshot_id().ok_or_else(|| {
            let what = format!("the table has no snapshot yet that {kind} {name} could refer to");
            Error::new(ErrorKind::Invalid, what)
        }),
    }
}

fn version_of(name: &SnapshotName) -> Version {
    match name {
        SnapshotName::Id(id) => Version::Snapshot(*id),
        SnapshotName::Reference(name) => Version::Reference(name.clone()),
    }
}

fn kind_of(reference: &SnapshotReference) -> ReferenceKind {
    if reference.is_branch() { ReferenceKind::Branch } else { ReferenceKind::Tag }
}

fn name_of(kind: ReferenceKind) -> &'static str {
    match kind {
        ReferenceKind::Branch => "branch",
        ReferenceKind::Tag => "tag",
    }
}

fn find<'a>(kind: ReferenceKind, references: &'a References, name: &str) -> Result<&'a SnapshotReference> {
    match kind {
        ReferenceKind::Branch => references.branch(name),
        ReferenceKind::Tag => references.tag(name),
    }
}

/// Retention as by the table's properties.
fn default_retention(kind: ReferenceKind) -> SnapshotRetention {
    match kind {
        ReferenceKind::Branch => SnapshotRetention::branch(None, None, None),
        ReferenceKind::Tag => SnapshotRetention::Tag { max_ref_age_ms: None },
    }
}

/// The retention that a statement gives, with unset values from the old one.
fn merged(given: Retention, old: SnapshotRetention) -> SnapshotRetention {
    match old {
        SnapshotRetention::Branch { min_snapshots_to_keep, max_snapshot_age_ms, max_ref_age_ms } => {
            SnapshotRetention::branch(
                given.min_snapshots_to_keep.or(min_snapshots_to_keep),
                given.max_snapshot_age_ms.or(max_snapshot_age_ms),
                given.max_ref_age_ms.or(max_ref_age_ms),
            )
        }
        SnapshotRetention::Tag { max_ref_age_ms } => {
            SnapshotRetention::Tag { max_ref_age_ms: given.max_ref_age_ms.or(max_ref_age_ms) }
        }
    }
}
