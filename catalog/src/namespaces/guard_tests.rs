//! The rights of statements, over a SQLite catalog and users in a file.

use bergmill_access::{FileStore, Holder, Object};
use bergmill_statement::GranteeKind;
use datafusion::catalog::CatalogProvider;

use super::super::tests::{Shop, ident, planned};
use super::*;

/// The tables `raw.events` and `raw.reviews`, the namespace `empty`, and the user `grace`; `ada` may do everything.
struct Users {
    shop: Shop,
    access: Access,
}

impl Users {
    async fn open() -> Self {
        let shop = Shop::open().await;
        let access = Access::new(Arc::new(FileStore::new(shop.folder.path().join("access.json"))));
        for name in ["ada", "grace"] {
            access.add_user(name, "correct horse", false).await.unwrap();
        }
        Self { shop, access }
    }

    async fn grant(&self, on: Object, privilege: Privilege) {
        self.access.grant(&grace(), &on, privilege.into()).await.unwrap();
    }

    async fn revoke(&self, on: Object, privilege: Privilege) {
        self.access.revoke(&grace(), &on, privilege.into()).await.unwrap();
    }

    /// The table or view as it is now.
    async fn object(&self, name: &str) -> Object {
        let table = ident(name);
        let id = self.of("ada").await.identity(&table).await.unwrap().unwrap();
        Object::Table { namespace: table.namespace().to_string(), name: table.name().to_string(), id }
    }

    async fn own(&self, view: &str, user: &str) {
        let view = self.shop.warehouse.load_view(&ident(view)).await.unwrap();
        self.access.own_view(&view.id(), &view.definition().unwrap(), user).await.unwrap();
    }

    /// The rights of a user now.
    async fn guard(&self, user: &str) -> Guard {
        Guard::new(self.access.rights(user).await.unwrap(), Some(self.access.clone()))
    }

    /// What one statement of a user sees.
    async fn of(&self, user: &str) -> NamespaceCatalog {
        self.shop.statement_of(self.guard(user).await)
    }

    /// The error of a query of `grace`, or that there is none.
    async fn tried(&self, sql: &str) -> String {
        planned(&self.of("grace").await, sql).await.err().unwrap_or_else(|| "it is admitted".to_string())
    }
}

fn grace() -> Holder {
    Holder { kind: GranteeKind::User, name: "grace".to_string() }
}

#[tokio::test]
async fn what_was_not_granted_is_not_there() {
    let users = Users::open().await;
    let missing = users.tried("SELECT * FROM nothing").await;
    assert_eq!(missing, "namespace raw not found");
    for sql in
        ["SELECT * FROM events", "SELECT * FROM \"events$files\"", "WITH e AS (SELECT * FROM events) SELECT * FROM e"]
    {
        assert_eq!(users.tried(sql).await, missing, "{sql}");
    }
    assert_eq!(users.tried("WITH events AS (SELECT 1 AS id) SELECT id FROM events").await, "it is admitted");
    let statement = users.of("grace").await;
    assert!(statement.list().await.unwrap().is_empty() && statement.namespaces().await.unwrap().is_empty());
    assert_eq!(statement.list_namespace("raw").await.unwrap_err().to_string(), "namespace raw not found");
    assert_eq!(statement.check_seen(&ident("raw.events")).await.unwrap_err().to_string(), "namespace raw not found");
    let error = statement.check_namespace("raw", Privilege::Create).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NotFound, "namespace raw not found"));
    assert_eq!(users.of("ada").await.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_table_that_may_be_read_is_the_only_one_that_is_seen() {
    let users = Users::open().await;
    users.grant(users.object("raw.events").await, Privilege::Select).await;
    assert_eq!(users.tried("SELECT * FROM events").await, "it is admitted");
    assert_eq!(users.tried("SELECT * FROM \"events$files\"").await, "it is admitted");
    assert!(users.tried("SELECT * FROM reviews").await.starts_with("table raw.reviews not found"));
    assert!(!users.tried("SELECT * FROM reviewt").await.contains("raw.reviews"), "a hint at a hidden table");
    assert_eq!(users.tried("SELECT * FROM evens").await, "table raw.evens not found; did you mean raw.events?");
    let statement = users.of("grace").await;
    assert_eq!(statement.list().await.unwrap()["raw"].all, ["events"]);
    assert_eq!(statement.schema("raw").unwrap().table_names(), ["events"]);
    assert_eq!(statement.list_namespace("raw").await.unwrap().all, ["events"]);
    let error = statement.check(&ident("raw.events"), Privilege::Insert.into()).await.unwrap_err();
    let expected = "user grace has no INSERT on table raw.events; \
                    an administrator can GRANT INSERT ON TABLE raw.events TO USER grace";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Forbidden, expected));
    statement.check(&ident("raw.events"), Privilege::Select.into()).await.unwrap();
}

