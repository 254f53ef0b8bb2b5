//! Cherry-picking: applies the changes of a snapshot that is not on the main branch to the main branch.
//!
//! The rules are those of Java's `CherryPickOperation` and `WapUtil`, which Spark's procedure `cherrypick_snapshot`
//! calls. A snapshot whose parent is the current one becomes current itself, whatever its operation. Otherwise an
//! append is repeated with the same files; and so is a dynamic overwrite, if the partitions that it replaced have not
//! changed since. Nothing is published twice: a picked snapshot records its source.

use std::collections::BTreeMap;

use iceberg::spec::{
    DataFile, MAIN_BRANCH, ManifestContentType, ManifestStatus, Operation as SnapshotOperation, SnapshotRef,
    TableMetadata,
};
use iceberg::table::Table;

use super::partitions::Replaced;
use super::{Base, Commit, CommitKey, Committed, Operation};
use crate::error::{Error, ErrorKind, Result};
use crate::table::Warehouse;
use crate::table::files::{load_manifests, manifest_list};
use crate::table::history::{ancestors, no_snapshot};

/// Summary key of a picked snapshot: its source.
const SOURCE_SNAPSHOT: &str = "source-snapshot-id";
/// Summary key of a staged snapshot: the name of its work, which is published once (write, audit, publish).
const STAGED_ID: &str = "wap.id";
/// Summary key of a picked snapshot: the `wap.id` of its source.
const PUBLISHED_ID: &str = "published-wap-id";
/// Summary key of a dynamic overwrite, which replaces the partitions of its added files.
pub(super) const REPLACES_PARTITIONS: &str = "replace-partitions";

/// A snapshot to apply again.
#[derive(Debug, Clone)]
pub struct CherryPick {
    /// The snapshot.
    pub source: i64,
    /// What it replaced; `None` for an append.
    pub replaced: Option<Replaced>,
}

/// How a snapshot is picked into the main branch.
#[derive(Debug)]
pub(crate) enum Picked {
    /// It becomes the current snapshot.
    FastForward,
    /// Its changes are committed again.
    Again(CherryPick),
}

impl CherryPick {
    /// How the snapshot of this id is picked into the table's main branch.
    ///
    /// # Errors
    /// `NotFound` if there is no such snapshot; `Invalid` if it cannot be picked, or already was.
    pub(crate) fn resolve(metadata: &TableMetadata, source: i64) -> Result<Picked> {
        let invalid = |what: &str| Err(Error::new(ErrorKind::Invalid, format!("snapshot {source} {what}")));
        let snapshot = metadata.snapshot_by_id(source).ok_or_else(|| no_snapshot(metadata, source))?;
        check_unpublished(metadata, source)?;
        let parent = snapshot.parent_snapshot_id();
        if parent == metadata.current_snapshot_id() {
            return Ok(Picked::FastForward);
        }
        let replaced = match snapshot.summary().operation {
            SnapshotOperation::Append => None,
            SnapshotOperation::Overwrite if is_dynamic(snapshot) => {
                if parent.is_some_and(|id| ancestors(metadata).all(|s| s.snapshot_id() != id)) {
                    return invalid("replaced partitions of a snapshot that is not an ancestor of the current one");
                }
                Some(Replaced::Touched)
            }
            _ => {
                return invalid(
                    "cannot be cherry-picked: only appends, overwrites of whole partitions, and children of the current \
                     snapshot can",
                );
            }
        };
        Ok(Picked::Again(Self { source, replaced }))
    }

    /// Fails if the snapshot was published to the main branch meanwhile.
    pub(super) fn check(&self, metadata: &TableMetadata) -> Result<()> {
        check_unpublished(metadata, self.source)
    }
}

fn is_dynamic(snapshot: &SnapshotRef) -> bool {
    entry(snapshot, REPLACES_PARTITIONS).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn entry<'a>(snapshot: &'a SnapshotRef, name: &str) -> Option<&'a String> {
    snapshot.summary().additional_properties.get(name)
}

/// Fails if the main branch contains the snapshot, a pick of it, or a snapshot that published the same work.
fn check_unpublished(metadata: &TableMetadata, source: i64) -> Result<()> {
    let published = |what: String| Err(Error::new(ErrorKind::Invalid, what));
    let staged = metadata.snapshot_by_id(source).and_then(|s| entry(s, STAGED_ID));
    for ancestor in ancestors(metadata) {
        let id = ancestor.snapshot_id();
        if id == source {
            return published(format!("snapshot {source} is an ancestor of the current snapshot already"));
        }
        if entry(ancestor, SOURCE_SNAPSHOT).is_some_and(|from| *from == source.to_string()) {
            return published(format!("snapshot {source} was picked before, as snapshot {id}"));
        }
        let names = [STAGED_ID, PUBLISHED_ID].map(|name| entry(ancestor, name));
        if let Some(staged) = staged.filter(|staged| names.contains(&Some(*staged))) {
            return published(format!(
                "{STAGED_ID} {staged} of snapshot {source} was published before, by snapshot {id}"
            ));
        }
    }
    Ok(())
}

