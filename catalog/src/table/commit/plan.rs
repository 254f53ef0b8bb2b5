//! The decisions of a commit, on plain data: whether it is allowed, whether concurrent commits conflict, which
//! manifests stay, and the snapshot's summary. Nothing here reads or writes a file.

use std::collections::{BTreeMap, HashMap, HashSet};

use iceberg::spec::{
    DataContentType, DataFile, FormatVersion, MAIN_BRANCH, Manifest, ManifestFile, ManifestStatus,
    Operation as SnapshotOperation, SnapshotRef, Struct, Summary, TableMetadata,
};

use super::cherry_pick::{CherryPick, REPLACES_PARTITIONS};
use super::history::{self, COMMIT_KEY};
use super::partitions::{Selection, describe};
use super::{Commit, Operation};
use crate::error::{Error, ErrorKind, Result};

/// What to do for a commit, given the table's metadata.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    /// The commit of this key is in the table's history: this is its snapshot.
    Done(&'a SnapshotRef),
    /// An append of no files changes nothing.
    Nothing,
    /// The commit proceeds, unless one of the snapshots after the base conflicts.
    Go { since_base: Vec<&'a SnapshotRef> },
}

pub(super) fn examine<'a>(metadata: &'a TableMetadata, commit: &Commit) -> Result<Verdict<'a>> {
    let conflict = |what: &str| Err(Error::new(ErrorKind::Conflict, what));
    if metadata.uuid() != commit.base.uuid {
        return conflict("it was dropped and created again since this write began");
    }
    let head = history::head(metadata, &commit.branch);
    if head.is_none() && commit.branch != MAIN_BRANCH {
        return conflict(&format!("branch {} was dropped since this write began", commit.branch));
    }
    if let Some(done) = history::find_commit(metadata, &commit.branch, &commit.key) {
        return Ok(Verdict::Done(done));
    }
    if metadata.format_version() != FormatVersion::V2 {
        let message = format!("format version {} can be read but not written yet", metadata.format_version());
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if metadata.current_schema_id() != commit.base.schema_id {
        return conflict("its columns were changed since this write began");
    }
    if metadata.default_partition_spec_id() != commit.base.spec_id {
        return conflict("its partitioning was changed since this write began");
    }
    check_added(metadata, &commit.added)?;
    if let Operation::CherryPick(pick) = &commit.operation {
        pick.check(metadata)?;
    }
    match commit.operation {
        Operation::Append if commit.added.is_empty() => Ok(Verdict::Nothing),
        // Added rows do not affect concurrent commits, and a truncation applies after all of them.
        Operation::Append | Operation::Truncate | Operation::CherryPick(CherryPick { replaced: None, .. }) => {
            Ok(Verdict::Go { since_base: Vec::new() })
        }
        Operation::Overwrite(ref change) if change.removed.is_empty() && commit.added.is_empty() => {
            Ok(Verdict::Nothing)
        }
        Operation::Replace(_) | Operation::Overwrite(_) | Operation::CherryPick(_) => {
            let is_base = |s: &SnapshotRef| Some(s.snapshot_id()) == commit.base.snapshot_id;
            let since_base: Vec<_> = history::ancestors_of(metadata, head).take_while(|s| !is_base(s)).collect();
            let reached = match since_base.last() {
                Some(oldest) => oldest.parent_snapshot_id(),
                None => head.map(|s| s.snapshot_id()),
            };
            if reached != commit.base.snapshot_id {
                return conflict("the snapshot that this write read was rolled back or expired since");
            }
            Ok(Verdict::Go { since_base })
        }
    }
}

/// Refuses files that would make the table unreadable, which would be a bug.
fn check_added(metadata: &TableMetadata, added: &[DataFile]) -> Result<()> {
    let ty = metadata.default_partition_type();
    let fits = |partition: &Struct| {
        let value_fits = |(value, field): (Option<&iceberg::spec::Literal>, &iceberg::spec::NestedFieldRef)| match value
        {
            Some(value) => match (field.field_type.as_primitive_type(), value.as_primitive_literal()) {
                (Some(ty), Some(value)) => ty.compatible(&value),
                _ => false,
            },
            None => true,
        };
        partition.fields().len() == ty.fields().len() && partition.iter().zip(ty.fields()).all(value_fits)
    };
    let mut paths = HashSet::new();
    for file in added {
        let path = file.file_path();
        let wrong = if file.content_type() != DataContentType::Data {
            "is not a data file"
        } else if !fits(file.partition()) {
            "has a partition that does not match the table's partition spec"
        } else if !paths.insert(path) {
            "is added twice"
        } else {
            continue;
        };
        return Err(Error::new(ErrorKind::Internal, format!("file {path} {wrong}")));
    }
    Ok(())
}

