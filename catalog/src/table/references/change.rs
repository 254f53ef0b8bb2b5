//! What may be done to branches and tags, and to the snapshot that is current.
//!
//! The rules are those of Java's `UpdateSnapshotReferencesOperation` and `SetSnapshotOperation`, which Spark's statements
//! and procedures call. A change is made from the metadata that it is committed to: when another writer was quicker, it is
//! judged again.

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
use crate::table::version::Version;

/// A name that moves with writes, or one that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceKind {
    /// Writes can go to it.
    Branch,
    /// Refers to one snapshot until it is replaced.
    Tag,
}

/// How long maintenance keeps a branch or tag and its snapshots. What is not said is left as it is, or to the table's
/// properties `history.expire.*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Age after which the branch or tag itself goes, in milliseconds.
    pub max_ref_age_ms: Option<i64>,
    /// Of a branch: so many of its last snapshots stay.
    pub min_snapshots_to_keep: Option<i32>,
    /// Of a branch: snapshots younger than this stay, in milliseconds.
    pub max_snapshot_age_ms: Option<i64>,
}

/// A change of branches, tags or the current snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceChange {
    /// A new name, or with `or_replace` perhaps an old one.
    Create {
        /// Branch or tag.
        kind: ReferenceKind,
        /// Its name.
        name: String,
        /// The snapshot that it refers to; the current one if not given.
        at: Option<i64>,
        /// Do nothing if the name is taken.
        if_not_exists: bool,
        /// Replace the one of that name, if there is one.
        or_replace: bool,
        /// How long it is kept.
        retention: Retention,
    },
    /// Another snapshot, or retention, for a name that is there.
    Replace {
        /// Branch or tag.
        kind: ReferenceKind,
        /// Its name.
        name: String,
        /// The snapshot that it refers to; the current one if not given.
        at: Option<i64>,
        /// How long it is kept.
        retention: Retention,
    },
    /// The name goes; the snapshots stay until they are expired.
    Drop {
        /// Branch or tag.
        kind: ReferenceKind,
        /// Its name.
        name: String,
        /// Do nothing if there is none.
        if_exists: bool,
    },
    /// Moves a branch on to where another is, which must have begun from it. A branch that is not there is made.
    FastForward {
        /// The branch to move.
        branch: String,
        /// Branch or tag that it moves to.
        to: String,
    },
    /// Makes an ancestor of the current snapshot the current one.
    RollBackTo(i64),
    /// Makes the last ancestor older than this moment the current snapshot; milliseconds since 1970 (UTC).
    RollBackToTime(i64),
    /// Makes any snapshot the current one.
    SetCurrent(Version),
    /// Brings what a snapshot did into the main branch: the snapshot itself if its parent is the current one, else a new one
    /// with its files.
    CherryPick(i64),
}

