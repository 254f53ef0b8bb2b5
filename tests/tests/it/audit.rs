//! The audit: who did what, from where, to which tables, and how it ended, over both front doors, in the file and in
//! `system.audit`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use bergmill_gateway::{Answer, Client, ConnectOptions, Credentials, ErrorKind, Result as DoorResult};
use futures::TryStreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;
use crate::process::{Process, serve};

const PASSWORD: &str = "correct horse";

/// A server with users: the administrator `ada`, and `eve`, who may read `raw.entry` and add rows to `raw.inbox`.
struct Server {
    door: String,
    http: String,
    process: Process,
    folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let server = Self::over(tempfile::tempdir().unwrap());
        let first = Client::connect(&server.door).await.unwrap();
        first.update("CREATE USER ada PASSWORD 'correct horse'", None).await.unwrap();
        let admin = server.login("ada", PASSWORD).await.unwrap();
        for sql in [
            "CREATE USER eve PASSWORD 'correct horse'",
            "CREATE SCHEMA raw",
            "CREATE TABLE raw.secrets AS SELECT 1 AS a UNION ALL SELECT 2",
            "CREATE TABLE raw.entry AS SELECT 7 AS a",
            "CREATE TABLE raw.inbox (a BIGINT)",
            "CREATE VIEW raw.totals AS SELECT count(*) AS n FROM raw.secrets",
            "GRANT SELECT ON TABLE raw.entry TO USER eve",
            "GRANT SELECT ON TABLE raw.totals TO USER eve",
            "GRANT INSERT ON TABLE raw.inbox TO USER eve",
        ] {
            admin.update(sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        server
    }

    fn over(folder: TempDir) -> Self {
        let (process, door) = serve(folder.path(), &["--http-listen", "127.0.0.1:0"]);
        let http = process.wait_for("front door http://");
        Self { door, http, process, folder }
    }

    async fn login(&self, user: &str, password: &str) -> DoorResult<Client> {
        let credentials = Credentials::Password { user: user.to_string(), password: password.to_string() };
        Client::connect_with(&self.door, &ConnectOptions { ca: None, credentials: Some(credentials) }).await
    }

    /// The status of a statement over HTTP; `basic` is user and password in base64.
    async fn http(&self, basic: &str, sql: &str) -> String {
        let body = json!({ "sql": sql }).to_string();
        let answer = http::answer(&self.http, "POST /v1/sql", basic, &body).await;
        answer.split(' ').nth(1).unwrap_or_default().to_string()
    }
}

/// Runs a statement as a prompt does, and reads its rows.
async fn run(client: &Client, sql: &str) -> DoorResult<Vec<RecordBatch>> {
    match client.execute(sql, None).await? {
        Answer::Rows(rows) => rows.try_collect().await,
        Answer::Updated(_) => Ok(Vec::new()),
    }
}

/// The rows of a query, as text.
async fn rows(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let batches = run(client, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let row = |batch: &RecordBatch, row| {
        batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap()).collect()
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |n| row(batch, n))).collect()
}

