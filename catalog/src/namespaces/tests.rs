//! Names in one statement, over a SQLite catalog and a folder.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use bergmill_storage::Stores;
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
use tempfile::TempDir;

use super::*;
use crate::pointers::sql::SqlCatalog;
use crate::table::NewTable;
use crate::table::commit::{Commit, CommitKey, Operation, Replaced};
use crate::table::views::NewView;
use crate::unreadable::check_readable;

/// Plans the query of a view as the scheduler does: in a session over the statement's own tables.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl ViewPlanner for Planner {
    async fn plan(&self, tables: &NamespaceCatalog, sql: &str, namespace: &str) -> DataFusionResult<LogicalPlan> {
        session(tables, namespace).state().create_logical_plan(sql).await
    }
}

fn session(tables: &NamespaceCatalog, namespace: &str) -> SessionContext {
    let config = SessionConfig::new().with_default_catalog_and_schema("c", namespace);
    let context = SessionContext::new_with_config(config);
    context.register_catalog("c", Arc::new(tables.clone()));
    context
}

/// `raw.events` and `raw.reviews`, without rows, of one column `id`.
pub(super) struct Shop {
    pub(super) folder: TempDir,
    pub(super) warehouse: Warehouse,
}

impl Shop {
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open(folder.path().join("catalog.db"), "test").await.unwrap();
        let location = format!("file://{}/wh", folder.path().display());
        let warehouse = Warehouse::new(Arc::new(catalog), Stores::local(), &location).unwrap();
        for namespace in ["raw", "empty"] {
            warehouse.create_namespace(namespace, None).await.unwrap();
        }
        let shop = Self { folder, warehouse };
        for name in ["raw.events", "raw.reviews"] {
            shop.create(name).await;
        }
        shop
    }

    pub(super) async fn create(&self, name: &str) {
        let id = NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long));
        let schema = Schema::builder().with_fields([Arc::new(id)]).build().unwrap();
        self.warehouse.create(&ident(name), NewTable::new(schema)).await.unwrap();
    }

    pub(super) async fn view(&self, name: &str, sql: &str) {
        let new = NewView {
            columns: ArrowSchema::new(vec![Field::new("id", DataType::Int64, true)]),
            docs: HashMap::new(),
            sql: sql.to_string(),
            default_namespace: "raw".to_string(),
            properties: HashMap::new(),
        };
        self.warehouse.create_view(&ident(name), new, true).await.unwrap();
    }

    /// What one statement sees.
    fn statement(&self) -> NamespaceCatalog {
        self.statement_of(Guard::open())
    }

    pub(super) fn statement_of(&self, guard: Guard) -> NamespaceCatalog {
        NamespaceCatalog::new(self.warehouse.clone(), TextType::Utf8, Arc::new(Planner), guard)
    }
}

pub(super) fn ident(name: &str) -> TableIdent {
    TableIdent::from_strs(name.split('.')).unwrap()
}

/// Plans a query in `raw`; the error is the catalog's own, or why a name was not found.
pub(super) async fn planned(tables: &NamespaceCatalog, sql: &str) -> std::result::Result<LogicalPlan, String> {
    match session(tables, "raw").state().create_logical_plan(sql).await {
        Ok(plan) => check_readable(&plan).map(|()| plan).map_err(|e| e.to_string()),
        Err(e) => Err(match Error::find(&e) {
            Some(ours) => ours.to_string(),
            None => tables.take_miss().await.map_or_else(|| e.to_string(), |miss| miss.to_string()),
        }),
    }
}

#[tokio::test]
async fn a_table_is_pinned_for_the_statement() {
    let shop = Shop::open().await;
    let statement = shop.statement();
    let first = statement.pinned(&ident("raw.events")).await.unwrap();
    assert!(first.snapshot().is_none());

    // Another writer commits.
    let table = shop.warehouse.load(&ident("raw.events")).await.unwrap();
    let commit = Commit::new(&table, "main", Operation::Replace(Replaced::All), CommitKey::unique());
    shop.warehouse.commit(commit).await.unwrap();

    let again = statement.pinned(&ident("raw.events")).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "the statement sees one snapshot");
    assert!(shop.statement().pinned(&ident("raw.events")).await.unwrap().snapshot().is_some(), "the next sees the new");
}

