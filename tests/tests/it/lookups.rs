//! A statement looks up the names in it in the catalog, and no others.

use bergmill_gateway::ErrorKind;
use futures::TryStreamExt;

use crate::observed::Door;

impl Door {
    /// The number of rows that a query returns, and its requests to the catalog.
    async fn requests_of(&self, sql: &str) -> (usize, Vec<String>) {
        self.catalog.take_requests();
        let rows = self.client.query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let batches: Vec<_> = rows.try_collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        (batches.iter().map(arrow::array::RecordBatch::num_rows).sum(), self.catalog.take_requests())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_looked_up_when_a_statement_names_them() {
    let door = Door::open().await;
    for n in 0..50 {
        door.update(&format!("CREATE SCHEMA ns{n:02}")).await;
    }
    door.update("CREATE TABLE ns07.t (id INT)").await;
    door.update("INSERT INTO ns07.t VALUES (1), (2)").await;
    door.update("CREATE TABLE ns08.u (id INT)").await;
    door.update("CREATE VIEW ns08.v AS SELECT id FROM ns07.t").await;

    // A query is planned to know its columns, and not again when its rows are fetched.
    let check = async |sql: &str, rows: usize, requests: &[&str]| {
        assert_eq!(door.requests_of(sql).await, (rows, requests.iter().map(ToString::to_string).collect()), "{sql}");
    };
    check("SELECT 1", 1, &[]).await;
    // DataFusion looks up the name of a table function as a table first.
    let function = ["table raw.generate_series", "view raw.generate_series"];
    check("SELECT * FROM generate_series(1, 3)", 3, &function).await;
    check("SELECT * FROM ns07.t", 2, &["table ns07.t"]).await;
    check("SELECT * FROM ns07.t a JOIN ns07.t b ON a.id = b.id", 2, &["table ns07.t"]).await;
    check("SELECT count(*) FROM ns07.t, ns08.u", 1, &["table ns07.t", "table ns08.u"]).await;
    check("SELECT * FROM ns07.\"t$snapshots\"", 1, &["table ns07.t"]).await;
    check("SELECT * FROM ns08.v", 2, &["table ns08.v", "view ns08.v", "table ns07.t"]).await;
    check("SHOW NAMESPACES", 50, &["namespaces"]).await;
    check("SHOW TABLES IN ns08", 1, &["namespace ns08", "tables of ns08", "views of ns08"]).await;

    door.catalog.take_requests();
    door.update("INSERT INTO ns07.t VALUES (3)").await;
    let requests = door.catalog.take_requests();
    assert!(requests.len() <= 6 && requests.iter().all(|what| what.ends_with(" ns07.t")), "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_listed_only_for_lists_and_for_hints() {
    let door = Door::open().await;
    door.update("CREATE SCHEMA raw").await;
    door.update("CREATE SCHEMA processed").await;
    door.update("CREATE TABLE raw.events (id INT)").await;
    door.update(
        "CREATE VIEW processed.v AS SELECT table_name FROM information_schema.tables WHERE table_schema = 'raw'",
    )
    .await;

    let (rows, requests) = door.requests_of("SHOW TABLES").await;
    assert_eq!((rows, requests.iter().filter(|what| *what == "namespaces").count()), (1, 1), "{requests:?}");
    let kinds = "SELECT table_name FROM information_schema.tables WHERE table_schema <> 'information_schema'";
    assert_eq!(door.requests_of(&format!("{kinds} AND table_type = 'BASE TABLE'")).await.0, 1);
    assert_eq!(door.requests_of(&format!("{kinds} AND table_type = 'VIEW'")).await.0, 1);
    assert_eq!(door.requests_of("SELECT DISTINCT table_schema FROM information_schema.columns").await.0, 2);
    // Also when information_schema is read inside a view.
    assert_eq!(door.requests_of("SELECT * FROM processed.v").await.0, 1);
    let tables = door.client.tables().await.unwrap();
    assert_eq!(tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["v", "events"]);

    for (sql, hint) in [
        ("SELECT * FROM raw.evnts", "table raw.evnts not found; did you mean raw.events?"),
        ("SELECT * FROM rwa.events", "namespace rwa not found; did you mean raw?"),
        ("SHOW TABLES IN rwa", "namespace rwa not found; did you mean raw?"),
        ("DESCRIBE raw.evnts", "table raw.evnts not found; did you mean raw.events?"),
    ] {
        let e = door.client.query(sql).await.unwrap_err();
        assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::NotFound, hint), "{sql}");
    }
    let e = door.client.update("INSERT INTO rwa.events VALUES (1)", None).await.unwrap_err();
    assert_eq!(e.to_string(), "namespace rwa not found; did you mean raw?");
}