/// The events in the file.
fn events(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until the file has an event of this action and statement, and returns the last one.
async fn event(server: &Server, is_it: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(event) = events(server.folder.path()).into_iter().rfind(|event| is_it(event)) {
            return event;
        }
        assert!(Instant::now() < deadline, "no such event in {:#?}", events(server.folder.path()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn of_statement(server: &Server, sql: &str) -> Value {
    event(server, |event| event["statement"] == sql).await
}

/// Compares who, tables, outcome and rows of an event; all are from loopback.
fn check(event: &Value, user: &str, tables: [&[&str]; 2], outcome: &str, rows: Option<u64>) {
    let [read, changed] = tables;
    let expected = json!({
        "user": user, "address": "127.0.0.1", "tables_read": read, "tables_changed": changed, "outcome": outcome,
        "rows": rows,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(event[name], *value, "{name} of {event:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_recorded_with_who_where_what_and_outcome() {
    let server = Server::start().await;
    let eve = server.login("eve", PASSWORD).await.unwrap();
    // "eve:correct horse".
    let over_http = "ZXZlOmNvcnJlY3QgaG9yc2U=";

    run(&eve, "SELECT a FROM raw.entry").await.unwrap();
    check(&of_statement(&server, "SELECT a FROM raw.entry").await, "eve", [&["raw.entry"], &[]], "finished", Some(1));
    run(&eve, "SELECT n FROM raw.totals").await.unwrap();
    let tables: [&[&str]; 2] = [&["raw.secrets", "raw.totals"], &[]];
    check(&of_statement(&server, "SELECT n FROM raw.totals").await, "eve", tables, "finished", Some(1));
    let insert = "INSERT INTO raw.inbox SELECT a FROM raw.entry";
    run(&eve, insert).await.unwrap();
    check(&of_statement(&server, insert).await, "eve", [&["raw.entry"], &["raw.inbox"]], "finished", Some(1));

    // What it may know of is named; what it may not know of is in the statement only.
    let refused = run(&eve, "SELECT a FROM raw.inbox").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let event = of_statement(&server, "SELECT a FROM raw.inbox").await;
    check(&event, "eve", [&["raw.inbox"], &[]], "refused", None);
    assert!(event["error"].as_str().unwrap().contains("has no SELECT"), "{event}");
    run(&eve, "SELECT a FROM raw.secrets").await.unwrap_err();
    check(&of_statement(&server, "SELECT a FROM raw.secrets").await, "eve", [&[], &[]], "failed", None);
    run(&eve, "DROP TABLE raw.entry").await.unwrap_err();
    check(&of_statement(&server, "DROP TABLE raw.entry").await, "eve", [&[], &["raw.entry"]], "refused", None);
    run(&eve, "CREATE SCHEMA mine").await.unwrap_err();
    check(&of_statement(&server, "CREATE SCHEMA mine").await, "eve", [&[], &[]], "refused", None);

    assert_eq!(server.http(over_http, "SELECT a + 1 FROM raw.entry").await, "200");
    let event = of_statement(&server, "SELECT a + 1 FROM raw.entry").await;
    check(&event, "eve", [&["raw.entry"], &[]], "finished", Some(1));
    assert_eq!(server.http(over_http, "INSERT INTO raw.inbox VALUES (3), (4)").await, "200");
    let event = of_statement(&server, "INSERT INTO raw.inbox VALUES (3), (4)").await;
    check(&event, "eve", [&[], &["raw.inbox"]], "finished", Some(2));
    assert_eq!(server.http(over_http, "DELETE FROM raw.inbox").await, "403");
    // It reads the table, and was not planned.
    check(&of_statement(&server, "DELETE FROM raw.inbox").await, "eve", [&["raw.inbox"], &[]], "refused", None);

    // What administrators do, without passwords.
    let admin = server.login("ada", PASSWORD).await.unwrap();
    let grant = of_statement(&server, "GRANT INSERT ON TABLE raw.inbox TO USER eve").await;
    check(&grant, "ada", [&[], &[]], "finished", Some(0));
    run(&admin, "ALTER TABLE raw.entry RENAME TO raw.opened").await.unwrap();
    let rename = of_statement(&server, "ALTER TABLE raw.entry RENAME TO raw.opened").await;
    check(&rename, "ada", [&[], &["raw.entry", "raw.opened"]], "finished", Some(0));
    run(&admin, "ALTER USER eve PASSWORD 'battery staple'").await.unwrap();
    let changed = of_statement(&server, "ALTER USER eve PASSWORD '***'").await;
    check(&changed, "ada", [&[], &[]], "finished", Some(0));
    let text = std::fs::read_to_string(server.folder.path().join("audit.jsonl")).unwrap();
    assert!(!text.contains(PASSWORD) && !text.contains("battery staple"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_cancellations_are_recorded() {
    let server = Server::start().await;
    let login = |user: &'static str, outcome: &'static str| {
        let is_it =
            move |event: &Value| event["action"] == "login" && event["user"] == user && event["outcome"] == outcome;
        event(&server, is_it)
    };
    let eve = server.login("eve", PASSWORD).await.unwrap();
    check(&login("eve", "finished").await, "eve", [&[], &[]], "finished", None);

    let wrong = "wrong horse";
    assert_eq!(server.login("eve", wrong).await.err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated));
    let event_of_eve = login("eve", "refused").await;
    check(&event_of_eve, "eve", [&[], &[]], "refused", None);
    assert_eq!(event_of_eve["error"], "the user or the password is wrong");
    // "mallory:wrong horse".
    assert_eq!(server.http("bWFsbG9yeTp3cm9uZyBob3JzZQ==", "SELECT 1").await, "401");
    check(&login("mallory", "refused").await, "mallory", [&[], &[]], "refused", None);
    let unknown = ConnectOptions { ca: None, credentials: Some(Credentials::Token("bergmill_x".to_string())) };
    let unknown = Client::connect_with(&server.door, &unknown).await.unwrap();
    run(&unknown, "SELECT 'by a token that is not known'").await.unwrap_err();
    let refused = |event: &Value| event["user"].is_null() && event["outcome"] == "refused";
    assert!(event(&server, refused).await["error"].as_str().unwrap().contains("token"));

    let nobody = "KILL QUERY '019ac9d5-0000-7000-8000-000000000000'";
    run(&eve, nobody).await.unwrap_err();
    check(&of_statement(&server, nobody).await, "eve", [&[], &[]], "failed", None);

    let text = std::fs::read_to_string(server.folder.path().join("audit.jsonl")).unwrap();
    assert!(!text.contains(wrong) && !text.contains(PASSWORD) && !text.contains("bergmill_x"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_read_the_audit_and_it_survives_a_restart() {
    let server = Server::start().await;
    let (admin, eve) = (server.login("ada", PASSWORD).await.unwrap(), server.login("eve", PASSWORD).await.unwrap());
    run(&eve, "SELECT n FROM raw.totals").await.unwrap();
    let query = "SELECT user_name, client_address, tables_read, tables_changed, outcome, rows FROM system.audit \
                 WHERE statement = 'SELECT n FROM raw.totals' AND array_has(tables_read, 'raw.secrets')";
    let expected = vec!["eve", "127.0.0.1", "[raw.secrets, raw.totals]", "[]", "finished", "1"];
    assert_eq!(rows(&admin, query).await, std::slice::from_ref(&expected));
    let with_queries = "SELECT q.state FROM system.audit a JOIN system.queries q USING (query_id) \
                        WHERE a.statement = 'SELECT n FROM raw.totals'";
    assert_eq!(rows(&admin, with_queries).await, [["finished"]]);
    for sql in ["SELECT * FROM system.audit", "SELECT count(*) FROM (SELECT * FROM system.audit)"] {
        let refused = run(&eve, sql).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{refused}");
        assert!(refused.to_string().contains("only administrators may"), "{refused}");
        assert_eq!(of_statement(&server, sql).await["outcome"], "refused");
    }
    // Views have only tables of the warehouse.
    assert!(run(&admin, "CREATE VIEW raw.peek AS SELECT statement FROM system.audit").await.is_err());

    let of_before: BTreeSet<String> =
        events(server.folder.path()).iter().map(|event| event["statement"].to_string()).collect();
    assert!(server.process.terminate());
    let server = Server::over(server.folder);
    let admin = server.login("ada", PASSWORD).await.unwrap();
    assert_eq!(rows(&admin, query).await, [expected]);
    let after: BTreeSet<String> =
        events(server.folder.path()).iter().map(|event| event["statement"].to_string()).collect();
    assert!(after.is_superset(&of_before));
}
