//! What may be done to branches and tags, and to the snapshot that is current.
//!
//! The rules are those of Java's `UpdateSnapshotReferencesOperation` and `SetSnapshotOperation`, which Spark's
//! statements and procedures call. A change is made from the metadata that it is committed to: when another writer was
//! quicker, it is judged again.

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
        let judged = |metadata: &TableMetadata, builder| {
            apply(change, metadata, builder).map_err(|e| match e.kind() {
                // Others get the name from `alter`.
                ErrorKind::NotFound => e.context(format_args!("table {table}")),
                _ => e,
            })
        };
        let changed = self.alter(table, judged).await?;
        let is_there = |id| ancestors(changed.metadata()).any(|s| s.snapshot_id() == id);
        if let ReferenceChange::CherryPick(source) = change
            && !is_there(*source)
            && let Picked::Again(pick) = CherryPick::judge(changed.metadata(), *source)?
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
    let wanted = wanted(change, metadata, &references)?;
    Ok(match wanted {
        Wanted::Nothing => None,
        Wanted::No(name) => Some(builder.remove_ref(name)),
        Wanted::At(name, reference) if references.get(name) == Some(&reference) => None,
        Wanted::At(name, reference) => Some(builder.set_ref(name, reference)?),
    })
}

/// What is to become of which name.
fn wanted<'a>(change: &'a ReferenceChange, metadata: &TableMetadata, references: &References) -> Result<Wanted<'a>> {
    match change {
        ReferenceChange::Create { kind, name, at, if_not_exists, or_replace, retention } => {
            match references.get(name) {
                Some(_) if *or_replace => replace(metadata, references, *kind, name, *at, *retention),
                Some(_) if *if_not_exists => Ok(Wanted::Nothing),
                Some(taken) => {
                    let taken = name_of(kind_of(taken));
                    Err(Error::new(ErrorKind::AlreadyExists, format!("there is a {taken} {name} already")))
                }
                None => {
                    let id = snapshot_or_current(metadata, *at, name_of(*kind), name)?;
                    Ok(Wanted::At(name, SnapshotReference::new(id, over(*retention, forever(*kind)))))
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
            Err(e) if *if_exists && e.kind() == ErrorKind::NotFound => Ok(Wanted::Nothing),
            found => found.map(|_| Wanted::No(name)),
        },
        ReferenceChange::FastForward { branch, to } => {
            let target = references.find(to)?.snapshot_id;
            let from = match references.get(branch) {
                None => {
                    return Ok(Wanted::At(branch, SnapshotReference::new(target, forever(ReferenceKind::Branch))));
                }
                Some(_) => references.branch(branch)?,
            };
            let snapshot = metadata.snapshot_by_id(target);
            if !ancestors_of(metadata, snapshot).any(|s| s.snapshot_id() == from.snapshot_id) {
                let what = format!(
                    "{branch} cannot be moved on to {to}: its snapshot {} is not an ancestor of snapshot {target}",
                    from.snapshot_id
                );
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            Ok(Wanted::At(branch, SnapshotReference::new(target, from.retention.clone())))
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
        ReferenceChange::CherryPick(source) => Ok(match CherryPick::judge(metadata, *source)? {
            Picked::AsItIs => current(references, *source),
            // A commit, not a change of references.
            Picked::Again(_) => Wanted::Nothing,
        }),
    }
}

/// What a change asks for.
enum Wanted<'a> {
    Nothing,
    At(&'a str, SnapshotReference),
    No(&'a str),
}

fn replace<'a>(
    metadata: &TableMetadata,
    references: &References,
    kind: ReferenceKind,
    name: &'a str,
    at: Option<i64>,
    retention: Retention,
) -> Result<Wanted<'a>> {
    let old = find(kind, references, name)?;
    let id = snapshot_or_current(metadata, at, name_of(kind), name)?;
    Ok(Wanted::At(name, SnapshotReference::new(id, over(retention, old.retention.clone()))))
}

/// `main` at another snapshot.
fn current(references: &References, id: i64) -> Wanted<'static> {
    let retention = references.get(MAIN_BRANCH).map(|main| main.retention.clone());
    Wanted::At(MAIN_BRANCH, SnapshotReference::new(id, retention.unwrap_or_else(|| forever(ReferenceKind::Branch))))
}

fn check_snapshot(metadata: &TableMetadata, id: i64) -> Result<i64> {
    metadata.snapshot_by_id(id).map(|s| s.snapshot_id()).ok_or_else(|| no_snapshot(metadata, id))
}

fn snapshot_or_current(metadata: &TableMetadata, at: Option<i64>, kind: &str, name: &str) -> Result<i64> {
    match at {
        Some(id) => check_snapshot(metadata, id),
        None => metadata.current_snapshot_id().ok_or_else(|| {
            let what = format!("there is no snapshot yet that the {kind} {name} could refer to");
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

/// Retention that is all left to the table's properties.
fn forever(kind: ReferenceKind) -> SnapshotRetention {
    match kind {
        ReferenceKind::Branch => SnapshotRetention::branch(None, None, None),
        ReferenceKind::Tag => SnapshotRetention::Tag { max_ref_age_ms: None },
    }
}

/// What a statement gives, and for the rest what there was.
fn over(given: Retention, old: SnapshotRetention) -> SnapshotRetention {
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
