//! Commits against a SQLite catalog and a folder. The data files are made up: a commit never opens them.

mod redefined;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, Literal, NestedField,
    PrimitiveType, Schema, SnapshotReference, SnapshotRetention, SortOrder, Struct, TableMetadata,
    TableMetadataBuilder, Transform, Type, UnboundPartitionSpec,
};
use iceberg::{NamespaceIdent, TableIdent};
use tempfile::TempDir;

use super::*;
use crate::files::SnapshotFiles;
use crate::sql::SqlCatalog;
use crate::storage::Stores;
use crate::store::Catalog;
use crate::table::NewTable;

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

    /// A commit made from the table as it is now.
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

    /// Makes a branch of the table as it is now.
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

    /// Fails if a metadata file is on disk that the table does not refer to, or the other way round.
    async fn assert_no_litter(&self) {
        let table = self.warehouse.load(&events()).await.unwrap();
        let metadata = table.metadata();
        let mut expected: BTreeSet<String> = metadata.metadata_log().iter().map(|l| l.metadata_file.clone()).collect();
        expected.insert(table.metadata_location().unwrap().to_string());
        for snapshot in metadata.snapshots() {
            expected.insert(snapshot.manifest_list().to_string());
            for manifest in crate::files::manifest_list(&table, snapshot).await.unwrap() {
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
    shop.assert_no_litter().await;
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
    let litter = || {
        let folders = std::fs::read_dir(shop.folder.path().join("wh/raw")).unwrap().map(|f| f.unwrap().path());
        let copies = folders.filter(|f| f.file_name().unwrap().to_string_lossy().starts_with("copy"));
        copies.flat_map(|f| std::fs::read_dir(f.join("metadata")).into_iter().flatten()).count()
    };

    let first = shop.warehouse.draft(&name, events_table()).await.unwrap();
    let second = shop.warehouse.draft(&name, events_table()).await.unwrap();
    assert_eq!(shop.warehouse.find(&name).await.unwrap().map(|t| t.identifier().clone()), None);
    assert_eq!(litter(), 0);

    let of_first = commit(&first, vec![event_file("a", DAY, "view", 3)]);
    let made = shop.warehouse.create_with(first, of_first).await.unwrap();
    let table = shop.warehouse.load(&name).await.unwrap();
    assert_eq!(table.metadata().current_snapshot_id(), made.snapshot_id);
    assert_eq!((table.metadata().snapshots().count(), made.added.rows), (1, 3));
    let written = litter();

    let of_second = commit(&second, vec![event_file("b", DAY, "view", 3)]);
    let e = shop.warehouse.create_with(second, of_second).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
    assert_eq!(litter(), written, "a table that came too late leaves no file");

    shop.warehouse.drop_table(&name).await.unwrap();
    let empty = shop.warehouse.draft(&name, events_table()).await.unwrap();
    let nothing = commit(&empty, vec![]);
    assert_eq!(shop.warehouse.create_with(empty, nothing).await.unwrap().snapshot_id, None);
    assert_eq!(shop.warehouse.load(&name).await.unwrap().metadata().snapshots().count(), 0);
}

#[tokio::test]
async fn an_append_of_nothing_leaves_the_table_as_it_is() {
    let shop = Shop::open().await;
    assert_eq!(shop.commit(Operation::Append, vec![]).await.snapshot_id, None);
    let first = shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 3)]).await;
    assert_eq!(shop.commit(Operation::Append, vec![]).await.snapshot_id, first.snapshot_id);
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn replacing_partitions_keeps_the_others() {
    let shop = Shop::open().await;
    shop.commit(
        Operation::Append,
        vec![
            event_file("view", DAY, "view", 1),
            event_file("cart", DAY, "cart", 2),
            event_file("next", DAY + 1, "view", 4),
        ],
    )
    .await;
    shop.commit(Operation::Append, vec![event_file("later", DAY + 2, "view", 8)]).await;

    let touched = Operation::Replace(Replaced::Touched);
    let done = shop.commit(touched, vec![event_file("view 2", DAY, "view", 16)]).await;
    assert_eq!((done.removed.files, done.removed.rows), (1, 1));
    assert_eq!(shop.files().await, ["cart", "later", "next", "view 2"]);
    assert_eq!(shop.summary("total-records").await.as_deref(), Some("30"));
    assert_eq!(shop.summary("total-data-files").await.as_deref(), Some("4"));
    assert_eq!(shop.summary("deleted-records").await.as_deref(), Some("1"));

    let done = shop.commit(day_is(DAY), vec![event_file("day", DAY, "view", 32)]).await;
    assert_eq!((done.removed.files, done.removed.rows), (2, 18));
    assert_eq!(shop.files().await, ["day", "later", "next"]);

    // What was kept is as old as it was.
    let table = shop.warehouse.load(&events()).await.unwrap();
    let files = SnapshotFiles::load(&table, table.metadata().current_snapshot().unwrap()).await.unwrap();
    let sequences: BTreeMap<&str, i64> =
        files.data.iter().map(|f| (f.data_file.file_path(), f.sequence_number)).collect();
    assert_eq!(sequences, BTreeMap::from([("day", 4), ("next", 1), ("later", 2)]));

    let done = shop.commit(Operation::Replace(Replaced::All), vec![event_file("all", DAY, "view", 1)]).await;
    assert_eq!(done.removed.files, 3);
    assert_eq!(shop.files().await, ["all"]);
    assert_eq!(shop.summary("total-records").await.as_deref(), Some("1"));
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn replacing_with_nothing_empties_the_partition_and_is_recorded() {
    let shop = Shop::open().await;
    let empty = shop.commit(day_is(DAY), vec![]).await;
    assert!(empty.snapshot_id.is_some());
    shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 1), event_file("b", DAY + 1, "view", 1)]).await;
    let done = shop.commit(day_is(DAY), vec![]).await;
    assert_eq!((done.removed.files, done.added.files), (1, 0));
    assert_eq!(shop.files().await, ["b"]);
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn rows_outside_of_what_is_replaced_are_refused() {
    let shop = Shop::open().await;
    let commit = shop.prepared(day_is(DAY), vec![event_file("a", DAY + 1, "view", 1)]).await;
    let e = shop.warehouse.commit(commit).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert_eq!(
        e.to_string(),
        "table raw.events: rows were written to partition ts_day=2026-02-15, event_type=view, which is not among what \
         is replaced"
    );
    shop.assert_no_litter().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_all_land() {
    const WRITERS: usize = 8;
    const COMMITS: usize = 5;
    let shop = Shop::open().await;
    let writers = (0..WRITERS).map(|writer| {
        let folder = shop.folder.path().to_path_buf();
        tokio::spawn(async move {
            // A warehouse of its own is a process of its own, as far as the catalog file can tell.
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
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn of_two_replacements_of_one_partition_the_second_conflicts() {
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("old", DAY, "view", 1)]).await;
    let first = shop.prepared(day_is(DAY), vec![event_file("first", DAY, "view", 1)]).await;
    let second = shop.prepared(day_is(DAY), vec![event_file("second", DAY, "view", 1)]).await;
    let first = shop.warehouse.commit(first).await.unwrap();
    let e = shop.warehouse.commit(second).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    let text = e.to_string();
    let parts =
        ["table raw.events", "partition ts_day=2026-02-14, event_type=view", &first.snapshot_id.unwrap().to_string()];
    for part in parts {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert_eq!(shop.files().await, ["first"]);
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn replacements_of_different_partitions_both_land() {
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("old", DAY, "view", 1), event_file("old+1", DAY + 1, "view", 1)])
        .await;
    let first = shop.prepared(day_is(DAY), vec![event_file("first", DAY, "view", 1)]).await;
    let second = shop.prepared(day_is(DAY + 1), vec![event_file("second", DAY + 1, "view", 1)]).await;
    let append = shop.prepared(Operation::Append, vec![event_file("third", DAY, "view", 1)]).await;
    for commit in [first, second, append] {
        shop.warehouse.commit(commit).await.unwrap();
    }
    assert_eq!(shop.files().await, ["first", "second", "third"]);
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn an_append_into_a_partition_that_is_being_replaced_conflicts() {
    let shop = Shop::open().await;
    let replace = shop.prepared(day_is(DAY), vec![event_file("mine", DAY, "view", 1)]).await;
    let other_day = shop.prepared(day_is(DAY + 1), vec![]).await;
    shop.commit(Operation::Append, vec![event_file("theirs", DAY, "view", 1)]).await;
    assert_eq!(shop.warehouse.commit(replace).await.unwrap_err().kind(), ErrorKind::Conflict);
    shop.warehouse.commit(other_day).await.unwrap();
    assert_eq!(shop.files().await, ["theirs"]);
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
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn a_branch_goes_its_own_way() {
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
    // A key is known on its branch, and the same work may be done on another.
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
    shop.assert_no_litter().await;
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
    shop.assert_no_litter().await;
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

/// A catalog that does, or does not do, what it is asked and then fails to answer.
#[derive(Debug)]
struct Troubled {
    inner: SqlCatalog,
    folder: std::path::PathBuf,
    trouble: Trouble,
    /// How many more swaps fail.
    failures: AtomicU32,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    DoneButNoAnswer,
    NotDoneAndNoAnswer,
    Refused,
    /// Done, then another writer commits on top, then no answer.
    DoneAndOvertaken,
    /// Not done, another writer commits, no answer.
    NotDoneAndOvertaken,
}

#[async_trait]
impl Catalog for Troubled {
    async fn namespaces(&self) -> Result<Vec<NamespaceIdent>> {
        self.inner.namespaces().await
    }
    async fn namespace_exists(&self, namespace: &NamespaceIdent) -> Result<bool> {
        self.inner.namespace_exists(namespace).await
    }
    async fn create_namespace(&self, namespace: &NamespaceIdent, properties: &BTreeMap<String, String>) -> Result<()> {
        self.inner.create_namespace(namespace, properties).await
    }
    async fn namespace_properties(&self, namespace: &NamespaceIdent) -> Result<BTreeMap<String, String>> {
        self.inner.namespace_properties(namespace).await
    }
    async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<()> {
        self.inner.drop_namespace(namespace).await
    }
    async fn tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        self.inner.tables(namespace).await
    }
    async fn pointer(&self, table: &TableIdent) -> Result<Option<String>> {
        self.inner.pointer(table).await
    }
    async fn insert(&self, table: &TableIdent, metadata_location: &str) -> Result<()> {
        self.inner.insert(table, metadata_location).await
    }
    async fn swap(&self, table: &TableIdent, expected: &str, new: &str) -> Result<bool> {
        let left = self.failures.load(Ordering::SeqCst);
        if left == 0 {
            return self.inner.swap(table, expected, new).await;
        }
        self.failures.store(left - 1, Ordering::SeqCst);
        if matches!(self.trouble, Trouble::DoneButNoAnswer | Trouble::DoneAndOvertaken) {
            assert!(self.inner.swap(table, expected, new).await?);
        }
        if matches!(self.trouble, Trouble::DoneAndOvertaken | Trouble::NotDoneAndOvertaken) {
            let other = warehouse_with(Arc::new(self.inner.clone()), &self.folder);
            let base = other.load(table).await?;
            let file = event_file("other", DAY + 7, "view", 1);
            other.commit(commit_to(base.metadata(), Operation::Append, vec![file])).await?;
        }
        let kind = match self.trouble {
            Trouble::Refused => ErrorKind::Storage,
            _ => ErrorKind::Unknown,
        };
        Err(Error::new(kind, "the line went dead"))
    }
    async fn remove(&self, table: &TableIdent) -> Result<()> {
        self.inner.remove(table).await
    }
    async fn rename(&self, from: &TableIdent, to: &TableIdent) -> Result<()> {
        self.inner.rename(from, to).await
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_looked_up() {
    let check = async |trouble: Trouble,
                       failures: u32,
                       expected: std::result::Result<u32, ErrorKind>,
                       files: &[&str]| {
        let shop = Shop::open().await;
        shop.commit(Operation::Append, vec![event_file("old", DAY, "view", 1)]).await;
        let inner = SqlCatalog::open(shop.folder.path().join("catalog.db"), "test").await.unwrap();
        let troubled =
            Arc::new(Troubled { inner, folder: shop.folder.path().to_path_buf(), trouble, failures: failures.into() });
        let warehouse = warehouse_with(troubled, shop.folder.path());
        let commit = shop.prepared(day_is(DAY), vec![event_file("new", DAY, "view", 1)]).await;
        let outcome = warehouse.commit(commit.clone()).await;
        let told = outcome.as_ref().map(|c| c.retries).map_err(Error::kind);
        assert_eq!(told, expected, "{trouble:?} {outcome:?}");
        assert_eq!(shop.files().await, files, "{trouble:?}");
        match outcome {
            Err(e) if e.kind() == ErrorKind::Unknown => {
                let text = e.to_string();
                assert!(
                    text.contains("unknown whether the commit happened") && text.contains(commit.key.as_str()),
                    "{text}"
                );
            }
            _ => shop.assert_no_litter().await,
        }
        // Whatever was told, the same commit again leaves it done, once.
        let again = shop.warehouse.commit(commit).await.unwrap();
        assert_eq!(again.already, told.is_ok(), "{trouble:?}");
    };
    check(Trouble::DoneButNoAnswer, 1, Ok(0), &["new"]).await;
    check(Trouble::NotDoneAndNoAnswer, 1, Ok(0), &["new"]).await;
    check(Trouble::NotDoneAndNoAnswer, 99, Err(ErrorKind::Unknown), &["old"]).await;
    check(Trouble::Refused, 1, Err(ErrorKind::Storage), &["old"]).await;
    check(Trouble::DoneAndOvertaken, 1, Ok(0), &["new", "other"]).await;
    check(Trouble::NotDoneAndOvertaken, 1, Ok(1), &["new", "other"]).await;
}

#[tokio::test]
async fn a_writer_that_dies_before_the_swap_leaves_the_old_snapshot() {
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("old", DAY, "view", 1)]).await;
    let commit = shop.prepared(day_is(DAY), vec![event_file("new", DAY, "view", 1)]).await;
    let table = shop.warehouse.load(&events()).await.unwrap();
    let attempt = snapshot::prepare(&table, &commit, &mut Staged::new()).await.unwrap();
    assert!(matches!(attempt, Attempt::Ready(_)));
    // All files of the new snapshot are there, and it is not.
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
    shop.assert_no_litter().await;

    let at = now.metadata_location().unwrap();
    let same = shop.warehouse.alter(&events(), |_, _| Ok(None)).await.unwrap();
    assert_eq!(same.metadata_location().unwrap(), at, "nothing to change writes nothing");
    let refused = |_: &TableMetadata, _| Err(Error::new(ErrorKind::Invalid, "no"));
    let e = shop.warehouse.alter(&events(), refused).await.unwrap_err();
    assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Invalid, "table raw.events: no"));
}

impl Shop {
    /// An overwrite, prepared from the table as it is now, of the files at these paths: because of rows of this type.
    async fn overwrite(&self, removed: &[&str], of_type: &str, isolation: Isolation, added: Vec<DataFile>) -> Commit {
        let table = self.warehouse.load(&events()).await.unwrap();
        let snapshot = table.metadata().current_snapshot().unwrap();
        let files = SnapshotFiles::load(&table, snapshot).await.unwrap();
        let is_removed = |f: &Arc<crate::files::LiveFile>| removed.contains(&f.data_file.file_path());
        let read = iceberg::expr::Reference::new("event_type").equal_to(Datum::string(of_type));
        let change = Overwrite {
            removed: files.data.into_iter().filter(is_removed).collect(),
            read: ReadFilter::new(Some(read)),
            isolation,
        };
        self.prepared(Operation::Overwrite(change), added).await
    }
}

#[tokio::test]
async fn an_overwrite_takes_out_its_files_and_no_others() {
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 10), event_file("b", DAY, "view", 5)]).await;
    shop.commit(Operation::Append, vec![event_file("c", DAY, "cart", 3)]).await;
    let level = Isolation::Serializable;
    let change = shop.overwrite(&["a"], "view", level, vec![event_file("a2", DAY, "view", 9)]).await;
    let done = shop.warehouse.commit(change).await.unwrap();
    assert_eq!((done.added.rows, done.removed.rows), (9, 10));
    assert_eq!(shop.files().await, ["a2", "b", "c"]);
    assert_eq!(shop.summary("total-records").await.as_deref(), Some("17"));

    let gone = shop.overwrite(&["a2", "c"], "view", level, vec![]).await;
    shop.warehouse.commit(gone).await.unwrap();
    assert_eq!(shop.files().await, ["b"]);
    let table = shop.warehouse.load(&events()).await.unwrap();
    assert_eq!(table.metadata().current_snapshot().unwrap().summary().operation.as_str(), "delete");

    let nothing = shop.overwrite(&[], "view", level, vec![]).await;
    shop.warehouse.commit(nothing).await.unwrap();
    let now = shop.warehouse.load(&events()).await.unwrap();
    assert_eq!(now.metadata().current_snapshot_id(), table.metadata().current_snapshot_id(), "no snapshot for nothing");
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn an_overwrite_conflicts_with_what_others_did_to_what_it_read() {
    let check = async |isolation: Isolation, others: Operation, file: Option<(&str, &str)>, expected: Option<&str>| {
        let shop = Shop::open().await;
        shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 10), event_file("c", DAY, "cart", 3)]).await;
        let change = shop.overwrite(&["a"], "view", isolation, vec![event_file("a2", DAY, "view", 9)]).await;
        let what = format!("{isolation:?} after {others:?} of {file:?}");
        shop.commit(others, file.map(|(path, kind)| event_file(path, DAY, kind, 1)).into_iter().collect()).await;
        match (shop.warehouse.commit(change).await, expected) {
            (Ok(_), None) => assert!(shop.files().await.contains(&"a2".to_string()), "{what}"),
            (Err(e), Some(text)) => {
                assert_eq!(e.kind(), ErrorKind::Conflict, "{what}: {e}");
                assert!(e.to_string().contains(text), "{what}: {e}");
                assert!(!shop.files().await.contains(&"a2".to_string()), "{what}");
            }
            (outcome, _) => panic!("{what}: {outcome:?}"),
        }
        shop.assert_no_litter().await;
    };
    let append = || Operation::Append;
    let cart = || Operation::Replace(Replaced::Where(vec![("event_type".into(), Some(Datum::string("cart")))]));
    let view = || Operation::Replace(Replaced::Where(vec![("event_type".into(), Some(Datum::string("view")))]));
    let added = Some("would have read");
    check(Isolation::Serializable, append(), Some(("new", "view")), added).await;
    check(Isolation::Snapshot, append(), Some(("new", "view")), None).await;
    check(Isolation::Serializable, append(), Some(("new", "cart")), None).await;
    check(Isolation::Serializable, cart(), None, None).await;
    check(Isolation::Serializable, view(), None, Some("changed rows of 1 files")).await;
    check(Isolation::Snapshot, view(), Some(("new", "view")), Some("changed rows of 1 files")).await;
    check(Isolation::Snapshot, Operation::Truncate, None, Some("changed rows of 1 files")).await;
}