/// Refuses rows outside of the replaced partitions: running the statement again would duplicate them.
pub(super) fn check_within(metadata: &TableMetadata, selection: &Selection, added: &[DataFile]) -> Result<()> {
    let spec_id = metadata.default_partition_spec_id();
    for file in added {
        if !selection.fully_matches(spec_id, file)? {
            let partition = describe(metadata, spec_id, file.partition());
            let message = format!("rows were written to {partition}, which is not one of the replaced partitions");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    Ok(())
}

/// Whether a snapshot may have changed rows, and not only how they are stored.
pub(super) fn changes_rows(snapshot: &SnapshotRef) -> bool {
    snapshot.summary().operation != SnapshotOperation::Replace
}

/// Fails if `snapshot` added a file to, or removed one from, the replaced partitions. `manifests` are those that the
/// snapshot itself wrote.
pub(super) fn check_conflict(
    metadata: &TableMetadata,
    selection: &Selection,
    snapshot: &SnapshotRef,
    manifests: &[(ManifestFile, Manifest)],
) -> Result<()> {
    for (file, manifest) in manifests {
        for entry in manifest.entries() {
            let is_change = entry.status() != ManifestStatus::Existing
                && entry.snapshot_id().is_none_or(|id| id == snapshot.snapshot_id());
            if is_change && selection.fully_matches(file.partition_spec_id, entry.data_file())? {
                let partition = describe(metadata, file.partition_spec_id, entry.data_file().partition());
                let message = format!(
                    "another writer changed {partition} (snapshot {}, {}) since this write began; run the \
                     statement again",
                    snapshot.snapshot_id(),
                    snapshot.summary().operation.as_str(),
                );
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
    }
    Ok(())
}

/// How a new snapshot uses a manifest of its parent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ManifestAction {
    /// The new snapshot contains it unchanged.
    Keep,
    /// It is rewritten, with the entries at these indices marked as deleted.
    Rewrite(Vec<usize>),
}

/// How a new snapshot uses a manifest that may list replaced files.
pub(super) fn manifest_action(
    selection: &Selection,
    file: &ManifestFile,
    manifest: &Manifest,
) -> Result<ManifestAction> {
    let mut removed = Vec::new();
    for (at, entry) in manifest.entries().iter().enumerate() {
        if entry.is_alive() && selection.fully_matches(file.partition_spec_id, entry.data_file())? {
            removed.push(at);
        }
    }
    Ok(if removed.is_empty() { ManifestAction::Keep } else { ManifestAction::Rewrite(removed) })
}

/// Counts of added or removed files.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Data files.
    pub files: u64,
    /// Rows in data files.
    pub rows: u64,
    /// Bytes of data and delete files.
    pub bytes: u64,
    /// Position delete files.
    pub position_delete_files: u64,
    /// Rows in position delete files.
    pub position_deletes: u64,
    /// Equality delete files.
    pub equality_delete_files: u64,
    /// Rows in equality delete files.
    pub equality_deletes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, file: &DataFile) {
        self.bytes += file.file_size_in_bytes();
        let rows = file.record_count();
        let (files, counted) = match file.content_type() {
            DataContentType::Data => (&mut self.files, &mut self.rows),
            DataContentType::PositionDeletes => (&mut self.position_delete_files, &mut self.position_deletes),
            DataContentType::EqualityDeletes => (&mut self.equality_delete_files, &mut self.equality_deletes),
        };
        *files += 1;
        *counted += rows;
    }

    fn delete_files(&self) -> u64 {
        self.position_delete_files + self.equality_delete_files
    }
}

/// All changes of a new snapshot.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) added: Tally,
    pub(super) removed: Tally,
    /// Spec and values of each changed partition.
    pub(super) partitions: HashSet<(i32, Struct)>,
}

