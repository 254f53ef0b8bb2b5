//! Commits against a SQLite catalog and a folder. The data files are made up: a commit never opens them.

mod cherry_pick;
mod metadata_files;
mod overwrite;
mod redefined;
mod replace;
mod unknown_outcome;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bergmill_storage::Stores;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, Literal, NestedField,
    PrimitiveType, Schema, SnapshotReference, SnapshotRetention, SortOrder, Struct, TableMetadata,
    TableMetadataBuilder, Transform, Type, UnboundPartitionSpec,
};
use iceberg::{NamespaceIdent, TableIdent};
use tempfile::TempDir;

use super::*;
use crate::pointers::sql::SqlCatalog;
use crate::pointers::store::Catalog;
use crate::table::NewTable;
use crate::table::files::SnapshotFiles;

/// 2026-02-14.
pub(super) const DAY: i32 = 20_498;

fn events_table() -> NewTable {
    let optional = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
    let schema = Schema::builder().with_fields([
        optional(1, "id", PrimitiveType::Long),
        optional(2, "ts", PrimitiveType::Timestamp),
        optional(3, "event_type", PrimitiveType::String),
    ]);
    let spec = UnboundPartitionSpec::builder()
        .add_partition_field(2, "ts_day", Transform::Day)
        .and_then(|b| b.add_partition_field(3, "event_type", Transform::Identity));
    NewTable { partition_spec: spec.unwrap().build(), ..NewTable::new(schema.build().unwrap()) }
}

pub(super) fn events_metadata() -> TableMetadata {
    let NewTable { schema, partition_spec, .. } = events_table();
    let (order, at) = (SortOrder::unsorted_order(), "file:///t".to_string());
    let builder = TableMetadataBuilder::new(schema, partition_spec, order, at, FormatVersion::V2, HashMap::new());
    builder.unwrap().build().unwrap().metadata
}

pub(super) fn partition(day: Option<i32>, event_type: Option<&str>) -> Struct {
    Struct::from_iter([day.map(Literal::date), event_type.map(Literal::string)])
}

pub(super) fn event_file(path: &str, day: i32, event_type: &str, rows: u64) -> DataFile {
    file(path, partition(Some(day), Some(event_type)), rows)
}

pub(super) fn file_in(partition: Struct) -> DataFile {
    file("f", partition, 1)
}

fn file(path: &str, partition: Struct, rows: u64) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(path.to_string())
        .file_format(DataFileFormat::Parquet)
        .partition(partition)
        .record_count(rows)
        .file_size_in_bytes(rows * 10)
        .build()
        .unwrap()
}

pub(super) fn commit_to(metadata: &TableMetadata, operation: Operation, added: Vec<DataFile>) -> Commit {
    Commit {
        table: events(),
        branch: MAIN_BRANCH.to_string(),
        base: Base {
            uuid: metadata.uuid(),
            snapshot_id: metadata.current_snapshot_id(),
            schema_id: metadata.current_schema_id(),
            spec_id: metadata.default_partition_spec_id(),
        },
        operation,
        added,
        key: CommitKey::unique(),
        summary: BTreeMap::new(),
    }
}

fn events() -> TableIdent {
    TableIdent::from_strs(["raw", "events"]).unwrap()
}

fn day_is(day: i32) -> Operation {
    Operation::Replace(Replaced::Where(vec![("ts_day".to_string(), Some(Datum::date(day)))]))
}

