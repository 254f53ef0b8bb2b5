//! Cherry-picked snapshots.

use super::*;

#[tokio::test]
async fn a_snapshot_is_picked_once_and_where_nothing_has_changed() {
    use bergmill_statement::ReferenceChange;
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
    // A row was added to the partition since.
    let e = pick(replaced).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e}");
    // Its parent is on the branch only.
    let e = pick(late).await.unwrap_err();
    assert!(e.to_string().contains("not an ancestor"), "{e}");
    assert_eq!(shop.files().await, ["a", "b", "c", "d"]);

    // After a rollback of the other commits both can be picked; a child of the current snapshot is fast-forwarded.
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
    shop.assert_no_orphan_files().await;
}

#[tokio::test]
async fn an_ancestor_of_the_current_snapshot_is_not_picked() {
    let shop = Shop::open().await;
    let first = shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 1)]).await.snapshot_id.unwrap();
    let file = event_file("b", DAY, "view", 1);
    let source = shop.commit(Operation::Append, vec![file.clone()]).await.snapshot_id.unwrap();
    let pick = Operation::CherryPick(CherryPick { source, replaced: None });
    let commit = shop.prepared(pick, vec![file]).await;
    let e = shop.warehouse.commit(commit.clone()).await.unwrap_err();
    assert!(e.to_string().contains("is an ancestor of the current snapshot already"), "{e}");
    let back = bergmill_statement::ReferenceChange::RollBackTo(first);
    shop.warehouse.change_references(&events(), &back).await.unwrap();
    shop.warehouse.commit(commit).await.unwrap();
    assert_eq!(shop.files().await, ["a", "b"]);
    shop.assert_no_orphan_files().await;
}