#[tokio::test]
async fn an_overwrite_of_a_branch_is_judged_by_what_others_did_there() {
    let check = async |others: &str, conflicts: bool| {
        let shop = Shop::open().await;
        shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 10)]).await;
        shop.branch("trial").await;
        let mut change = shop.overwrite(&["a"], "view", Isolation::Serializable, vec![]).await;
        change.branch = "trial".to_string();
        let append = shop.prepared(Operation::Append, vec![event_file("new", DAY, "view", 1)]).await;
        shop.warehouse.commit(Commit { branch: others.to_string(), ..append }).await.unwrap();
        match (shop.warehouse.commit(change).await, conflicts) {
            (Ok(done), false) => assert_eq!(done.removed.rows, 10),
            (Err(e), true) => assert!(e.to_string().contains("would have read"), "{e}"),
            (outcome, _) => panic!("{others}: {outcome:?}"),
        }
        shop.assert_no_litter().await;
    };
    check("trial", true).await;
    check(MAIN_BRANCH, false).await;
}

#[tokio::test]
async fn a_snapshot_is_picked_once_and_where_nothing_has_changed() {
    use crate::references::ReferenceChange;
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 1), event_file("b", DAY, "cart", 1)]).await;
    shop.branch("trial").await;
    let trial = async |operation: Operation, file: DataFile| {
        let table = shop.warehouse.load(&events()).await.unwrap();
        let mut commit = shop.prepared(operation, vec![file]).await;
        commit.branch = "trial".to_string();
        commit.base = Base::of(&table, "trial");
        shop.warehouse.commit(commit).await.unwrap().snapshot_id.unwrap()
    };
    let pick = async |id: i64| shop.warehouse.change_references(&events(), &ReferenceChange::CherryPick(id)).await;
    let replaced = trial(Operation::Replace(Replaced::Touched), event_file("a2", DAY, "view", 2)).await;
    let appended = trial(Operation::Append, event_file("c", DAY, "view", 4)).await;
    let late = trial(Operation::Replace(Replaced::Touched), event_file("b2", DAY, "cart", 8)).await;
    shop.commit(Operation::Append, vec![event_file("d", DAY + 1, "view", 16)]).await;

    pick(appended).await.unwrap();
    assert_eq!(shop.files().await, ["a", "b", "c", "d"]);
    assert_eq!(shop.summary("source-snapshot-id").await, Some(appended.to_string()));
    assert_eq!(shop.summary("total-records").await.as_deref(), Some("22"));
    let e = pick(appended).await.unwrap_err();
    assert!(e.to_string().contains("was picked before"), "{e}");
    // A row came into the partition since.
    let e = pick(replaced).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e}");
    // Its parent is on the branch only.
    let e = pick(late).await.unwrap_err();
    assert!(e.to_string().contains("not an ancestor"), "{e}");
    assert_eq!(shop.files().await, ["a", "b", "c", "d"]);

    // Where the others' work is taken back, all of it fits; a snapshot on the current one is taken as it is.
    let first = shop.warehouse.load(&events()).await.unwrap();
    let first = ancestors(first.metadata()).last().unwrap().snapshot_id();
    shop.warehouse.change_references(&events(), &ReferenceChange::RollBackTo(first)).await.unwrap();
    shop.commit(Operation::Append, vec![event_file("e", DAY, "cart", 16)]).await;
    pick(replaced).await.unwrap();
    assert_eq!(shop.files().await, ["a2", "b", "e"]);
    shop.warehouse.change_references(&events(), &ReferenceChange::RollBackTo(first)).await.unwrap();
    let table = pick(replaced).await.unwrap();
    assert_eq!(table.metadata().current_snapshot_id(), Some(replaced));
    assert_eq!(shop.files().await, ["a2", "b"]);
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn a_snapshot_that_arrives_by_itself_is_not_picked_as_well() {
    let shop = Shop::open().await;
    let first = shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 1)]).await.snapshot_id.unwrap();
    let file = event_file("b", DAY, "view", 1);
    let source = shop.commit(Operation::Append, vec![file.clone()]).await.snapshot_id.unwrap();
    let pick = Operation::CherryPick(CherryPick { source, replaced: None });
    let commit = shop.prepared(pick, vec![file]).await;
    let e = shop.warehouse.commit(commit.clone()).await.unwrap_err();
    assert!(e.to_string().contains("is an ancestor of the current snapshot already"), "{e}");
    let back = crate::references::ReferenceChange::RollBackTo(first);
    shop.warehouse.change_references(&events(), &back).await.unwrap();
    shop.warehouse.commit(commit).await.unwrap();
    assert_eq!(shop.files().await, ["a", "b"]);
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn truncation_takes_also_what_came_meanwhile() {
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 10)]).await;
    let truncate = shop.prepared(Operation::Truncate, vec![]).await;
    shop.commit(Operation::Append, vec![event_file("b", DAY, "view", 1)]).await;
    let done = shop.warehouse.commit(truncate).await.unwrap();
    assert_eq!((done.removed.files, done.removed.rows), (2, 11));
    assert_eq!(shop.files().await, Vec::<String>::new());
    shop.assert_no_litter().await;
}

#[tokio::test]
async fn other_format_versions_are_not_written() {
    let shop = Shop::open().await;
    let table = shop.warehouse.load(&events()).await.unwrap();
    let old = table.metadata_location().unwrap();
    let upgraded = table.metadata().clone().into_builder(Some(old.to_string()));
    let upgraded = upgraded.upgrade_format_version(FormatVersion::V3).unwrap().build().unwrap().metadata;
    let new = format!("{}/metadata/00001-{}.metadata.json", table.metadata().location(), Uuid::new_v4());
    crate::table::write_metadata(table.file_io(), &upgraded, &new.parse().unwrap()).await.unwrap();
    assert!(shop.warehouse.catalog().swap(&events(), old, &new).await.unwrap());
    let commit = shop.prepared(Operation::Append, vec![event_file("a", DAY, "view", 1)]).await;
    let e = shop.warehouse.commit(commit).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
}
