//! The guarantees of a warehouse with any catalog, checked with real metadata files.

use std::collections::BTreeMap;

use futures::future::join_all;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, NestedField, PrimitiveType, Schema, Struct, Type,
};
use iceberg::table::Table;
use iceberg::{NamespaceIdent, TableIdent};

use crate::error::ErrorKind;
use crate::table::commit::{Base, Commit, CommitKey, Destination, MAIN_BRANCH, Operation, Replaced};
use crate::table::files::SnapshotFiles;
use crate::table::views::NewView;
use crate::table::{NewTable, Warehouse};

/// Checks namespaces, tables and commits with the warehouse's catalog, in namespaces that it creates and drops. Data
/// files are made up: a commit never opens them.
///
/// # Panics
/// If a guarantee does not hold.
#[expect(clippy::unwrap_used, reason = "a test suite, called by tests")]
pub async fn warehouse_conformance(warehouse: &Warehouse) {
    let catalog = warehouse.catalog();
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let ns = NamespaceIdent::new(format!("n{unique}"));
    let other = NamespaceIdent::new(format!("o{unique}"));
    let table = |name: &str| TableIdent::new(ns.clone(), name.to_string());

    // Namespaces.
    let owner = BTreeMap::from([("owner".to_string(), "O'Brien".to_string())]);
    catalog.create_namespace(&ns, &owner).await.unwrap();
    catalog.create_namespace(&other, &BTreeMap::new()).await.unwrap();
    let again = catalog.create_namespace(&ns, &owner).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let all = catalog.namespaces().await.unwrap();
    assert!(all.contains(&ns) && all.contains(&other) && all.is_sorted(), "{all:?}");
    assert_eq!(catalog.namespace_properties(&ns).await.unwrap().get("owner"), owner.get("owner"));
    let none = NamespaceIdent::new(format!("x{unique}"));
    assert!(!catalog.namespace_exists(&none).await.unwrap());
    assert_eq!(catalog.namespace_properties(&none).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(catalog.drop_namespace(&none).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(catalog.tables(&none).await.unwrap(), vec![]);

    // Tables.
    let events = table("events");
    assert!(warehouse.find(&events).await.unwrap().is_none());
    let e = warehouse.create(&TableIdent::new(none, "t".to_string()), new_table()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    let created = warehouse.create(&events, new_table()).await.unwrap();
    assert_eq!(warehouse.create(&events, new_table()).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let loaded = warehouse.load(&events).await.unwrap();
    assert_eq!(loaded.metadata().uuid(), created.metadata().uuid());
    assert_eq!(loaded.metadata().properties().get("made-by").map(String::as_str), Some("a test"));
    let odd = table("o'brien; DROP TABLE x -- 표%_ +&?#");
    warehouse.create(&odd, new_table()).await.unwrap();
    assert_eq!(catalog.tables(&ns).await.unwrap(), vec![events.clone(), odd.clone()]);
    assert_eq!(catalog.drop_namespace(&ns).await.unwrap_err().kind(), ErrorKind::Invalid);

    // Commits.
    let files = async |table: &TableIdent| {
        let table = warehouse.load(table).await.unwrap();
        let Some(snapshot) = table.metadata().current_snapshot() else { return Vec::new() };
        let files = SnapshotFiles::load(&table, snapshot).await.unwrap().data;
        let name = |path: &str| path.rsplit('/').next().unwrap().to_string();
        let mut names: Vec<_> = files.iter().map(|f| name(f.data_file.file_path())).collect();
        names.sort();
        names
    };
    let prepared = async |operation: Operation, name: &str| {
        let table = warehouse.load(&events).await.unwrap();
        Commit {
            table: events.clone(),
            base: Base::of(&table, MAIN_BRANCH),
            branch: MAIN_BRANCH.to_string(),
            operation,
            added: vec![file(name)],
            key: CommitKey::new(name),
            summary: BTreeMap::new(),
        }
    };
    let first = prepared(Operation::Append, "first").await;
    assert!(!warehouse.commit(first.clone()).await.unwrap().already);
    assert!(warehouse.commit(first).await.unwrap().already, "the same work is committed once");
    let stale = prepared(Operation::Replace(Replaced::All), "stale").await;
    let mut concurrent = Vec::new();
    for i in 0..6 {
        concurrent.push(warehouse.commit(prepared(Operation::Append, &format!("race-{i}")).await));
    }
    let committed: Vec<_> = join_all(concurrent).await.into_iter().map(Result::unwrap).collect();
    assert!(committed.iter().all(|c| !c.already));
    assert_eq!(files(&events).await, ["first", "race-0", "race-1", "race-2", "race-3", "race-4", "race-5"]);
    assert_eq!(warehouse.commit(stale).await.unwrap_err().kind(), ErrorKind::Conflict);
    warehouse.commit(prepared(Operation::Replace(Replaced::All), "all").await).await.unwrap();
    assert_eq!(files(&events).await, ["all"]);

    // Alterations.
    let set = |value: &str| [("altered".to_string(), value.to_string())].into();
    let altered = warehouse.alter(&events, |_, table| Ok(Some(table.set_properties(set("yes"))?))).await.unwrap();
    assert_eq!(altered.metadata().properties().get("altered").map(String::as_str), Some("yes"));
    let column = NestedField::optional(2, "added", Type::Primitive(PrimitiveType::String));
    let widen = |metadata: &iceberg::spec::TableMetadata, table: iceberg::spec::TableMetadataBuilder| {
        let schema = metadata.current_schema().as_ref().clone().into_builder().with_fields([column.clone().into()]);
        Ok(Some(table.add_current_schema(schema.build()?)?))
    };
    warehouse.alter(&events, widen).await.unwrap();
    let now = warehouse.load(&events).await.unwrap();
    assert!(now.metadata().current_schema().field_by_name("added").is_some());
    assert_eq!(files(&events).await, ["all"]);

    // A table that appears together with its rows.
    let filled = table("filled");
    let draft = warehouse.draft(&filled, new_table()).await.unwrap();
    assert!(warehouse.find(&filled).await.unwrap().is_none());
    let commit = |draft: &Table| Commit {
        table: filled.clone(),
        base: Base::of(draft, MAIN_BRANCH),
        branch: MAIN_BRANCH.to_string(),
        operation: Operation::Append,
        added: vec![file("row")],
        key: CommitKey::unique(),
        summary: BTreeMap::new(),
    };
    let late = warehouse.draft(&filled, new_table()).await.unwrap();
    warehouse.land(Destination::Draft(draft.clone()), commit(&draft)).await.unwrap();
    assert_eq!(files(&filled).await, ["row"]);
    let e = warehouse.land(Destination::Draft(late.clone()), commit(&late)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
    assert_eq!(files(&filled).await, ["row"]);

    views_conform(warehouse, &ns, &events).await;

    // Renaming and dropping.
    let moved = TableIdent::new(other.clone(), "moved".to_string());
    assert_eq!(catalog.rename(&events, &filled).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(catalog.rename(&table("no"), &moved).await.unwrap_err().kind(), ErrorKind::NotFound);
    catalog.rename(&events, &moved).await.unwrap();
    assert!(warehouse.find(&events).await.unwrap().is_none());
    assert_eq!(files(&moved).await, ["all"]);
    for table in [&moved, &filled, &odd] {
        warehouse.drop_table(table).await.unwrap();
        assert_eq!(warehouse.drop_table(table).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    catalog.drop_namespace(&ns).await.unwrap();
    catalog.drop_namespace(&other).await.unwrap();
    assert!(!catalog.namespace_exists(&ns).await.unwrap());
}

/// The part about views; `table` is a table of the namespace.
#[expect(clippy::unwrap_used, reason = "a test suite, called by tests")]
async fn views_conform(warehouse: &Warehouse, ns: &NamespaceIdent, table: &TableIdent) {
    let catalog = warehouse.catalog();
    let ident = |name: &str| TableIdent::new(ns.clone(), name.to_string());
    let new = |sql: &str| {
        let field = |name: &str| arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Int64, true);
        let columns = arrow::datatypes::Schema::new(vec![field("id"), field(sql)]);
        let docs = [("id".to_string(), "of whom".to_string())].into();
        let properties = [("made-by".to_string(), "a test".to_string())].into();
        NewView { columns, docs, sql: sql.to_string(), default_namespace: ns.to_string(), properties }
    };
    // Without a question mark: Iceberg's S3 client, which a REST server may use, truncates a location there.
    let view = ident("o'brien's view 표%_ +&");
    assert_eq!(catalog.views(ns).await.unwrap(), vec![]);
    assert!(warehouse.find_view(&view).await.unwrap().is_none());
    assert_eq!(warehouse.drop_view(&view).await.unwrap_err().kind(), ErrorKind::NotFound);
    warehouse.create_view(&view, new("one"), false).await.unwrap();
    let found = warehouse.load_view(&view).await.unwrap();
    assert_eq!((found.sql().unwrap(), found.default_namespace()), ("one", ns));
    assert_eq!(found.columns().unwrap().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["id", "one"]);
    assert_eq!(found.docs().get("id").map(String::as_str), Some("of whom"));
    assert_eq!(found.properties().get("made-by").map(String::as_str), Some("a test"));
    assert_eq!(catalog.views(ns).await.unwrap(), vec![view.clone()]);
    assert!(!catalog.tables(ns).await.unwrap().contains(&view));

    // Tables and views share a namespace for names, but are distinct.
    let taken = |done: crate::error::Result<()>| assert_eq!(done.unwrap_err().kind(), ErrorKind::AlreadyExists);
    taken(warehouse.create_view(&view, new("two"), false).await);
    taken(warehouse.create_view(table, new("two"), true).await);
    taken(warehouse.create(&view, new_table()).await.map(drop));
    let nowhere = TableIdent::from_strs(["there-is-no-such", "v"]).unwrap();
    assert_eq!(warehouse.create_view(&nowhere, new("two"), false).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(warehouse.drop_table(&view).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(warehouse.drop_view(table).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(warehouse.find(&view).await.unwrap().is_none() && warehouse.find_view(table).await.unwrap().is_none());

    // Changes.
    warehouse.comment_view(&view, Some("text".to_string())).await.unwrap();
    warehouse.create_view(&view, new("two"), true).await.unwrap();
    let found = warehouse.load_view(&view).await.unwrap();
    assert_eq!((found.sql().unwrap(), found.comment()), ("two", Some("text")));
    assert_eq!(found.columns().unwrap().field(1).name(), "two");
    // Back to an earlier definition, twice.
    warehouse.create_view(&view, new("one"), true).await.unwrap();
    warehouse.create_view(&view, new("one"), true).await.unwrap();
    assert_eq!(warehouse.load_view(&view).await.unwrap().sql().unwrap(), "one");
    warehouse.comment_view(&view, None).await.unwrap();
    warehouse.comment_view(&view, None).await.unwrap();
    assert_eq!(warehouse.load_view(&view).await.unwrap().comment(), None);

    // Concurrent changes.
    let names: Vec<String> = (0..6).map(|n| format!("race_{n}")).collect();
    let races = names.iter().map(|sql| warehouse.create_view(&view, new(sql), true));
    join_all(races).await.into_iter().for_each(|won| won.unwrap());
    let found = warehouse.load_view(&view).await.unwrap();
    assert!(names.iter().any(|sql| sql == found.sql().unwrap()));
    assert_eq!(found.columns().unwrap().field(1).name(), found.sql().unwrap(), "the columns are those of the query");
    let races = names.iter().map(|sql| warehouse.create_view(table, new(sql), true));
    join_all(races).await.into_iter().for_each(taken);
    let fresh = ident("fresh");
    let races = names.iter().map(|sql| warehouse.create_view(&fresh, new(sql), false));
    let won = join_all(races).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1, "one of several creates it");

    for view in [&view, &fresh] {
        warehouse.drop_view(view).await.unwrap();
        assert_eq!(warehouse.drop_view(view).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(catalog.views(ns).await.unwrap(), vec![]);
}

#[expect(clippy::unwrap_used, reason = "a test suite, called by tests")]
fn new_table() -> NewTable {
    let id = NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long));
    let properties = [("made-by".to_string(), "a test".to_string())].into();
    NewTable { properties, ..NewTable::new(Schema::builder().with_fields([id.into()]).build().unwrap()) }
}

#[expect(clippy::unwrap_used, reason = "a test suite, called by tests")]
fn file(name: &str) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("s3://made-up/data/{name}"))
        .file_format(DataFileFormat::Parquet)
        .record_count(1)
        .file_size_in_bytes(1)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .build()
        .unwrap()
}