#[tokio::test]
async fn a_name_that_is_not_there_is_an_error_with_the_nearest() {
    let shop = Shop::open().await;
    let check = async |sql: &str, expected: &[&str]| {
        let error = planned(&shop.statement(), sql).await.unwrap_err();
        assert!(expected.iter().all(|part| error.contains(part)), "{sql}: {error}");
    };
    check("SELECT * FROM evnts", &["raw.evnts", "raw.events"]).await;
    check("SELECT * FROM row.events", &["row", "raw"]).await;
    check("SELECT * FROM \"events$files\" JOIN \"events$snapshot\" ON true", &["events$snapshot", "events$snapshots"])
        .await;
    check("SELECT * FROM \"no such\".events", &["no such"]).await;
    let error = shop.statement().pinned(&ident("raw.nothing")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = shop.statement().list_namespace("rw").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("raw"), "{error}");
}

#[tokio::test]
async fn names_are_listed_when_asked_for() {
    let shop = Shop::open().await;
    shop.view("raw.purchases", "SELECT id FROM events").await;
    let statement = shop.statement();
    assert!(statement.schema_names().is_empty(), "nothing was asked of the catalog yet");
    let listing = statement.list().await.unwrap();
    assert_eq!(listing.keys().collect::<Vec<_>>(), ["empty", "raw"]);
    assert_eq!(listing["raw"].all, ["events", "purchases", "reviews"]);
    assert!(listing["raw"].views.iter().eq(["purchases"]) && listing["empty"].all.is_empty());

    // As information_schema reads them.
    let raw = statement.schema("raw").unwrap();
    assert_eq!(raw.table_names(), listing["raw"].all);
    assert!(raw.table_exist("purchases") && !raw.table_exist("events$files"));
    assert_eq!(raw.table_type("purchases").await.unwrap(), Some(TableType::View));
    assert_eq!(raw.table_type("events").await.unwrap(), Some(TableType::Base));

    // A statement that listed them keeps what it saw.
    shop.create("raw.late").await;
    assert!(!statement.list().await.unwrap()["raw"].all.contains(&"late".to_string()));
    assert!(shop.statement().list().await.unwrap()["raw"].all.contains(&"late".to_string()));
}

#[tokio::test]
async fn views_read_the_statements_tables_and_never_themselves() {
    let shop = Shop::open().await;
    shop.view("raw.a", "SELECT id FROM events").await;
    shop.view("raw.b", "SELECT id FROM a").await;
    let statement = shop.statement();
    planned(&statement, "SELECT * FROM b JOIN events ON b.id = events.id").await.unwrap();

    shop.view("raw.a", "SELECT id FROM b").await;
    let error = planned(&shop.statement(), "SELECT * FROM a").await.unwrap_err();
    assert!(error.contains("raw.a, then raw.b, then raw.a"), "{error}");
    // The statement that has planned them goes on.
    planned(&statement, "SELECT * FROM events").await.unwrap();
}

#[tokio::test]
async fn a_view_whose_query_fails_has_columns_and_no_rows() {
    let shop = Shop::open().await;
    shop.view("raw.gone", "SELECT id FROM no_such_table").await;
    shop.view("raw.narrow", "SELECT 1 AS other").await;
    let statement = shop.statement();
    let table = statement.schema("raw").unwrap().table("gone").await.unwrap().unwrap();
    assert_eq!((table.schema().field(0).name().as_str(), table.table_type()), ("id", TableType::View));
    for (sql, expected) in [
        ("SELECT * FROM gone", ["view raw.gone", "no_such_table"]),
        ("SELECT * FROM events WHERE id IN (SELECT id FROM gone)", ["view raw.gone", "no_such_table"]),
        ("SELECT * FROM narrow", ["view raw.narrow", "column id"]),
    ] {
        let error = planned(&statement, sql).await.unwrap_err();
        assert!(expected.iter().all(|part| error.contains(part)), "{sql}: {error}");
    }
    planned(&statement, "SELECT * FROM events").await.unwrap();
}