#[tokio::test]
async fn a_table_that_may_be_written_only_has_columns_only() {
    let users = Users::open().await;
    users.grant(users.object("raw.events").await, Privilege::Insert).await;
    let statement = users.of("grace").await;
    let table = statement.schema("raw").unwrap().table("events").await.unwrap().unwrap();
    assert_eq!(table.schema().field(0).name(), "id");
    for sql in ["SELECT * FROM events", "SELECT count(*) FROM events", "SELECT * FROM \"events$files\""] {
        assert!(users.tried(sql).await.starts_with("user grace has no SELECT on table raw.events"), "{sql}");
    }
    // Also where nothing looked at the plan before it runs.
    let scan = table.scan(&datafusion::prelude::SessionContext::new().state(), None, &[], None).await.unwrap_err();
    assert_eq!(Error::find(&scan).unwrap().kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_grant_on_a_namespace_is_for_its_tables_of_later_and_one_on_a_table_is_not() {
    let users = Users::open().await;
    users.grant(Object::Namespace("raw".into()), Privilege::Select).await;
    users.shop.create("raw.late").await;
    assert_eq!(users.tried("SELECT * FROM late").await, "it is admitted");
    assert!(users.tried("SELECT * FROM \"empty\".late").await.starts_with("namespace empty not found"));

    let users = Users::open().await;
    users.grant(users.object("raw.events").await, Privilege::Select).await;
    users.shop.warehouse.drop_table(&ident("raw.events")).await.unwrap();
    users.shop.create("raw.events").await;
    assert_eq!(users.tried("SELECT * FROM events").await, "table raw.events not found");
    assert!(users.of("grace").await.list().await.unwrap()["raw"].all.is_empty());
}

#[tokio::test]
async fn a_view_reads_with_the_rights_of_who_wrote_its_query() {
    let users = Users::open().await;
    users.shop.view("raw.public", "SELECT id FROM events").await;
    users.grant(users.object("raw.public").await, Privilege::Select).await;
    let refused = users.tried("SELECT * FROM public").await;
    assert_eq!(refused, "view raw.public: table raw.events not found", "without an owner");
    users.own("raw.public", "ada").await;
    assert_eq!(users.tried("SELECT * FROM public").await, "it is admitted");
    assert_eq!(users.tried("SELECT * FROM public JOIN events ON true").await, "table raw.events not found");

    // Someone else replaces the query, for example with another engine.
    users.shop.view("raw.public", "SELECT id FROM reviews").await;
    assert_eq!(users.tried("SELECT * FROM public").await, "view raw.public: table raw.reviews not found");
    users.own("raw.public", "grace").await;
    assert_eq!(users.tried("SELECT * FROM public").await, "view raw.public: table raw.reviews not found");
    assert!(planned(&users.of("ada").await, "SELECT * FROM public").await.is_err(), "grace lends nobody else's rights");
}

#[tokio::test]
async fn a_view_in_a_view_does_not_get_the_rights_of_the_outer_one() {
    let users = Users::open().await;
    users.shop.view("raw.inner", "SELECT id FROM events").await;
    users.shop.view("raw.outer", "SELECT id FROM \"inner\"").await;
    users.own("raw.outer", "ada").await;
    users.grant(users.object("raw.outer").await, Privilege::Select).await;
    let refused = users.tried("SELECT * FROM \"outer\"").await;
    assert!(refused.starts_with("view raw.outer: view raw.inner: table raw.events not found"), "{refused}");
    users.own("raw.inner", "ada").await;
    assert_eq!(users.tried("SELECT * FROM \"outer\"").await, "it is admitted");
    assert!(users.tried("SELECT * FROM \"inner\"").await.starts_with("table raw.inner not found"));
}

#[tokio::test]
async fn what_was_seen_is_seen_until_rights_change() {
    let users = Users::open().await;
    let events = users.object("raw.events").await;
    users.grant(events.clone(), Privilege::Select).await;
    users.shop.view("raw.public", "SELECT id FROM events").await;
    users.own("raw.public", "grace").await;
    let (of_grace, of_ada) = (users.of("grace").await, users.of("ada").await);
    planned(&of_grace, "SELECT * FROM events").await.unwrap();
    planned(&of_ada, "SELECT * FROM public").await.unwrap();
    assert!(of_grace.are_seen_by(&users.guard("grace").await).await);
    assert!(of_ada.are_seen_by(&users.guard("ada").await).await);
    assert!(!of_grace.are_seen_by(&users.guard("ada").await).await, "it belongs to its user");

    users.revoke(events, Privilege::Select).await;
    assert!(!of_grace.are_seen_by(&users.guard("grace").await).await);
    assert!(!of_ada.are_seen_by(&users.guard("ada").await).await, "the view reads with the rights of its owner");
}