/// A folder with a catalog and an empty `raw.events`.
struct Shop {
    folder: TempDir,
    warehouse: Warehouse,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = warehouse_in(folder.path()).await;
        warehouse.catalog().create_namespace(&NamespaceIdent::new("raw".into()), &BTreeMap::new()).await.unwrap();
        warehouse.create(&events(), events_table()).await.unwrap();
        Self { folder, warehouse }
    }

    /// A commit based on the current table.
    async fn prepared(&self, operation: Operation, added: Vec<DataFile>) -> Commit {
        commit_to(self.warehouse.load(&events()).await.unwrap().metadata(), operation, added)
    }

    async fn commit(&self, operation: Operation, added: Vec<DataFile>) -> Committed {
        self.warehouse.commit(self.prepared(operation, added).await).await.unwrap()
    }

    /// The paths of the table's live data files.
    async fn files(&self) -> Vec<String> {
        let table = self.warehouse.load(&events()).await.unwrap();
        let Some(snapshot) = table.metadata().current_snapshot() else { return Vec::new() };
        let files = SnapshotFiles::load(&table, snapshot).await.unwrap();
        let mut paths: Vec<String> = files.data.iter().map(|f| f.data_file.file_path().to_string()).collect();
        paths.sort();
        paths
    }

    /// Creates a branch at the current snapshot.
    async fn branch(&self, name: &str) {
        let make = |metadata: &TableMetadata, builder: TableMetadataBuilder| {
            let at = metadata.current_snapshot_id().unwrap();
            let reference = SnapshotReference::new(at, SnapshotRetention::branch(None, None, None));
            Ok(Some(builder.set_ref(name, reference)?))
        };
        self.warehouse.alter(&events(), make).await.unwrap();
    }

    async fn summary(&self, name: &str) -> Option<String> {
        let table = self.warehouse.load(&events()).await.unwrap();
        table.metadata().current_snapshot().unwrap().summary().additional_properties.get(name).cloned()
    }

    /// Fails if the table does not refer to a metadata file on disk, or refers to a missing one.
    async fn assert_no_orphan_files(&self) {
        let table = self.warehouse.load(&events()).await.unwrap();
        let metadata = table.metadata();
        let mut expected: BTreeSet<String> = metadata.metadata_log().iter().map(|l| l.metadata_file.clone()).collect();
        expected.insert(table.metadata_location().unwrap().to_string());
        for snapshot in metadata.snapshots() {
            expected.insert(snapshot.manifest_list().to_string());
            for manifest in crate::table::files::manifest_list(&table, snapshot).await.unwrap() {
                expected.insert(manifest.manifest_path);
            }
        }
        let folder = self.folder.path().join("wh/raw/events/metadata");
        let found: BTreeSet<String> =
            std::fs::read_dir(folder).unwrap().map(|f| format!("file://{}", f.unwrap().path().display())).collect();
        assert_eq!(found, expected);
    }
}

async fn warehouse_in(folder: &Path) -> Warehouse {
    let catalog = SqlCatalog::open(folder.join("catalog.db"), "test").await.unwrap();
    warehouse_with(Arc::new(catalog), folder)
}

fn warehouse_with(catalog: Arc<dyn Catalog>, folder: &Path) -> Warehouse {
    Warehouse::new(catalog, Stores::local(), &format!("file://{}/wh", folder.display())).unwrap()
}

#[tokio::test]
async fn appends_add_up() {
    let shop = Shop::open().await;
    let first = shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 3)]).await;
    assert_eq!((first.added.files, first.added.rows, first.added.bytes, first.already), (1, 3, 30, false));
    shop.commit(Operation::Append, vec![event_file("b", DAY, "view", 4), event_file("c", DAY + 1, "purchase", 5)])
        .await;
    assert_eq!(shop.files().await, ["a", "b", "c"]);
    assert_eq!(shop.summary("total-records").await.as_deref(), Some("12"));
    assert_eq!(shop.summary("added-records").await.as_deref(), Some("9"));
    assert_eq!(shop.summary("changed-partition-count").await.as_deref(), Some("2"));

    let table = shop.warehouse.load(&events()).await.unwrap();
    let snapshot = table.metadata().current_snapshot().unwrap();
    assert_eq!(snapshot.parent_snapshot_id(), first.snapshot_id);
    assert_eq!((snapshot.sequence_number(), ancestors(table.metadata()).count()), (2, 2));
    let files = SnapshotFiles::load(&table, snapshot).await.unwrap();
    let sequences: BTreeMap<&str, i64> =
        files.data.iter().map(|f| (f.data_file.file_path(), f.sequence_number)).collect();
    assert_eq!(sequences, BTreeMap::from([("a", 1), ("b", 2), ("c", 2)]));
    shop.assert_no_orphan_files().await;
}

