//! The files of a new snapshot: manifests, the manifest list and the metadata that adds it to the table.

use std::collections::{HashMap, HashSet};

use iceberg::TableUpdate;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, Manifest, ManifestContentType, ManifestFile, ManifestListWriter, ManifestWriter, ManifestWriterBuilder,
    PartitionSpec, SchemaRef, Snapshot, SnapshotRef, TableMetadata, UNASSIGNED_SEQUENCE_NUMBER,
};
use iceberg::table::Table;
use uuid::Uuid;

use super::cherry_pick::CherryPick;
use super::history::head;
use super::partitions::Selection;
use super::plan::{self, Changes, ManifestAction, Tally, Verdict};
use super::{Commit, Committed, Operation, overwrite};
use crate::error::{Error, ErrorKind, Result};
use crate::table::discard;
use crate::table::files::{has_live_files, load_manifests, manifest_list};
use crate::table::metadata_paths::{expired, metadata_folder, next_location};

/// The summary key under which a snapshot records the number of retries of its commit.
const COMMIT_RETRIES: &str = "bergmill.commit-retries";

/// The state that attempts of a commit share: the snapshot's identity, and manifests that the next attempt reuses.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) snapshot_id: i64,
    /// Part of the names of this commit's files.
    uuid: Uuid,
    added: Option<ManifestFile>,
    /// Rewritten manifests by the path of the manifest that each replaces, with the files removed from it.
    rewritten: HashMap<String, (ManifestFile, Vec<(i32, DataFile)>)>,
    /// Paths of manifests without replaced files.
    untouched: HashSet<String>,
    /// Concurrent snapshots without a conflict.
    checked: HashSet<i64>,
    /// Paths of written manifests that are not part of the table.
    written: Vec<String>,
    /// The `FileIO` that wrote them.
    files: Option<FileIO>,
    attempts: u32,
}

/// An attempt that is ready to be committed to the catalog.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) metadata: TableMetadata,
    /// The location of the metadata file, which is not written yet.
    pub(super) location: String,
    /// The updates from the table's metadata to it.
    pub(super) updates: Vec<TableUpdate>,
    pub(super) manifest_list: String,
    /// Paths of all manifests of the new snapshot.
    pub(super) manifests: HashSet<String>,
    /// Expired metadata files to delete after the commit, if the table's properties say so.
    pub(super) expired: Vec<String>,
    pub(super) committed: Committed,
}

#[derive(Debug)]
pub(super) enum Prepared {
    /// There is nothing to commit.
    Done(Committed),
    Ready(Box<Ready>),
}

impl Staged {
    pub(super) fn new() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        Self {
            // Positive, as in other implementations.
            snapshot_id: ((high ^ low) >> 1).max(1) as i64,
            uuid: Uuid::new_v4(),
            added: None,
            rewritten: HashMap::new(),
            untouched: HashSet::new(),
            checked: HashSet::new(),
            written: Vec::new(),
            files: None,
            attempts: 0,
        }
    }

    /// Marks manifests as part of the table.
    pub(super) fn in_use(&mut self, manifests: HashSet<String>) {
        self.written.retain(|path| !manifests.contains(path));
    }

    /// Deletes written manifests that are unused.
    pub(super) async fn discard_unused(self) {
        if let Some(files) = self.files {
            discard(&files, self.written).await;
        }
    }

    fn manifest_writer(
        &mut self,
        table: &Table,
        content: ManifestContentType,
        schema: SchemaRef,
        spec: PartitionSpec,
    ) -> Result<ManifestWriter> {
        let path = format!("{}/{}-m{}.avro", metadata_folder(table.metadata())?, self.uuid, self.written.len());
        let output = table.file_io().new_output(&path)?;
        self.files = Some(table.file_io().clone());
        self.written.push(path);
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec);
        Ok(match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        })
    }

    /// The manifest of the added files. Their sequence numbers are inherited from the manifest list, which is why one
    /// manifest serves all attempts.
    async fn added_manifest(&mut self, table: &Table, added: &[DataFile]) -> Result<Option<ManifestFile>> {
        if self.added.is_none() && !added.is_empty() {
            let metadata = table.metadata();
            let (schema, spec) = (metadata.current_schema().clone(), metadata.default_partition_spec());
            let mut writer = self.manifest_writer(table, ManifestContentType::Data, schema, spec.as_ref().clone())?;
            for file in added {
                writer.add_file(file.clone(), UNASSIGNED_SEQUENCE_NUMBER)?;
            }
            self.added = Some(writer.write_manifest_file().await?);
        }
        Ok(self.added.clone())
    }

    /// The files that were not removed from any of the manifests by a rewrite.
    fn missing<'a>(&self, manifests: &[ManifestFile], paths: &'a HashSet<String>) -> Vec<&'a String> {
        let rewritten = manifests.iter().filter_map(|m| self.rewritten.get(&m.manifest_path));
        let found: HashSet<&str> = rewritten.flat_map(|(_, gone)| gone.iter().map(|(_, f)| f.file_path())).collect();
        paths.iter().filter(|p| !found.contains(p.as_str())).collect()
    }

    /// Rewrites a manifest with its schema and spec, and with the entries at `removed` marked as deleted.
    async fn rewrite(&mut self, table: &Table, file: &ManifestFile, from: &Manifest, removed: &[usize]) -> Result<()> {
        let (schema, spec) = (from.metadata().schema().clone(), from.metadata().partition_spec().clone());
        let mut writer = self.manifest_writer(table, file.content, schema, spec)?;
        let removed: HashSet<&usize> = removed.iter().collect();
        let mut gone = Vec::new();
        for (at, entry) in from.entries().iter().enumerate() {
            if !entry.is_alive() {
                continue;
            }
            let (Some(sequence), Some(added_by)) = (entry.sequence_number(), entry.snapshot_id()) else {
                let message = format!("{}: {} has no sequence number", file.manifest_path, entry.file_path());
                return Err(Error::new(ErrorKind::Corrupt, message));
            };
            let file_sequence = entry.file_sequence_number.or(Some(sequence));
            let data_file = entry.data_file().clone();
            if removed.contains(&at) {
                gone.push((file.partition_spec_id, data_file.clone()));
                writer.add_delete_file(data_file, sequence, file_sequence)?;
            } else {
                writer.add_existing_file(data_file, added_by, sequence, file_sequence)?;
            }
        }
        let rewritten = writer.write_manifest_file().await?;
        self.rewritten.insert(file.manifest_path.clone(), (rewritten, gone));
        Ok(())
    }
}