impl Warehouse {
    /// Changes a table's branches, tags or current snapshot, or fails and changes nothing.
    pub async fn change_references(&self, table: &TableIdent, change: &ReferenceChange) -> Result<Table> {
        let judged = |metadata: &TableMetadata, builder| {
            change.apply(metadata, builder).map_err(|e| match e.kind() {
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

impl ReferenceChange {
    pub(super) fn apply(
        &self,
        metadata: &TableMetadata,
        builder: TableMetadataBuilder,
    ) -> Result<Option<TableMetadataBuilder>> {
        if metadata.format_version() == FormatVersion::V1 {
            let what = "a table of format version 1 has no branches or tags";
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        let references = References::of(metadata)?;
        let wanted = self.wanted(metadata, &references)?;
        Ok(match wanted {
            Wanted::Nothing => None,
            Wanted::No(name) => Some(builder.remove_ref(name)),
            Wanted::At(name, reference) if references.get(name) == Some(&reference) => None,
            Wanted::At(name, reference) => Some(builder.set_ref(name, reference)?),
        })
    }

    /// What is to become of which name.
    fn wanted<'a>(&'a self, metadata: &TableMetadata, references: &References) -> Result<Wanted<'a>> {
        match self {
            Self::Create { kind, name, at, if_not_exists, or_replace, retention } => match references.get(name) {
                Some(_) if *or_replace => replace(metadata, references, *kind, name, *at, *retention),
                Some(_) if *if_not_exists => Ok(Wanted::Nothing),
                Some(taken) => {
                    let taken = ReferenceKind::of(taken).name();
                    Err(Error::new(ErrorKind::AlreadyExists, format!("there is a {taken} {name} already")))
                }
                None => {
                    let id = snapshot_or_current(metadata, *at, kind.name(), name)?;
                    Ok(Wanted::At(name, SnapshotReference::new(id, retention.over(kind.forever()))))
                }
            },
            Self::Replace { kind, name, at, retention } => replace(metadata, references, *kind, name, *at, *retention),
            Self::Drop { kind: ReferenceKind::Branch, name, .. } if name == MAIN_BRANCH => {
                Err(Error::new(ErrorKind::Invalid, "the branch main cannot be dropped"))
            }
            Self::Drop { kind, name, if_exists } => match kind.find(references, name) {
                Err(e) if *if_exists && e.kind() == ErrorKind::NotFound => Ok(Wanted::Nothing),
                found => found.map(|_| Wanted::No(name)),
            },
            Self::FastForward { branch, to } => {
                let target = references.find(to)?.snapshot_id;
                let from = match references.get(branch) {
                    None => {
                        return Ok(Wanted::At(branch, SnapshotReference::new(target, ReferenceKind::Branch.forever())));
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
            Self::RollBackTo(id) => {
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
            Self::RollBackToTime(millis) => match ancestors(metadata).find(|s| s.timestamp_ms() < *millis) {
                Some(snapshot) => Ok(current(references, snapshot.snapshot_id())),
                None => {
                    let what = format!("no ancestor of the current snapshot is older than {}", moment(*millis));
                    Err(Error::new(ErrorKind::NotFound, what))
                }
            },
            Self::SetCurrent(version) => match version.state(metadata)?.snapshot {
                Some(snapshot) => Ok(current(references, snapshot.snapshot_id())),
                None => Err(Error::new(ErrorKind::Invalid, "the table has no snapshot")),
            },
            Self::CherryPick(source) => Ok(match CherryPick::judge(metadata, *source)? {
                Picked::AsItIs => current(references, *source),
                // A commit, not a change of references.
                Picked::Again(_) => Wanted::Nothing,
            }),
        }
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
    let old = kind.find(references, name)?;
    let id = snapshot_or_current(metadata, at, kind.name(), name)?;
    Ok(Wanted::At(name, SnapshotReference::new(id, retention.over(old.retention.clone()))))
}

/// `main` at another snapshot.
fn current(references: &References, id: i64) -> Wanted<'static> {
    let retention = references.get(MAIN_BRANCH).map(|main| main.retention.clone());
    Wanted::At(MAIN_BRANCH, SnapshotReference::new(id, retention.unwrap_or_else(|| ReferenceKind::Branch.forever())))
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

impl ReferenceKind {
    fn of(reference: &SnapshotReference) -> Self {
        if reference.is_branch() { Self::Branch } else { Self::Tag }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        }
    }

    fn find<'a>(self, references: &'a References, name: &str) -> Result<&'a SnapshotReference> {
        match self {
            Self::Branch => references.branch(name),
            Self::Tag => references.tag(name),
        }
    }

    /// Retention that is all left to the table's properties.
    fn forever(self) -> SnapshotRetention {
        match self {
            Self::Branch => SnapshotRetention::branch(None, None, None),
            Self::Tag => SnapshotRetention::Tag { max_ref_age_ms: None },
        }
    }
}

impl Retention {
    /// What is said here, and for the rest what is said there.
    fn over(self, old: SnapshotRetention) -> SnapshotRetention {
        match old {
            SnapshotRetention::Branch { min_snapshots_to_keep, max_snapshot_age_ms, max_ref_age_ms } => {
                SnapshotRetention::branch(
                    self.min_snapshots_to_keep.or(min_snapshots_to_keep),
                    self.max_snapshot_age_ms.or(max_snapshot_age_ms),
                    self.max_ref_age_ms.or(max_ref_age_ms),
                )
            }
            SnapshotRetention::Tag { max_ref_age_ms } => {
                SnapshotRetention::Tag { max_ref_age_ms: self.max_ref_age_ms.or(max_ref_age_ms) }
            }
        }
    }
}