#[tokio::test]
async fn a_drafted_table_appears_together_with_its_rows_or_not_at_all() {
    let shop = Shop::open().await;
    let name = TableIdent::from_strs(["raw", "copy"]).unwrap();
    let commit = |draft: &Table, files: Vec<DataFile>| Commit {
        table: name.clone(),
        branch: MAIN_BRANCH.to_string(),
        base: Base::of(draft, MAIN_BRANCH),
        ..commit_to(draft.metadata(), Operation::Append, files)
    };
    let files_on_disk = || {
        let folders = std::fs::read_dir(shop.folder.path().join("wh/raw")).unwrap().map(|f| f.unwrap().path());
        let copies = folders.filter(|f| f.file_name().unwrap().to_string_lossy().starts_with("copy"));
        copies.flat_map(|f| std::fs::read_dir(f.join("metadata")).into_iter().flatten()).count()
    };

    let first = shop.warehouse.draft(&name, events_table()).await.unwrap();
    let second = shop.warehouse.draft(&name, events_table()).await.unwrap();
    assert_eq!(shop.warehouse.find(&name).await.unwrap().map(|t| t.identifier().clone()), None);
    assert_eq!(files_on_disk(), 0);

    let of_first = commit(&first, vec![event_file("a", DAY, "view", 3)]);
    let made = shop.warehouse.land(Destination::Draft(first), of_first).await.unwrap();
    let table = shop.warehouse.load(&name).await.unwrap();
    assert_eq!(table.metadata().current_snapshot_id(), made.snapshot_id);
    assert_eq!((table.metadata().snapshots().count(), made.added.rows), (1, 3));
    let written = files_on_disk();

    let of_second = commit(&second, vec![event_file("b", DAY, "view", 3)]);
    let e = shop.warehouse.land(Destination::Draft(second), of_second).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
    assert_eq!(files_on_disk(), written, "a table that lost leaves no file");

    shop.warehouse.drop_table(&name).await.unwrap();
    let empty = shop.warehouse.draft(&name, events_table()).await.unwrap();
    let nothing = commit(&empty, vec![]);
    assert_eq!(shop.warehouse.land(Destination::Draft(empty), nothing).await.unwrap().snapshot_id, None);
    assert_eq!(shop.warehouse.load(&name).await.unwrap().metadata().snapshots().count(), 0);
}

#[tokio::test]
async fn an_append_of_nothing_leaves_the_table_unchanged() {
    let shop = Shop::open().await;
    assert_eq!(shop.commit(Operation::Append, vec![]).await.snapshot_id, None);
    let first = shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 3)]).await;
    assert_eq!(shop.commit(Operation::Append, vec![]).await.snapshot_id, first.snapshot_id);
    shop.assert_no_orphan_files().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_all_land() {
    const WRITERS: usize = 8;
    const COMMITS: usize = 5;
    let shop = Shop::open().await;
    let writers = (0..WRITERS).map(|writer| {
        let folder = shop.folder.path().to_path_buf();
        tokio::spawn(async move {
            // For the catalog file, a separate warehouse is a separate process.
            let warehouse = warehouse_in(&folder).await;
            let mut retries = 0;
            for n in 0..COMMITS {
                let base = warehouse.load(&events()).await.unwrap();
                let file = event_file(&format!("{writer}-{n}"), DAY, "view", 1);
                let done = warehouse.commit(commit_to(base.metadata(), Operation::Append, vec![file])).await.unwrap();
                retries += done.retries;
            }
            retries
        })
    });
    let retries: u32 = futures::future::join_all(writers).await.into_iter().map(|r| r.unwrap()).sum();
    println!("{} commits by {WRITERS} writers, {retries} retries", WRITERS * COMMITS);
    let mut expected: Vec<String> = (0..WRITERS).flat_map(|w| (0..COMMITS).map(move |n| format!("{w}-{n}"))).collect();
    expected.sort();
    assert_eq!(shop.files().await, expected);
    assert_eq!(shop.summary("total-records").await, Some((WRITERS * COMMITS).to_string()));
    shop.assert_no_orphan_files().await;
}

