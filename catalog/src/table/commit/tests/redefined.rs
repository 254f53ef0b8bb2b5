//! Tables whose definition changes during concurrent writes.

use bergmill_statement::{Alteration, ColumnPath, SchemaChange};
use datafusion::sql::sqlparser::ast::DataType;

use super::*;

/// The table of events with an additional column.
fn with_note() -> NewTable {
    let events = events_table();
    let note = NestedField::optional(4, "note", Type::Primitive(PrimitiveType::String));
    let fields = events.schema.as_struct().fields().iter().cloned().chain([note.into()]);
    NewTable { schema: Schema::builder().with_fields(fields).build().unwrap(), ..events }
}

fn with_note_in(draft: Table) -> Destination {
    Destination::Replacement { draft, definition: Box::new(with_note()) }
}

fn add_column(name: &str) -> Alteration {
    Alteration::Columns(vec![SchemaChange::Add {
        column: ColumnPath(vec![name.to_string()]),
        ty: DataType::Text,
        required: false,
        doc: None,
        position: None,
        if_not_exists: false,
    }])
}

#[tokio::test]
async fn a_replaced_table_keeps_its_identity_and_its_history() {
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 1)]).await;
    let before = shop.warehouse.load(&events()).await.unwrap();
    let draft = shop.warehouse.replaced(&events(), &with_note()).await.unwrap().unwrap();
    let commit = commit_to(draft.metadata(), Operation::Append, vec![event_file("n", DAY, "view", 2)]);
    // Rows of a concurrent commit are replaced too.
    shop.commit(Operation::Append, vec![event_file("b", DAY, "view", 1)]).await;
    let done = shop.warehouse.land(with_note_in(draft.clone()), commit.clone()).await.unwrap();
    assert_eq!((done.already, done.added.rows), (false, 2));
    assert_eq!(shop.files().await, ["n"]);

    let table = shop.warehouse.load(&events()).await.unwrap();
    let metadata = table.metadata();
    assert_eq!(metadata.uuid(), before.metadata().uuid());
    assert_eq!(metadata.location(), before.metadata().location());
    assert_eq!((metadata.snapshots().len(), metadata.schemas_iter().len()), (3, 2));
    assert_eq!(metadata.current_snapshot().unwrap().parent_snapshot_id(), None);
    let ids: Vec<_> = metadata.current_schema().as_struct().fields().iter().map(|f| (f.id, f.name.as_str())).collect();
    assert_eq!(ids, [(1, "id"), (2, "ts"), (3, "event_type"), (4, "note")]);
    shop.assert_no_orphan_files().await;

    let again = shop.warehouse.land(with_note_in(draft), commit).await.unwrap();
    assert!(again.already, "the same work is done once");
    assert_eq!(shop.files().await, ["n"]);
}

#[tokio::test]
async fn files_of_other_columns_than_the_tables_are_not_committed() {
    let shop = Shop::open().await;
    shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 1)]).await;
    let draft = shop.warehouse.replaced(&events(), &with_note()).await.unwrap().unwrap();
    let replacing = commit_to(draft.metadata(), Operation::Append, vec![event_file("n", DAY, "view", 2)]);
    let appending = shop.prepared(Operation::Append, vec![event_file("b", DAY, "view", 1)]).await;
    shop.warehouse.alter_table(&events(), &add_column("other")).await.unwrap();

    let e = shop.warehouse.land(with_note_in(draft), replacing).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    assert!(e.to_string().contains("its columns or its partitioning were changed"), "{e}");
    let e = shop.warehouse.commit(appending).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    assert_eq!(shop.files().await, ["a"]);
    shop.assert_no_orphan_files().await;
}

#[tokio::test]
async fn concurrent_alterations_all_happen() {
    let shop = Shop::open().await;
    let names: Vec<String> = (0..8).map(|i| format!("c{i}")).collect();
    let added = names.iter().map(|name| async {
        shop.warehouse.alter_table(&events(), &add_column(name)).await.unwrap();
    });
    futures::future::join_all(added).await;
    let table = shop.warehouse.load(&events()).await.unwrap();
    let mut fields: Vec<_> = table.metadata().current_schema().as_struct().fields()[3..].to_vec();
    fields.sort_by_key(|f| f.id);
    assert_eq!(fields.iter().map(|f| f.id).collect::<Vec<_>>(), (4..12).collect::<Vec<_>>());
    fields.sort_by_key(|f| f.name.clone());
    assert_eq!(fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>(), names);
    shop.assert_no_orphan_files().await;
}