impl Changes {
    pub(super) fn add(&mut self, spec_id: i32, file: &DataFile) {
        self.added.add(file);
        self.touch(spec_id, file);
    }

    pub(super) fn remove(&mut self, spec_id: i32, file: &DataFile) {
        self.removed.add(file);
        self.touch(spec_id, file);
    }

    fn touch(&mut self, spec_id: i32, file: &DataFile) {
        if !file.partition().fields().is_empty() {
            self.partitions.insert((spec_id, file.partition().clone()));
        }
    }
}

/// The summary of the new snapshot, with the keys that all Iceberg implementations write.
pub(super) fn summary(
    operation: &Operation,
    key: &str,
    given: &BTreeMap<String, String>,
    changes: &Changes,
    previous: Option<&Summary>,
) -> Summary {
    let mut properties: HashMap<String, String> = given.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    properties.insert(COMMIT_KEY.into(), key.into());
    properties.insert("engine-name".into(), "bergmill".into());
    properties.insert("engine-version".into(), env!("CARGO_PKG_VERSION").into());
    if matches!(operation, Operation::Replace(super::Replaced::Touched)) {
        properties.insert(REPLACES_PARTITIONS.into(), "true".into());
    }
    let (added, removed) = (&changes.added, &changes.removed);
    let counts = [
        ("total-data-files", "added-data-files", "deleted-data-files", added.files, removed.files),
        ("total-records", "added-records", "deleted-records", added.rows, removed.rows),
        ("total-files-size", "added-files-size", "removed-files-size", added.bytes, removed.bytes),
        (
            "total-delete-files",
            "added-delete-files",
            "removed-delete-files",
            added.delete_files(),
            removed.delete_files(),
        ),
        (
            "total-position-deletes",
            "added-position-deletes",
            "removed-position-deletes",
            added.position_deletes,
            removed.position_deletes,
        ),
        (
            "total-equality-deletes",
            "added-equality-deletes",
            "removed-equality-deletes",
            added.equality_deletes,
            removed.equality_deletes,
        ),
    ];
    let mut put = |name: &str, count: u64| {
        match count {
            0 => properties.remove(name),
            n => properties.insert(name.into(), n.to_string()),
        };
    };
    for (_, name_added, name_removed, added, removed) in counts {
        put(name_added, added);
        put(name_removed, removed);
    }
    put("removed-position-delete-files", removed.position_delete_files);
    put("removed-equality-delete-files", removed.equality_delete_files);
    put("changed-partition-count", changes.partitions.len() as u64);
    for (name_total, _, _, added, removed) in counts {
        let before = match previous {
            None => Some(0),
            Some(summary) => summary.additional_properties.get(name_total).and_then(|text| text.parse::<u64>().ok()),
        };
        // A total that the parent snapshot does not record stays unknown.
        properties.remove(name_total);
        if let Some(total) = before.and_then(|before| (before + added).checked_sub(removed)) {
            properties.insert(name_total.into(), total.to_string());
        }
    }
    let operation = match operation {
        Operation::Append | Operation::CherryPick(CherryPick { replaced: None, .. }) => SnapshotOperation::Append,
        Operation::Replace(_) | Operation::CherryPick(_) => SnapshotOperation::Overwrite,
        Operation::Truncate => SnapshotOperation::Delete,
        // By its effect, as in the reference implementation.
        Operation::Overwrite(_) => match (added.files, removed.files) {
            (_, 0) => SnapshotOperation::Append,
            (0, _) => SnapshotOperation::Delete,
            _ => SnapshotOperation::Overwrite,
        },
    };
    Summary { operation, additional_properties: properties }
}

#[cfg(test)]
mod tests {
    use iceberg::spec::Snapshot;

    use super::super::tests::{DAY, commit_to, event_file, events_metadata};
    use super::super::{CommitKey, Replaced};
    use super::*;

    /// A table with these snapshots in order, each with its commit key.
    fn with_snapshots(keys: &[(i64, &str)]) -> TableMetadata {
        let mut metadata = events_metadata();
        for (id, key) in keys {
            let summary = Summary {
                operation: SnapshotOperation::Append,
                additional_properties: HashMap::from([(COMMIT_KEY.to_string(), key.to_string())]),
            };
            let snapshot = Snapshot::builder()
                .with_snapshot_id(*id)
                .with_parent_snapshot_id(metadata.current_snapshot_id())
                .with_sequence_number(metadata.next_sequence_number())
                .with_timestamp_ms(metadata.last_updated_ms() + 1)
                .with_manifest_list("file:///none")
                .with_summary(summary)
                .with_schema_id(0)
                .build();
            let builder = metadata.into_builder(None).set_branch_snapshot(snapshot, MAIN_BRANCH).unwrap();
            metadata = builder.build().unwrap().metadata;
        }
        metadata
    }