#[tokio::test]
async fn the_same_work_is_committed_once() {
    let shop = Shop::open().await;
    let mut commit = shop.prepared(day_is(DAY), vec![event_file("a", DAY, "view", 1)]).await;
    commit.key = CommitKey::new("daily_analytics/sales/2026-02-14");
    commit.summary.insert("bergmill.code-hash".into(), "abc".into());
    let first = shop.warehouse.commit(commit.clone()).await.unwrap();
    assert_eq!(shop.summary("bergmill.code-hash").await.as_deref(), Some("abc"));
    shop.commit(Operation::Append, vec![event_file("b", DAY, "view", 1)]).await;

    commit.added = vec![event_file("again", DAY, "view", 1)];
    let again = shop.warehouse.commit(commit.clone()).await.unwrap();
    assert_eq!((again.already, again.snapshot_id), (true, first.snapshot_id));
    assert_eq!(shop.files().await, ["a", "b"]);
    let table = shop.warehouse.load(&events()).await.unwrap();
    assert_eq!(find_commit(table.metadata(), MAIN_BRANCH, &commit.key).map(|s| s.snapshot_id()), first.snapshot_id);
    shop.assert_no_orphan_files().await;
}

#[tokio::test]
async fn branches_are_independent() {
    let shop = Shop::open().await;
    let first = shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 1)]).await;
    let at_first = SnapshotReference::new(first.snapshot_id.unwrap(), SnapshotRetention::branch(None, None, None));
    let branch = |_: &_, builder: TableMetadataBuilder| Ok(Some(builder.set_ref("trial", at_first.clone())?));
    shop.warehouse.alter(&events(), branch).await.unwrap();
    let to_trial = |commit: Commit| Commit { branch: "trial".to_string(), ..commit };
    let mut append = to_trial(shop.prepared(Operation::Append, vec![event_file("b", DAY, "view", 2)]).await);
    append.key = CommitKey::new("work");
    let replace = to_trial(shop.prepared(day_is(DAY), vec![event_file("c", DAY, "view", 4)]).await);
    let on_trial = shop.warehouse.commit(append.clone()).await.unwrap();
    assert_eq!(shop.files().await, ["a"], "the main branch has not moved");
    // A key belongs to its branch: the same work may be committed to another branch.
    assert!(shop.warehouse.commit(append.clone()).await.unwrap().already);
    append.branch = MAIN_BRANCH.to_string();
    append.added = vec![event_file("d", DAY, "view", 8)];
    assert!(!shop.warehouse.commit(append).await.unwrap().already);
    assert_eq!(shop.files().await, ["a", "d"]);

    let e = shop.warehouse.commit(replace.clone()).await.unwrap_err();
    assert!(e.to_string().contains(&format!("snapshot {}", on_trial.snapshot_id.unwrap())), "{e}");
    let table = shop.warehouse.load(&events()).await.unwrap();
    let replace = Commit { base: Base::of(&table, "trial"), ..replace };
    shop.warehouse.commit(replace.clone()).await.unwrap();
    let table = shop.warehouse.load(&events()).await.unwrap();
    let trial = head(table.metadata(), "trial").unwrap();
    assert_eq!(trial.parent_snapshot_id(), on_trial.snapshot_id);
    assert_eq!(trial.summary().additional_properties["total-records"], "4");
    assert_eq!(shop.files().await, ["a", "d"]);

    shop.warehouse.alter(&events(), |_, builder| Ok(Some(builder.remove_ref("trial")))).await.unwrap();
    let e = shop.warehouse.commit(Commit { key: CommitKey::unique(), ..replace }).await.unwrap_err();
    assert_eq!(
        format!("{:?}: {e}", e.kind()),
        "Conflict: table raw.events: branch trial was dropped since this write began"
    );
    shop.assert_no_orphan_files().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_work_done_by_several_at_once_is_committed_once() {
    let shop = Shop::open().await;
    let mut commit = shop.prepared(Operation::Append, vec![]).await;
    commit.key = CommitKey::new("the one");
    let attempts = (0..6).map(|n| {
        let (folder, mut commit) = (shop.folder.path().to_path_buf(), commit.clone());
        commit.added = vec![event_file(&format!("{n}"), DAY, "view", 1)];
        tokio::spawn(async move { warehouse_in(&folder).await.commit(commit).await.unwrap() })
    });
    let done: Vec<Committed> = futures::future::join_all(attempts).await.into_iter().map(|r| r.unwrap()).collect();
    assert_eq!(done.iter().filter(|c| !c.already).count(), 1, "{done:?}");
    assert_eq!(shop.files().await.len(), 1);
    shop.assert_no_orphan_files().await;
}