/// Prepares a commit up to its last step.
pub(super) async fn prepare(table: &Table, commit: &Commit, staged: &mut Staged) -> Result<Prepared> {
    let metadata = table.metadata();
    let over = |snapshot_id, already| {
        let (added, removed) = (Tally::default(), Tally::default());
        Ok(Prepared::Done(Committed { snapshot_id, already, retries: 0, added, removed }))
    };
    let since_base = match plan::examine(metadata, commit)? {
        Verdict::Done(snapshot) => {
            let ours = snapshot.snapshot_id() == staged.snapshot_id;
            debug_assert!(!ours, "an attempt that lost was committed");
            if ours {
                staged.written.clear();
            }
            return over(Some(snapshot.snapshot_id()), !ours);
        }
        Verdict::Nothing => return over(head(metadata, &commit.branch).map(|s| s.snapshot_id()), false),
        Verdict::Go { since_base } => since_base,
    };
    let selection = match &commit.operation {
        Operation::Append | Operation::CherryPick(CherryPick { replaced: None, .. }) => Selection::Nothing,
        Operation::Truncate => Selection::All,
        Operation::Replace(replaced) | Operation::CherryPick(CherryPick { replaced: Some(replaced), .. }) => {
            let selection = Selection::resolve(metadata, replaced, &commit.added)?;
            plan::check_within(metadata, &selection, &commit.added)?;
            for snapshot in since_base {
                check_no_conflict(table, &selection, snapshot, staged).await?;
            }
            selection
        }
        Operation::Overwrite(change) => {
            change.check(table, &since_base).await?;
            Selection::Files(change.paths())
        }
    };

    let mut changes = Changes::default();
    for file in &commit.added {
        changes.add(commit.base.spec_id, file);
    }
    let mut manifests = match &commit.operation {
        Operation::Overwrite(change) => {
            let named = change.manifests();
            let first = |m: &ManifestFile| named.contains(m.manifest_path.as_str());
            carried_over(table, &commit.branch, &selection, first, staged, &mut changes).await?
        }
        _ => carried_over(table, &commit.branch, &selection, |_| true, staged, &mut changes).await?,
    };
    manifests.extend(staged.added_manifest(table, &commit.added).await?);
    let ready = write_snapshot(table, commit, staged, manifests, changes).await?;
    Ok(Prepared::Ready(Box::new(ready)))
}

/// Fails if a snapshot after the base changed the replaced partitions.
async fn check_no_conflict(
    table: &Table,
    selection: &Selection,
    snapshot: &SnapshotRef,
    staged: &mut Staged,
) -> Result<()> {
    let id = snapshot.snapshot_id();
    if staged.checked.contains(&id) || !plan::changes_rows(snapshot) {
        return Ok(());
    }
    let mut own = manifest_list(table, snapshot).await?;
    own.retain(|m| m.added_snapshot_id == id && selection.may_match(m));
    let own = load_manifests(table.file_io(), own).await?;
    plan::check_conflict(table.metadata(), selection, snapshot, &own)?;
    staged.checked.insert(id);
    Ok(())
}