    #[test]
    fn verdicts() {
        let metadata = with_snapshots(&[(1, "one"), (2, "two"), (3, "three")]);
        let replace = || Operation::Replace(Replaced::All);
        let check = |base: Option<i64>, operation: Operation, key: &str, expected: &str| {
            let mut commit = commit_to(&metadata, operation, vec![event_file("a", DAY, "view", 1)]);
            commit.base.snapshot_id = base;
            commit.key = CommitKey::new(key);
            let ids = |s: &[&SnapshotRef]| s.iter().map(|s| s.snapshot_id()).collect::<Vec<_>>();
            let verdict = match examine(&metadata, &commit) {
                Ok(Verdict::Done(s)) => format!("done in {}", s.snapshot_id()),
                Ok(Verdict::Nothing) => "nothing".to_string(),
                Ok(Verdict::Go { since_base }) => format!("go, checking {:?}", ids(&since_base)),
                Err(e) => format!("{:?}", e.kind()),
            };
            assert_eq!(verdict, expected);
        };
        check(Some(3), Operation::Append, "new", "go, checking []");
        check(Some(1), Operation::Append, "new", "go, checking []");
        check(Some(3), replace(), "new", "go, checking []");
        check(Some(1), replace(), "new", "go, checking [3, 2]");
        check(None, replace(), "new", "go, checking [3, 2, 1]");
        check(Some(9), replace(), "new", "Conflict");
        check(Some(1), replace(), "two", "done in 2");
        check(Some(9), Operation::Append, "three", "done in 3");
    }

    #[test]
    fn what_a_write_relied_on_must_still_hold() {
        let metadata = events_metadata();
        let check = |change: fn(&mut Commit), expected: &str| {
            let mut commit = commit_to(&metadata, Operation::Append, vec![event_file("a", DAY, "view", 1)]);
            change(&mut commit);
            let e = examine(&metadata, &commit).unwrap_err();
            assert_eq!(format!("{:?}: {e}", e.kind()), expected);
        };
        check(|c| c.base.uuid = uuid::Uuid::nil(), "Conflict: it was dropped and created again since this write began");
        check(|c| c.base.schema_id = 1, "Conflict: its columns were changed since this write began");
        check(|c| c.base.spec_id = 1, "Conflict: its partitioning was changed since this write began");
        check(|c| c.added.push(c.added[0].clone()), "Internal: file a is added twice");
    }

    #[test]
    fn totals_follow_from_the_parents_summary() {
        let tally = |files, rows, bytes| Tally { files, rows, bytes, ..Tally::default() };
        let changes = Changes { added: tally(2, 20, 200), removed: tally(1, 5, 50), partitions: HashSet::default() };
        let check = |previous: Option<&[(&str, &str)]>, name: &str, expected: Option<&str>| {
            let previous = previous.map(|entries| Summary {
                operation: SnapshotOperation::Append,
                additional_properties: entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            });
            let given = BTreeMap::from([("added-records".to_string(), "wrong".to_string())]);
            let made = summary(&Operation::Append, "k", &given, &changes, previous.as_ref());
            assert_eq!(made.additional_properties.get(name).map(String::as_str), expected, "{name}");
        };
        check(Some(&[("total-records", "100")]), "total-records", Some("115"));
        check(Some(&[("total-records", "100")]), "total-data-files", None);
        check(Some(&[("total-records", "?")]), "total-records", None);
        check(Some(&[("total-records", "1")]), "total-records", Some("16"));
        check(Some(&[]), "added-records", Some("20"));
        check(Some(&[]), "deleted-data-files", Some("1"));
        check(Some(&[]), COMMIT_KEY, Some("k"));
        let nothing = Changes::default();
        let made = summary(&Operation::Append, "k", &BTreeMap::new(), &nothing, None);
        assert_eq!(made.additional_properties["total-records"], "0");
    }
}