impl Warehouse {
    /// Commits the changes of a snapshot again, to the current main branch.
    pub(crate) async fn pick(&self, table: &Table, pick: CherryPick) -> Result<Committed> {
        let metadata = table.metadata();
        let source = metadata.snapshot_by_id(pick.source).ok_or_else(|| no_snapshot(metadata, pick.source))?;
        let added =
            added_by(table, source).await.map_err(|e| e.context(format_args!("table {}", table.identifier())))?;
        let mut summary = BTreeMap::from([(SOURCE_SNAPSHOT.to_string(), pick.source.to_string())]);
        summary.extend(entry(source, STAGED_ID).map(|staged| (PUBLISHED_ID.to_string(), staged.clone())));
        // The replaced partitions must be unchanged since then; an append may follow anything.
        let base = Base { snapshot_id: source.parent_snapshot_id(), ..Base::of(table, MAIN_BRANCH) };
        self.commit(Commit {
            table: table.identifier().clone(),
            branch: MAIN_BRANCH.to_string(),
            base,
            operation: Operation::CherryPick(pick),
            added,
            key: CommitKey::unique(),
            summary,
        })
        .await
    }
}

/// The data files that a snapshot added.
async fn added_by(table: &Table, snapshot: &SnapshotRef) -> Result<Vec<DataFile>> {
    let id = snapshot.snapshot_id();
    let unsupported = |what: &str| Error::new(ErrorKind::Unsupported, format!("snapshot {id} {what}"));
    let mut own = manifest_list(table, snapshot).await?;
    own.retain(|manifest| manifest.added_snapshot_id == id && manifest.has_added_files());
    if own.iter().any(|manifest| manifest.content == ManifestContentType::Deletes) {
        return Err(unsupported("added row-level deletes, which cannot be cherry-picked"));
    }
    if own.iter().any(|manifest| manifest.partition_spec_id != table.metadata().default_partition_spec_id()) {
        return Err(unsupported("was written with a partition spec that is not the table's current one"));
    }
    let mut added = Vec::new();
    for (_, manifest) in load_manifests(table.file_io(), own).await? {
        let is_new = |e: &&iceberg::spec::ManifestEntryRef| e.status() == ManifestStatus::Added;
        added.extend(manifest.entries().iter().filter(is_new).map(|e| e.data_file().clone()));
    }
    Ok(added)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::spec::{Snapshot, Summary};

    use super::super::tests::events_metadata;
    use super::*;

    /// Adds a snapshot to a branch, which is created at its parent if necessary.
    fn with(
        metadata: TableMetadata,
        branch: &str,
        (id, parent): (i64, Option<i64>),
        operation: SnapshotOperation,
        entries: &[(&str, &str)],
    ) -> TableMetadata {
        let entries = entries.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        let summary = Summary { operation, additional_properties: HashMap::from_iter(entries) };
        let snapshot = Snapshot::builder()
            .with_snapshot_id(id)
            .with_parent_snapshot_id(parent)
            .with_sequence_number(metadata.next_sequence_number())
            .with_timestamp_ms(metadata.last_updated_ms() + id)
            .with_manifest_list("file:///none")
            .with_summary(summary)
            .with_schema_id(0)
            .build();
        let builder = metadata.into_builder(None).set_branch_snapshot(snapshot, branch).unwrap();
        builder.build().unwrap().metadata
    }

    #[test]
    fn what_may_be_picked() {
        use SnapshotOperation::{Append, Delete, Overwrite};
        let dynamic = [(REPLACES_PARTITIONS, "true")];
        let staged = [(STAGED_ID, "night")];
        let mut metadata = with(events_metadata(), "main", (1, None), Append, &[]);
        metadata = with(metadata, "main", (2, Some(1)), Append, &[]);
        metadata = with(metadata, "main", (3, Some(2)), Append, &[(SOURCE_SNAPSHOT, "10"), (PUBLISHED_ID, "night")]);
        metadata = with(metadata, "a", (10, Some(1)), Append, &staged);
        metadata = with(metadata, "b", (11, Some(1)), Append, &[]);
        metadata = with(metadata, "c", (12, Some(1)), Append, &staged);
        metadata = with(metadata, "d", (13, Some(1)), Overwrite, &dynamic);
        metadata = with(metadata, "e", (14, Some(11)), Overwrite, &dynamic);
        metadata = with(metadata, "f", (15, Some(1)), Overwrite, &[]);
        metadata = with(metadata, "g", (16, Some(1)), Delete, &[]);
        metadata = with(metadata, "h", (17, Some(3)), Delete, &[]);
        metadata = with(metadata, "i", (18, None), Overwrite, &dynamic);
        let check = |source: i64, expected: &str| {
            let resolved = match CherryPick::resolve(&metadata, source) {
                Ok(Picked::FastForward) => "fast-forward".to_string(),
                Ok(Picked::Again(pick)) => format!("again, replacing {:?}", pick.replaced),
                Err(e) => format!("{:?}: {e}", e.kind()),
            };
            assert_eq!(resolved, expected, "{source}");
        };
        check(1, "Invalid: snapshot 1 is an ancestor of the current snapshot already");
        check(3, "Invalid: snapshot 3 is an ancestor of the current snapshot already");
        check(9, "NotFound: the table has no snapshot 9; it never existed or has expired");
        check(10, "Invalid: snapshot 10 was picked before, as snapshot 3");
        check(11, "again, replacing None");
        check(12, "Invalid: wap.id night of snapshot 12 was published before, by snapshot 3");
        check(13, "again, replacing Some(Touched)");
        check(14, "Invalid: snapshot 14 replaced partitions of a snapshot that is not an ancestor of the current one");
        let cannot = "cannot be cherry-picked: only appends, overwrites of whole partitions, and children of the \
                      current snapshot can";
        check(15, &format!("Invalid: snapshot 15 {cannot}"));
        check(16, &format!("Invalid: snapshot 16 {cannot}"));
        check(17, "fast-forward");
        check(18, "again, replacing Some(Touched)");
    }
}