/// The manifests of the branch's current snapshot, without the removed files. Manifests for which `first` is true are
/// searched first; the others are only opened if some of the given files are still missing.
async fn carried_over(
    table: &Table,
    branch: &str,
    selection: &Selection,
    first: impl Fn(&ManifestFile) -> bool,
    staged: &mut Staged,
    changes: &mut Changes,
) -> Result<Vec<ManifestFile>> {
    let mut manifests = match head(table.metadata(), branch) {
        Some(current) => manifest_list(table, current).await?,
        None => Vec::new(),
    };
    // Manifests with only deleted files are not carried over to a new snapshot.
    manifests.retain(has_live_files);

    rewrite_manifests(table, selection, manifests.iter().filter(|m| first(m)), staged).await?;
    if let Selection::Files(paths) = selection {
        if !staged.missing(&manifests, paths).is_empty() {
            rewrite_manifests(table, selection, manifests.iter().filter(|m| !first(m)), staged).await?;
        }
        let missing = staged.missing(&manifests, paths);
        if !missing.is_empty() {
            return Err(overwrite::missing_files(missing));
        }
    }
    for manifest in &mut manifests {
        if let Some((rewritten, removed)) = staged.rewritten.get(&manifest.manifest_path) {
            *manifest = rewritten.clone();
            removed.iter().for_each(|(spec_id, file)| changes.remove(*spec_id, file));
        }
    }
    Ok(manifests)
}

/// Rewrites the manifests that list files to remove.
async fn rewrite_manifests(
    table: &Table,
    selection: &Selection,
    among: impl Iterator<Item = &ManifestFile>,
    staged: &mut Staged,
) -> Result<()> {
    let is_open = |m: &&ManifestFile| {
        let path = &m.manifest_path;
        selection.may_match(m) && !staged.untouched.contains(path) && !staged.rewritten.contains_key(path)
    };
    let open: Vec<ManifestFile> = among.filter(is_open).cloned().collect();
    for (file, manifest) in load_manifests(table.file_io(), open).await? {
        match plan::manifest_action(selection, &file, &manifest)? {
            ManifestAction::Keep => drop(staged.untouched.insert(file.manifest_path)),
            ManifestAction::Rewrite(removed) => staged.rewrite(table, &file, &manifest, &removed).await?,
        }
    }
    Ok(())
}

async fn write_snapshot(
    table: &Table,
    commit: &Commit,
    staged: &mut Staged,
    manifests: Vec<ManifestFile>,
    changes: Changes,
) -> Result<Ready> {
    let metadata = table.metadata();
    staged.attempts += 1;
    let (id, folder) = (staged.snapshot_id, metadata_folder(metadata)?);
    let list = format!("{folder}/snap-{id}-{}-{}.avro", staged.attempts, staged.uuid);
    let paths = manifests.iter().map(|m| m.manifest_path.clone()).collect();
    let sequence = metadata.next_sequence_number();
    let parent = head(metadata, &commit.branch);
    let parent_id = parent.map(|s| s.snapshot_id());

    let mut summary =
        plan::summary(&commit.operation, commit.key.as_str(), &commit.summary, &changes, parent.map(|s| s.summary()));
    if staged.attempts > 1 {
        // Shows in the history how much writers contend.
        summary.additional_properties.insert(COMMIT_RETRIES.to_string(), (staged.attempts - 1).to_string());
    }
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(parent_id)
        .with_sequence_number(sequence)
        // Keeps history in order despite clock differences.
        .with_timestamp_ms(chrono::Utc::now().timestamp_millis().max(metadata.last_updated_ms()))
        .with_manifest_list(list.as_str())
        .with_summary(summary)
        .with_schema_id(metadata.current_schema_id())
        .build();
    let current = table.metadata_location_result()?;
    let builder = metadata.clone().into_builder(Some(current.to_string()));
    let built = builder.set_branch_snapshot(snapshot, &commit.branch)?.build()?;
    let location = next_location(current, &built.metadata)?;

    let write = async {
        let writer = table.file_io().new_output(&list)?.writer().await?;
        let mut writer = ManifestListWriter::v2(writer, id, parent_id, sequence);
        writer.add_manifests(manifests.into_iter())?;
        writer.close().await
    };
    if let Err(e) = write.await {
        // Such as a full disk; remaining orphan files are left to maintenance.
        let _ = table.file_io().delete(&list).await;
        return Err(e.into());
    }

    let expired = expired(&built.metadata, built.expired_metadata_logs);
    let committed =
        Committed { snapshot_id: Some(id), already: false, retries: 0, added: changes.added, removed: changes.removed };
    let (metadata, updates) = (built.metadata, built.changes);
    Ok(Ready { metadata, location, updates, manifest_list: list, manifests: paths, expired, committed })
}