#[tokio::test]
async fn a_table_dropped_or_created_again_is_a_conflict() {
    let shop = Shop::open().await;
    let commit = shop.prepared(Operation::Append, vec![event_file("a", DAY, "view", 1)]).await;
    shop.warehouse.drop_table(&events()).await.unwrap();
    let e = shop.warehouse.commit(commit.clone()).await.unwrap_err();
    assert_eq!(format!("{:?}: {e}", e.kind()), "Conflict: table raw.events: it was dropped since this write began");
    shop.warehouse.create(&events(), events_table()).await.unwrap();
    assert_eq!(shop.warehouse.commit(commit).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_writer_that_dies_before_the_swap_leaves_the_old_snapshot() {
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("old", DAY, "view", 1)]).await;
    let commit = shop.prepared(day_is(DAY), vec![event_file("new", DAY, "view", 1)]).await;
    let table = shop.warehouse.load(&events()).await.unwrap();
    let attempt = snapshot::prepare(&table, &commit, &mut Staged::new()).await.unwrap();
    assert!(matches!(attempt, Prepared::Ready(_)));
    // All files of the new snapshot exist, but it is not committed.
    let reopened = warehouse_in(shop.folder.path()).await.load(&events()).await.unwrap();
    assert_eq!(reopened.metadata().current_snapshot_id(), commit.base.snapshot_id);
    assert_eq!(shop.files().await, ["old"]);
    shop.warehouse.commit(commit).await.unwrap();
    assert_eq!(shop.files().await, ["new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn alterations_and_commits_at_once_all_land() {
    let shop = Shop::open().await;
    let alterations = (0..8).map(|i| {
        let warehouse = shop.warehouse.clone();
        async move {
            let key = format!("key-{i}");
            let change = |_: &TableMetadata, builder: TableMetadataBuilder| {
                Ok(Some(builder.set_properties(HashMap::from([(key.clone(), "set".to_string())]))?))
            };
            warehouse.alter(&events(), change).await.unwrap()
        }
    });
    let commit = shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 1)]);
    let (altered, _) = futures::join!(futures::future::join_all(alterations), commit);
    assert!(altered.iter().enumerate().all(|(i, t)| t.metadata().properties().contains_key(&format!("key-{i}"))));
    let now = shop.warehouse.load(&events()).await.unwrap();
    assert_eq!(now.metadata().properties().len(), 8);
    assert_eq!(shop.files().await, ["a"]);
    shop.assert_no_orphan_files().await;

    let at = now.metadata_location().unwrap();
    let same = shop.warehouse.alter(&events(), |_, _| Ok(None)).await.unwrap();
    assert_eq!(same.metadata_location().unwrap(), at, "nothing to change writes nothing");
    let refused = |_: &TableMetadata, _| Err(Error::new(ErrorKind::Invalid, "no"));
    let e = shop.warehouse.alter(&events(), refused).await.unwrap_err();
    assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Invalid, "table raw.events: no"));
}

#[tokio::test]
async fn other_format_versions_are_not_written() {
    let shop = Shop::open().await;
    let table = shop.warehouse.load(&events()).await.unwrap();
    let old = table.metadata_location().unwrap();
    let upgraded = table.metadata().clone().into_builder(Some(old.to_string()));
    let upgraded = upgraded.upgrade_format_version(FormatVersion::V3).unwrap().build().unwrap().metadata;
    let new = format!("{}/metadata/00001-{}.metadata.json", table.metadata().location(), Uuid::new_v4());
    crate::table::metadata_text::write_metadata(table.file_io(), &upgraded, &new).await.unwrap();
    assert!(shop.warehouse.catalog().swap(&events(), old, &new).await.unwrap());
    let commit = shop.prepared(Operation::Append, vec![event_file("a", DAY, "view", 1)]).await;
    let e = shop.warehouse.commit(commit).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
}
