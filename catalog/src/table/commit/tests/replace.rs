//! Commits that replace partitions, or the whole table.

use super::*;

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

    // Kept files keep their sequence number.
    let table = shop.warehouse.load(&events()).await.unwrap();
    let files = SnapshotFiles::load(&table, table.metadata().current_snapshot().unwrap()).await.unwrap();
    let sequences: BTreeMap<&str, i64> =
        files.data.iter().map(|f| (f.data_file.file_path(), f.sequence_number)).collect();
    assert_eq!(sequences, BTreeMap::from([("day", 4), ("next", 1), ("later", 2)]));

    let done = shop.commit(Operation::Replace(Replaced::All), vec![event_file("all", DAY, "view", 1)]).await;
    assert_eq!(done.removed.files, 3);
    assert_eq!(shop.files().await, ["all"]);
    assert_eq!(shop.summary("total-records").await.as_deref(), Some("1"));
    shop.assert_no_orphan_files().await;
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
    shop.assert_no_orphan_files().await;
}

#[tokio::test]
async fn rows_outside_of_the_replaced_partitions_are_refused() {
    let shop = Shop::open().await;
    let commit = shop.prepared(day_is(DAY), vec![event_file("a", DAY + 1, "view", 1)]).await;
    let e = shop.warehouse.commit(commit).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert_eq!(
        e.to_string(),
        "table raw.events: rows were written to partition ts_day=2026-02-15, event_type=view, which is not one of the \
         replaced partitions"
    );
    shop.assert_no_orphan_files().await;
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
    shop.assert_no_orphan_files().await;
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
    shop.assert_no_orphan_files().await;
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
async fn truncation_also_removes_rows_of_concurrent_commits() {
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 10)]).await;
    let truncate = shop.prepared(Operation::Truncate, vec![]).await;
    shop.commit(Operation::Append, vec![event_file("b", DAY, "view", 1)]).await;
    let done = shop.warehouse.commit(truncate).await.unwrap();
    assert_eq!((done.removed.files, done.removed.rows), (2, 11));
    assert_eq!(shop.files().await, Vec::<String>::new());
    shop.assert_no_orphan_files().await;
}
