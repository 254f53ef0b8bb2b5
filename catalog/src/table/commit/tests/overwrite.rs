//! Commits that replace the files whose rows were changed.

use super::*;

impl Shop {
    /// An overwrite of the files at these paths, based on the current table, for a statement that reads rows of this
    /// type.
    async fn overwrite(&self, removed: &[&str], of_type: &str, isolation: Isolation, added: Vec<DataFile>) -> Commit {
        let table = self.warehouse.load(&events()).await.unwrap();
        let snapshot = table.metadata().current_snapshot().unwrap();
        let files = SnapshotFiles::load(&table, snapshot).await.unwrap();
        let is_removed = |f: &Arc<crate::table::live_file::LiveFile>| removed.contains(&f.data_file.file_path());
        let read = datafusion::prelude::col("event_type").eq(datafusion::prelude::lit(of_type));
        let read = crate::table::pruning::Predicate::of(&read, table.metadata().current_schema());
        let change = Overwrite {
            removed: files.data.into_iter().filter(is_removed).collect(),
            read: ReadFilter::new(read),
            isolation,
        };
        self.prepared(Operation::Overwrite(change), added).await
    }
}

#[tokio::test]
async fn an_overwrite_removes_its_files_and_no_others() {
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
    shop.assert_no_orphan_files().await;
}

#[tokio::test]
async fn an_overwrite_conflicts_with_changes_to_the_rows_it_read() {
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
        shop.assert_no_orphan_files().await;
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
async fn an_overwrite_of_a_branch_only_conflicts_with_commits_to_it() {
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
        shop.assert_no_orphan_files().await;
    };
    check("trial", true).await;
    check(MAIN_BRANCH, false).await;
}

/// Moves the rows of one file to another, by a snapshot of operation `replace`, which changes no rows.
async fn compact(shop: &Shop, from: &str, to: &str) {
    shop.branch("aside").await;
    let rewrite = shop.overwrite(&[from], "view", Isolation::Snapshot, vec![event_file(to, DAY, "view", 1)]).await;
    shop.warehouse.commit(Commit { branch: "aside".to_string(), ..rewrite }).await.unwrap();
    let replace = |metadata: &TableMetadata, builder: TableMetadataBuilder| {
        let rewritten = head(metadata, "aside").unwrap();
        let operation = iceberg::spec::Operation::Replace;
        let snapshot = iceberg::spec::Snapshot::builder()
            .with_snapshot_id(7)
            .with_parent_snapshot_id(metadata.current_snapshot_id())
            .with_sequence_number(metadata.next_sequence_number())
            .with_timestamp_ms(metadata.last_updated_ms() + 1)
            .with_manifest_list(rewritten.manifest_list())
            .with_summary(iceberg::spec::Summary { operation, additional_properties: HashMap::new() })
            .with_schema_id(0)
            .build();
        Ok(Some(builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?.remove_ref("aside")))
    };
    shop.warehouse.alter(&events(), replace).await.unwrap();
}

#[tokio::test]
async fn rows_that_were_added_and_then_compacted_are_still_a_conflict() {
    let check = async |isolation: Isolation, of_type: &str, conflicts: bool| {
        let shop = Shop::open().await;
        shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 10), event_file("c", DAY, "cart", 3)]).await;
        let change = shop.overwrite(&["a"], of_type, isolation, vec![event_file("a2", DAY, "view", 9)]).await;
        shop.commit(Operation::Append, vec![event_file("new", DAY, "view", 1)]).await;
        compact(&shop, "new", "compacted").await;
        assert_eq!(shop.files().await, ["a", "c", "compacted"]);
        match (shop.warehouse.commit(change).await, conflicts) {
            (Ok(_), false) => assert_eq!(shop.files().await, ["a2", "c", "compacted"]),
            (Err(e), true) => {
                assert_eq!(e.kind(), ErrorKind::Conflict, "{e}");
                assert!(e.to_string().contains("would have read") && e.to_string().contains("file new"), "{e}");
            }
            (outcome, _) => panic!("{isolation:?} {of_type}: {outcome:?}"),
        }
    };
    check(Isolation::Serializable, "view", true).await;
    check(Isolation::Serializable, "cart", false).await;
    check(Isolation::Snapshot, "view", false).await;
}
