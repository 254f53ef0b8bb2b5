//! What a user may do, tried by one who may do little: everything else is refused, and what it may not know of is not
//! there.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use arrow_flight::Ticket;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};
use bergmill_gateway::{
    Client, ConnectOptions, Credentials, ErrorKind, IngestMode, IngestTarget, Result as DoorResult,
};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::http;
use crate::process::{Process, run_with, serve};

const PASSWORD: &str = "correct horse";

/// A server with users: the administrator `ada`, and `eve`, who has the grants of [`Server::start`].
struct Server {
    door: String,
    http: String,
    _process: Process,
    folder: TempDir,
}

impl Server {
    /// `eve` may read `raw.entry`, add rows to `raw.inbox`, read `raw.totals`, which is a view over `raw.secrets`, and
    /// create tables in `lab`. She may not know of `raw.secrets` and of the namespace `vault`.
    async fn start() -> (Self, Client, Client) {
        let folder = tempfile::tempdir().unwrap();
        let (process, door) = serve(folder.path(), &["--http-listen", "127.0.0.1:0"]);
        let http = process.wait_for("front door http://");
        let server = Self { door, http, _process: process, folder };
        let first = Client::connect(&server.door).await.unwrap();
        first.update("CREATE USER ada PASSWORD 'correct horse'", None).await.unwrap();
        let admin = server.login("ada").await;
        for sql in [
            "CREATE USER eve PASSWORD 'correct horse'",
            "CREATE SCHEMA raw",
            "CREATE SCHEMA lab",
            "CREATE SCHEMA vault",
            "CREATE TABLE raw.secrets AS SELECT 1 AS a, 'x' AS s UNION ALL SELECT 2, 'y'",
            "CREATE TABLE raw.entry AS SELECT 7 AS a, 'open' AS s",
            "CREATE TABLE raw.inbox (a BIGINT, s TEXT)",
            "CREATE TABLE vault.keys (a BIGINT)",
            "CREATE VIEW raw.totals AS SELECT count(*) AS n FROM raw.secrets",
            "GRANT SELECT ON TABLE raw.entry TO USER eve",
            "GRANT INSERT ON TABLE raw.inbox TO USER eve",
            "GRANT SELECT ON TABLE raw.totals TO USER eve",
            "GRANT CREATE ON NAMESPACE lab TO USER eve",
        ] {
            admin.update(sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        let eve = server.login("eve").await;
        (server, admin, eve)
    }

    async fn login(&self, user: &str) -> Client {
        let credentials = Credentials::Password { user: user.to_string(), password: PASSWORD.to_string() };
        let options = ConnectOptions { ca: None, credentials: Some(credentials) };
        Client::connect_with(&self.door, &options).await.unwrap()
    }

    /// The answer to a request of `eve` over HTTP.
    async fn http(&self, request: &str, body: &str) -> String {
        // "eve:correct horse" in base64.
        http::answer(&self.http, request, "ZXZlOmNvcnJlY3QgaG9yc2U=", body).await
    }

    /// A client of the protocol itself.
    async fn flight(&self, user: &str) -> FlightSqlServiceClient<Channel> {
        let channel = Endpoint::from_shared(format!("http://{}", self.door)).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new_from_inner(FlightServiceClient::new(channel));
        client.handshake(user, PASSWORD).await.unwrap();
        client
    }
}

/// Runs a statement as a prompt does.
async fn run(client: &Client, sql: &str) -> DoorResult<String> {
    match client.execute(sql, None).await? {
        bergmill_gateway::Answer::Rows(rows) => {
            let batches: Vec<RecordBatch> = rows.try_collect().await?;
            Ok(pretty_format_batches(&batches)?.to_string())
        }
        bergmill_gateway::Answer::Updated(rows) => Ok(format!("{rows} rows")),
    }
}

async fn works(client: &Client, sql: &str) -> String {
    run(client, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// Tries a statement and prints it with the error.
async fn refused(client: &Client, sql: &str) -> bergmill_gateway::Error {
    match run(client, sql).await {
        Ok(answer) => panic!("{sql} is admitted:\n{answer}"),
        Err(error) => {
            println!("refused: {sql}: {error}");
            error
        }
    }
}

/// Statements about the table `raw.{n}`.
const ABOUT_A_TABLE: &[&str] = &[
    "SELECT * FROM raw.{n}",
    "SELECT * FROM {n}",
    "SELECT * FROM bergmill.raw.{n}",
    "SELECT count(*) FROM raw.{n}",
    "SELECT (SELECT max(a) FROM raw.{n})",
    "SELECT * FROM raw.entry WHERE a IN (SELECT a FROM raw.{n})",
    "SELECT * FROM raw.entry e WHERE EXISTS (SELECT 1 FROM raw.{n} s WHERE s.a = e.a)",
    "SELECT * FROM raw.entry JOIN raw.{n} USING (a)",
    "SELECT * FROM raw.entry UNION ALL SELECT * FROM raw.{n}",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM raw.{n}))",
    "WITH x AS (SELECT * FROM raw.{n}) SELECT * FROM x",
    "WITH secrets AS (SELECT * FROM raw.{n}) SELECT * FROM secrets",
    "WITH secrets AS (SELECT 1 AS a) SELECT * FROM secrets JOIN raw.{n} USING (a)",
    "WITH entry AS (SELECT * FROM raw.{n}), secrets AS (SELECT * FROM entry) SELECT * FROM secrets",
    "WITH RECURSIVE r AS (SELECT a FROM raw.{n} UNION ALL SELECT a + 1 FROM r WHERE a < 3) SELECT * FROM r",
    "SELECT * FROM raw.{n} VERSION AS OF 1",
    "SELECT * FROM raw.{n} TIMESTAMP AS OF now()",
    "SELECT \"$path\" FROM raw.{n}",
    "SELECT * FROM table_changes('raw.{n}', NULL)",
    "SELECT * FROM raw.\"{n}$snapshots\"",
    "SELECT * FROM raw.\"{n}$files\"",
    "EXPLAIN SELECT * FROM raw.{n}",
    "EXPLAIN VERBOSE SELECT * FROM raw.{n}",
    "EXPLAIN ANALYZE SELECT * FROM raw.{n}",
    "EXPLAIN INSERT INTO raw.inbox SELECT * FROM raw.{n}",
    "EXPLAIN DELETE FROM raw.{n}",
    "DESCRIBE raw.{n}",
    "DESCRIBE TABLE EXTENDED raw.{n}",
    "DESCRIBE SELECT * FROM raw.{n}",
    "SHOW CREATE TABLE raw.{n}",
    "SHOW CREATE VIEW raw.{n}",
    "SHOW TBLPROPERTIES raw.{n}",
    "INSERT INTO raw.{n} VALUES (1, 'x')",
    "INSERT INTO raw.inbox SELECT * FROM raw.{n}",
    "INSERT OVERWRITE raw.{n} SELECT * FROM raw.entry",
    "UPDATE raw.{n} SET a = 3",
    "UPDATE raw.inbox SET a = (SELECT max(a) FROM raw.{n})",
    "DELETE FROM raw.{n}",
    "DELETE FROM raw.{n} AS d WHERE d.a = 1",
    "DELETE FROM raw.inbox WHERE a IN (SELECT a FROM raw.{n})",
    "TRUNCATE TABLE raw.{n}",
    "MERGE INTO raw.{n} t USING raw.entry s ON t.a = s.a WHEN MATCHED THEN DELETE",
    "MERGE INTO raw.inbox t USING raw.{n} s ON t.a = s.a WHEN NOT MATCHED THEN INSERT (a, s) VALUES (s.a, s.s)",
    "MERGE INTO raw.inbox t USING (SELECT * FROM raw.{n}) s ON t.a = s.a WHEN MATCHED THEN DELETE",
    "CREATE TABLE lab.copy AS SELECT * FROM raw.{n}",
    "CREATE OR REPLACE TABLE lab.copy AS SELECT * FROM raw.{n}",
    "CREATE TABLE lab.copy LIKE raw.{n}",
    "CREATE VIEW lab.peek AS SELECT * FROM raw.{n}",
    "DROP TABLE raw.{n}",
    "DROP VIEW raw.{n}",
    "ALTER TABLE raw.{n} ADD COLUMN b BIGINT",
    "ALTER TABLE raw.{n} DROP COLUMN a",
    "ALTER TABLE raw.{n} SET TBLPROPERTIES ('x' = 'y')",
    "ALTER TABLE raw.{n} RENAME TO lab.mine",
    "ALTER TABLE raw.{n} CREATE BRANCH b",
    "ALTER TABLE raw.{n} CREATE TAG t",
    "CALL system.rollback_to_snapshot('raw.{n}', 1)",
    "CALL system.set_current_snapshot('raw.{n}', 1)",
    "CALL system.fast_forward('raw.{n}', 'main', 'b')",
    "COMMENT ON TABLE raw.{n} IS 'mine'",
    "COMMENT ON COLUMN raw.{n}.a IS 'mine'",
    "COMMENT ON VIEW raw.{n} IS 'mine'",
];

/// Statements about the namespace `{n}`.
const ABOUT_A_NAMESPACE: &[&str] = &[
    "SELECT * FROM {n}.keys",
    "SHOW TABLES IN {n}",
    "SHOW VIEWS IN {n}",
    "CREATE TABLE {n}.t (a BIGINT)",
    "CREATE TABLE IF NOT EXISTS {n}.keys (a BIGINT)",
    "CREATE OR REPLACE TABLE {n}.keys (a BIGINT)",
    "CREATE VIEW {n}.v AS SELECT 1 AS a",
    "DROP TABLE {n}.keys",
    "ALTER TABLE {n}.keys ADD COLUMN b BIGINT",
    "DROP SCHEMA {n}",
    "CREATE SCHEMA IF NOT EXISTS {n}",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_may_not_know_of_is_not_there() {
    let (_server, admin, eve) = Server::start().await;
    // Each error is that of a table or namespace that does not exist.
    for (statements, hidden, missing) in [(ABOUT_A_TABLE, "secrets", "absents"), (ABOUT_A_NAMESPACE, "vault", "other")]
    {
        for template in statements {
            let with = |name: &str| template.replace("{n}", name);
            let of_hidden = refused(&eve, &with(hidden)).await;
            let of_missing = run(&eve, &with(missing)).await.unwrap_err();
            assert_eq!(of_hidden.to_string().replace(hidden, missing), of_missing.to_string(), "{template}");
            assert_eq!(of_hidden.kind(), of_missing.kind(), "{template}");
        }
    }
    // Without an error where a missing table is none.
    for sql in [
        "DROP TABLE IF EXISTS raw.secrets",
        "DROP VIEW IF EXISTS raw.secrets",
        "ALTER TABLE IF EXISTS raw.secrets ADD COLUMN b BIGINT",
        "ALTER TABLE IF EXISTS raw.secrets RENAME TO lab.mine",
        "DROP SCHEMA IF EXISTS vault",
    ] {
        works(&eve, sql).await;
        println!("without an effect: {sql}");
    }
    assert!(works(&admin, "SELECT count(*) AS n, sum(a) AS s FROM raw.secrets").await.contains("| 2 | 3 |"));
    assert!(works(&admin, "SHOW TABLES IN vault").await.contains("keys"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_may_do_is_what_was_granted() {
    let (_server, admin, eve) = Server::start().await;
    for (sql, lacking) in [
        ("INSERT INTO raw.entry VALUES (1, 'x')", "INSERT on table raw.entry"),
        ("INSERT INTO raw.entry SELECT * FROM raw.entry", "INSERT on table raw.entry"),
        ("INSERT OVERWRITE raw.entry SELECT 1, 'x'", "INSERT, DELETE on table raw.entry"),
        ("INSERT OVERWRITE raw.inbox SELECT 1, 'x'", "DELETE on table raw.inbox"),
        ("UPDATE raw.entry SET a = 3", "UPDATE on table raw.entry"),
        ("DELETE FROM raw.entry WHERE a = 7", "DELETE on table raw.entry"),
        ("DELETE FROM raw.entry AS e WHERE e.a = 7", "DELETE on table raw.entry"),
        ("TRUNCATE TABLE raw.entry", "DELETE on table raw.entry"),
        ("TRUNCATE TABLE raw.inbox", "DELETE on table raw.inbox"),
        (
            "MERGE INTO raw.entry t USING (SELECT 7 AS a) s ON t.a = s.a WHEN MATCHED THEN UPDATE SET a = 8
             WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
            "INSERT, UPDATE on table raw.entry",
        ),
        (
            "MERGE INTO raw.inbox t USING raw.entry s ON t.a = s.a WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
            "SELECT on table raw.inbox",
        ),
        ("SELECT * FROM raw.inbox", "SELECT on table raw.inbox"),
        ("SELECT count(*) FROM raw.inbox", "SELECT on table raw.inbox"),
        ("SELECT * FROM raw.inbox VERSION AS OF 1", "SELECT on table raw.inbox"),
        ("SELECT \"$path\" FROM raw.inbox", "SELECT on table raw.inbox"),
        ("SELECT * FROM table_changes('raw.inbox', NULL)", "SELECT on table raw.inbox"),
        ("SELECT * FROM raw.\"inbox$files\"", "SELECT on table raw.inbox"),
        ("EXPLAIN SELECT * FROM raw.inbox", "SELECT on table raw.inbox"),
        ("EXPLAIN ANALYZE SELECT * FROM raw.inbox", "SELECT on table raw.inbox"),
        ("INSERT INTO raw.inbox SELECT * FROM raw.inbox", "SELECT on table raw.inbox"),
        ("DELETE FROM raw.inbox", "SELECT on table raw.inbox"),
        ("UPDATE raw.inbox SET a = 1", "SELECT on table raw.inbox"),
        ("CREATE TABLE lab.copy AS SELECT * FROM raw.inbox", "SELECT on table raw.inbox"),
        ("CREATE VIEW lab.peek AS SELECT * FROM raw.inbox", "SELECT on table raw.inbox"),
        ("DROP TABLE raw.entry", "DROP on table raw.entry"),
        ("DROP TABLE IF EXISTS raw.entry", "DROP on table raw.entry"),
        ("DROP VIEW raw.totals", "DROP on table raw.totals"),
        ("ALTER TABLE raw.entry ADD COLUMN b BIGINT", "ALTER on table raw.entry"),
        ("ALTER TABLE raw.entry SET TBLPROPERTIES ('x' = 'y')", "ALTER on table raw.entry"),
        ("ALTER TABLE raw.entry CREATE BRANCH b", "ALTER on table raw.entry"),
        ("ALTER TABLE raw.entry RENAME TO raw.mine", "ALTER, DROP on table raw.entry"),
        ("ALTER TABLE raw.entry RENAME TO lab.mine", "INSERT, UPDATE, DELETE, ALTER, DROP on table raw.entry"),
        ("CALL system.rollback_to_snapshot('raw.entry', 1)", "ALTER on table raw.entry"),
        ("COMMENT ON TABLE raw.entry IS 'mine'", "ALTER on table raw.entry"),
        ("COMMENT ON VIEW raw.totals IS 'mine'", "ALTER on table raw.totals"),
        ("CREATE TABLE raw.mine (a BIGINT)", "CREATE on namespace raw"),
        ("CREATE TABLE raw.mine AS SELECT 1 AS a", "CREATE on namespace raw"),
        ("CREATE OR REPLACE TABLE raw.entry (a BIGINT)", "CREATE on namespace raw"),
        ("CREATE VIEW raw.mine AS SELECT 1 AS a", "CREATE on namespace raw"),
        ("CREATE OR REPLACE VIEW raw.totals AS SELECT 1 AS n", "CREATE on namespace raw"),
    ] {
        let error = refused(&eve, sql).await;
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{sql}: {error}");
        assert!(error.to_string().contains(&format!("user eve has no {lacking};")), "{sql}: {error}");
    }
    for sql in [
        "CREATE SCHEMA mine",
        "DROP SCHEMA lab",
        "CREATE TABLE lab.far (a BIGINT) LOCATION 'file:///tmp/far'",
        "CREATE TABLE lab.far (a BIGINT) TBLPROPERTIES ('write.data.path' = 'file:///tmp/far')",
        "CREATE ROLE mine",
        "DROP ROLE IF EXISTS mine",
        "GRANT ALL ON TABLE raw.secrets TO USER eve",
        "GRANT ALL ON NAMESPACE vault TO eve",
        "REVOKE SELECT ON TABLE raw.entry FROM USER ada",
        "GRANT mine TO eve",
        "SHOW GRANTS FOR ada",
        "SHOW GRANTS FOR nobody",
        "SHOW USERS",
    ] {
        let error = refused(&eve, sql).await;
        assert!(error.kind() == ErrorKind::Forbidden && error.to_string().contains("only administrators may"), "{sql}");
    }
    // Files of the server are no tables, and statements inside an EXPLAIN are not run.
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "COPY raw.entry TO '/tmp/entry.csv'",
        "CREATE EXTERNAL TABLE lab.x STORED AS CSV LOCATION '/etc/passwd'",
        "EXPLAIN ANALYZE INSERT INTO raw.inbox SELECT 1, 'x'",
        "EXPLAIN ANALYZE DELETE FROM raw.entry",
        "PREPARE p AS SELECT * FROM raw.entry",
    ] {
        refused(&eve, sql).await;
    }

    assert!(works(&eve, "SELECT * FROM raw.entry").await.contains("| 7 | open |"));
    assert!(works(&eve, "SELECT * FROM entry WHERE a IN (SELECT a FROM raw.entry)").await.contains("open"));
    assert!(works(&eve, "WITH secrets AS (SELECT 5 AS a) SELECT a FROM secrets").await.contains("| 5 |"));
    assert!(works(&eve, "SELECT n FROM raw.totals").await.contains("| 2 |"), "with the rights of its owner");
    assert!(works(&eve, "DESCRIBE raw.inbox").await.contains("| a           | Int64"));
    assert_eq!(works(&eve, "INSERT INTO raw.inbox SELECT * FROM raw.entry").await, "1 rows");
    assert_eq!(works(&eve, "CREATE TABLE IF NOT EXISTS raw.entry (a BIGINT)").await, "0 rows");
    assert_eq!(works(&eve, "CREATE SCHEMA IF NOT EXISTS raw").await, "0 rows");
    assert!(works(&admin, "SELECT a, s FROM raw.inbox").await.contains("| 7 | open |"));
    assert!(!works(&admin, "SELECT a, s FROM raw.inbox").await.contains("| 1 | x"));

    // Who creates a table has all privileges on it, and others have none.
    for sql in [
        "CREATE TABLE lab.mine AS SELECT * FROM raw.entry",
        "UPDATE lab.mine SET a = 8",
        "ALTER TABLE lab.mine ADD COLUMN b BIGINT",
        "CREATE OR REPLACE TABLE lab.mine (a BIGINT)",
        "INSERT INTO lab.mine VALUES (1)",
        "DELETE FROM lab.mine WHERE a = 1",
        "ALTER TABLE lab.mine RENAME TO lab.own",
        "CREATE VIEW lab.seen AS SELECT * FROM lab.own",
        "CREATE OR REPLACE VIEW lab.seen AS SELECT a FROM lab.own",
        "SELECT * FROM lab.seen",
        "DROP VIEW lab.seen",
        "DROP TABLE lab.own",
    ] {
        works(&eve, sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn catalog_calls_and_other_doors_list_and_take_only_what_is_allowed() {
    let (server, admin, eve) = Server::start().await;
    works(&admin, "CREATE TABLE lab.of_ada (a BIGINT)").await;

    let of = |tables: Vec<bergmill_gateway::TableInfo>| {
        tables.into_iter().map(|table| format!("{}.{}", table.namespace, table.name)).collect::<Vec<_>>()
    };
    assert_eq!(of(eve.tables().await.unwrap()), ["raw.entry", "raw.inbox", "raw.totals"]);
    assert_eq!(of(admin.tables().await.unwrap()).len(), 6);
    let hidden = ["secrets", "vault", "keys", "of_ada"];
    for sql in [
        "SHOW NAMESPACES",
        "SHOW TABLES",
        "SHOW TABLES IN raw",
        "SHOW TABLES IN lab",
        "SHOW VIEWS",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM information_schema.schemata",
        "SELECT * FROM information_schema.views",
        "SHOW GRANTS",
        "SHOW ROLES",
        "SHOW TOKENS",
    ] {
        let listed = works(&eve, sql).await;
        let shown: Vec<_> = hidden.iter().filter(|name| listed.contains(**name)).collect();
        // The query of a view that she may read.
        assert!(shown.is_empty() || sql.ends_with("views"), "{sql} shows {shown:?}:\n{listed}");
        println!("hidden things are not in: {sql}");
    }
    assert!(works(&eve, "SELECT table_name FROM information_schema.tables").await.contains("inbox"));

    let mut flight = server.flight("eve").await;
    let info = flight.get_db_schemas(CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: None });
    let ticket = info.await.unwrap().endpoint[0].ticket.clone().unwrap();
    let rows: Vec<RecordBatch> = flight.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    let listed = pretty_format_batches(&rows).unwrap().to_string();
    assert!(listed.contains("raw") && listed.contains("lab") && !listed.contains("vault"), "{listed}");
    let every_table = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
    let ticket = flight.get_tables(every_table).await.unwrap().endpoint[0].ticket.clone().unwrap();
    let rows: Vec<RecordBatch> = flight.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    let listed = pretty_format_batches(&rows).unwrap().to_string();
    assert!(listed.contains("entry") && !hidden.iter().any(|name| listed.contains(name)), "{listed}");

    // Statements of others, and what they were about.
    works(&admin, "SELECT * FROM vault.keys").await;
    let statements = works(&eve, "SELECT user_name, statement FROM system.queries").await;
    assert!(statements.contains("information_schema.tables") && !statements.contains("ada"), "{statements}");
    assert!(works(&admin, "SELECT statement FROM system.queries WHERE user_name = 'eve'").await.contains("SHOW ROLES"));

    // What another user was given: a ticket, the handle of a prepared statement.
    let mut of_ada = server.flight("ada").await;
    let info = of_ada.execute("SELECT * FROM raw.secrets".into(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let error = read(&mut flight, ticket.clone()).await.unwrap_err();
    println!("refused: the ticket of another user: {error}");
    assert!(error.contains("table raw.secrets not found"), "{error}");
    assert_eq!(read(&mut of_ada, ticket).await.unwrap(), 2);
    let error = flight.prepare("SELECT * FROM raw.secrets".into(), None).await.map(drop).unwrap_err().to_string();
    println!("refused: to prepare a query of a hidden table: {error}");
    assert!(error.contains("table raw.secrets not found"), "{error}");
    let mut prepared = flight.prepare("SELECT * FROM raw.entry".into(), None).await.unwrap();
    admin.update("REVOKE SELECT ON TABLE raw.entry FROM USER eve", None).await.unwrap();
    let error = match prepared.execute().await {
        Ok(info) => read(&mut flight, info.endpoint[0].ticket.clone().unwrap()).await.unwrap_err(),
        Err(error) => error.to_string(),
    };
    println!("refused: a prepared statement after the privilege was revoked: {error}");
    assert!(error.contains("table raw.entry not found"), "{error}");

    // The same over HTTP.
    let listed = server.http("GET /v1/tables", "").await;
    assert!(listed.contains("inbox") && !hidden.iter().any(|name| listed.contains(name)), "{listed}");
    for sql in
        ["SELECT * FROM raw.secrets", "DROP TABLE raw.secrets", "INSERT INTO raw.inbox SELECT * FROM raw.secrets"]
    {
        let answer = server.http("POST /v1/sql", &format!("{{\"sql\": \"{sql}\"}}")).await;
        println!("refused over HTTP: {sql}: {}", answer.lines().last().unwrap_or_default());
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.contains("table raw.secrets not found"),
            "{sql}: {answer}"
        );
    }
    let answer = server.http("POST /v1/sql", "{\"sql\": \"SELECT * FROM raw.inbox\"}").await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("no SELECT on table raw.inbox"), "{answer}");

    // Bulk ingest.
    let target = |namespace: &str, table: &str, mode| IngestTarget {
        namespace: Some(namespace.to_string()),
        table: table.to_string(),
        mode,
        tag: None,
    };
    for (namespace, table, mode, reason) in [
        ("raw", "secrets", IngestMode::Append, "table raw.secrets not found"),
        ("raw", "secrets", IngestMode::Create, "no CREATE on namespace raw"),
        ("raw", "secrets", IngestMode::CreateAppend, "no CREATE on namespace raw"),
        ("raw", "secrets", IngestMode::Replace, "no CREATE on namespace raw"),
        ("lab", "of_ada", IngestMode::Append, "table lab.of_ada not found"),
        ("lab", "of_ada", IngestMode::CreateAppend, "table lab.of_ada already exists"),
        ("lab", "of_ada", IngestMode::Replace, "table lab.of_ada already exists"),
        ("vault", "keys", IngestMode::Append, "namespace vault not found"),
        ("vault", "new", IngestMode::Create, "namespace vault not found"),
        ("raw", "inbox", IngestMode::Replace, "no DELETE on table raw.inbox"),
    ] {
        let error = eve.ingest(&target(namespace, table, mode), one_row()).await.unwrap_err();
        println!("refused: an upload to {namespace}.{table} ({mode:?}): {error}");
        assert!(error.to_string().contains(reason), "{namespace}.{table} {mode:?}: {error}");
    }
    for sql in ["CREATE TABLE lab.of_ada (b BIGINT)", "CREATE OR REPLACE TABLE lab.of_ada (b BIGINT)"] {
        assert!(refused(&eve, sql).await.to_string().contains("table lab.of_ada already exists"));
    }
    assert_eq!(eve.ingest(&target("raw", "inbox", IngestMode::CreateAppend), one_row()).await.unwrap(), 1);
    assert_eq!(eve.ingest(&target("lab", "new", IngestMode::Create), one_row()).await.unwrap(), 1);
    assert_eq!(eve.ingest(&target("lab", "new", IngestMode::Replace), one_row()).await.unwrap(), 1);
    assert!(works(&eve, "SELECT count(*) FROM lab.new").await.contains("| 1        |"));
    assert!(works(&admin, "SELECT count(*) FROM lab.of_ada").await.contains("| 0        |"));
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_that_are_kept_end_with_the_rights_of_their_user() {
    let (server, admin, eve) = Server::start().await;
    let mut flight = server.flight("eve").await;
    let seven = || RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![7])) as _)]).unwrap();
    let mut query = flight.prepare("SELECT s FROM raw.entry WHERE a = $1".into(), None).await.unwrap();
    let mut insert = flight.prepare("INSERT INTO raw.inbox VALUES ($1, 'x')".into(), None).await.unwrap();
    for _ in 0..2 {
        query.set_parameters(seven()).unwrap();
        let ticket = query.execute().await.unwrap().endpoint[0].ticket.clone().unwrap();
        assert_eq!(read(&mut flight, ticket).await.unwrap(), 1);
        insert.set_parameters(seven()).unwrap();
        assert_eq!(insert.execute_update().await.unwrap(), 1);
    }
    let bound = "{\"sql\": \"SELECT s FROM raw.entry WHERE a = $1\", \"parameters\": [7]}";
    let answer = server.http("POST /v1/sql", bound).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("open"), "{answer}");

    // Announced before the privilege is revoked, and fetched after it.
    query.set_parameters(seven()).unwrap();
    let ticket = query.execute().await.unwrap().endpoint[0].ticket.clone().unwrap();
    works(&admin, "REVOKE SELECT ON TABLE raw.entry FROM USER eve").await;
    works(&admin, "REVOKE INSERT ON TABLE raw.inbox FROM USER eve").await;
    let error = read(&mut flight, ticket).await.unwrap_err();
    assert!(error.contains("table raw.entry not found"), "{error}");
    query.set_parameters(seven()).unwrap();
    let error = query.execute().await.map(drop).unwrap_err().to_string();
    assert!(error.contains("table raw.entry not found"), "{error}");
    insert.set_parameters(seven()).unwrap();
    let error = insert.execute_update().await.unwrap_err().to_string();
    assert!(error.contains("table raw.inbox not found"), "{error}");
    let answer = server.http("POST /v1/sql", bound).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let error = flight.prepare("SELECT a FROM raw.secrets WHERE a = $1".into(), None).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("table raw.secrets not found"), "{error}");

    // The owner of a view loses what the view needs.
    works(&admin, "CREATE USER grace PASSWORD 'correct horse'").await;
    works(&admin, "GRANT SELECT ON TABLE raw.secrets TO USER grace").await;
    works(&admin, "GRANT CREATE ON NAMESPACE lab TO USER grace").await;
    works(&server.login("grace").await, "CREATE VIEW lab.some AS SELECT a FROM raw.secrets").await;
    works(&admin, "GRANT SELECT ON TABLE lab.some TO USER eve").await;
    let info = flight.execute("SELECT a FROM lab.some".into(), None).await.unwrap();
    works(&admin, "REVOKE SELECT ON TABLE raw.secrets FROM USER grace").await;
    let error = read(&mut flight, info.endpoint[0].ticket.clone().unwrap()).await.unwrap_err();
    assert!(error.contains("table raw.secrets not found with the rights of user grace"), "{error}");

    // Names without a namespace are in that of the session, also for what a statement needs.
    let hidden = refused(&eve, "USE vault").await.to_string();
    assert_eq!(hidden.replace("vault", "other"), refused(&eve, "USE other").await.to_string());
    for sql in ["USE lab", "CREATE TABLE mine AS SELECT 1 AS a", "INSERT INTO mine VALUES (2)", "DROP TABLE mine"] {
        works(&eve, sql).await;
    }
    works(&admin, "CREATE TABLE lab.of_ada (a BIGINT)").await;
    let error = refused(&eve, "DROP TABLE of_ada").await.to_string();
    assert!(error.contains("table lab.of_ada not found"), "{error}");

    // Sessions and statements of others.
    let sessions = "SELECT user_name, options FROM system.sessions";
    let own = works(&eve, sessions).await;
    assert!(own.contains("eve") && own.contains("schema=lab") && !own.contains("ada"), "{own}");
    let all = works(&admin, sessions).await;
    assert!(all.contains("eve") && all.contains("ada"), "{all}");
    let of_ada = works(&admin, "SELECT query_id FROM system.queries WHERE user_name = 'ada' LIMIT 1").await;
    let id = of_ada.lines().nth(3).unwrap().trim_matches(['|', ' ']).to_string();
    let error = refused(&eve, &format!("KILL QUERY '{id}'")).await;
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_nested_and_revoked_with_immediate_effect() {
    let (_server, admin, eve) = Server::start().await;
    let secrets = "SELECT count(*) FROM raw.secrets";
    for sql in [
        "CREATE ROLE readers",
        "CREATE ROLE staff",
        "GRANT readers TO ROLE staff",
        "GRANT SELECT ON NAMESPACE raw TO ROLE readers",
        "GRANT staff TO USER eve",
    ] {
        refused(&eve, secrets).await;
        works(&admin, sql).await;
    }
    assert!(works(&eve, secrets).await.contains("| 2        |"));
    assert!(works(&eve, "SHOW TABLES").await.contains("secrets"));
    let roles = works(&eve, "SHOW ROLES").await;
    assert!(roles.contains("readers") && roles.contains("staff"), "{roles}");
    assert!(works(&eve, "SHOW GRANTS FOR ROLE readers").await.contains("| role         | readers | SELECT"));
    refused(&eve, "INSERT INTO raw.secrets VALUES (3, 'z')").await;
    let error = refused(&admin, "GRANT staff TO ROLE readers").await;
    assert!(error.to_string().contains("cannot be granted to role readers, which it has itself"), "{error}");

    for (revoke, grant) in [
        ("REVOKE SELECT ON NAMESPACE raw FROM ROLE readers", "GRANT SELECT ON NAMESPACE raw TO ROLE readers"),
        ("REVOKE readers FROM ROLE staff", "GRANT readers TO ROLE staff"),
        ("REVOKE staff FROM USER eve", "GRANT staff TO USER eve"),
        ("DROP ROLE readers", "CREATE ROLE readers"),
    ] {
        works(&eve, secrets).await;
        works(&admin, revoke).await;
        refused(&eve, secrets).await;
        works(&admin, grant).await;
    }
    refused(&eve, secrets).await;
    let error = refused(&admin, "REVOKE SELECT ON TABLE raw.secrets FROM USER eve").await;
    assert!(error.to_string().contains("user eve itself has no SELECT on table raw.secrets"), "{error}");
    for (sql, reason) in [
        ("GRANT SELECT ON TABLE raw.secretz TO USER eve", "table raw.secretz not found; did you mean raw.secrets?"),
        ("GRANT SELECT ON NAMESPACE row TO USER eve", "namespace row not found; did you mean raw?"),
        ("GRANT SELECT ON TABLE raw.secrets TO USER evi", "user evi not found"),
        ("GRANT SELECT ON TABLE raw.secrets TO ROLE evi", "role evi not found"),
        ("GRANT SELECT ON TABLE raw.secrets TO evi", "there is no user or role evi"),
        ("GRANT nothing TO USER eve", "role nothing not found"),
    ] {
        assert!(refused(&admin, sql).await.to_string().contains(reason), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_belong_to_a_table_and_not_to_its_name() {
    let (server, admin, eve) = Server::start().await;
    let entry = "SELECT count(*) FROM raw.entry";
    works(&eve, entry).await;
    works(&admin, "ALTER TABLE raw.entry RENAME TO raw.moved").await;
    works(&admin, "CREATE TABLE raw.entry AS SELECT 'other' AS s").await;
    refused(&eve, entry).await;
    works(&eve, "SELECT count(*) FROM raw.moved").await;
    works(&admin, "CREATE OR REPLACE TABLE raw.moved AS SELECT 1 AS b").await;
    works(&eve, "SELECT b FROM raw.moved").await;
    works(&admin, "DROP TABLE raw.moved").await;
    assert!(!works(&admin, "SHOW GRANTS FOR eve").await.contains("moved"));
    works(&admin, "CREATE TABLE raw.moved AS SELECT 'other' AS s").await;
    refused(&eve, "SELECT count(*) FROM raw.moved").await;

    // A view of that name is another one, and a namespace too.
    works(&eve, "SELECT n FROM raw.totals").await;
    works(&admin, "DROP VIEW raw.totals").await;
    works(&admin, "CREATE VIEW raw.totals AS SELECT sum(a) AS n FROM raw.secrets").await;
    refused(&eve, "SELECT n FROM raw.totals").await;
    works(&admin, "DROP SCHEMA lab").await;
    works(&admin, "CREATE SCHEMA lab").await;
    refused(&eve, "CREATE TABLE lab.mine (a BIGINT)").await;

    // By a process of the owner of the data, who needs no grant.
    let data = server.folder.path().to_str().unwrap();
    let out = run_with(&["sql", "--data", data, "-e", "SELECT count(*) FROM raw.secrets"], &[]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_reads_with_the_rights_of_its_owner() {
    let (server, admin, eve) = Server::start().await;
    works(&admin, "CREATE USER grace PASSWORD 'correct horse'").await;
    works(&admin, "GRANT SELECT ON TABLE raw.secrets TO USER grace").await;
    works(&admin, "GRANT CREATE ON NAMESPACE lab TO USER grace").await;
    let grace = server.login("grace").await;
    works(&grace, "CREATE VIEW lab.some AS SELECT a FROM raw.secrets WHERE a = 1").await;
    refused(&eve, "SELECT * FROM lab.some").await;
    works(&admin, "GRANT SELECT ON TABLE lab.some TO USER eve").await;
    assert!(works(&eve, "SELECT * FROM lab.some").await.contains("| 1 |"));
    refused(&eve, "SELECT * FROM raw.secrets").await;
    refused(&eve, "CREATE OR REPLACE VIEW lab.some AS SELECT 1 AS a").await;

    // The owner loses what the view needs: so does everyone who reads the view.
    works(&admin, "REVOKE SELECT ON TABLE raw.secrets FROM USER grace").await;
    for (client, reason) in [
        (&grace, "namespace raw not found"),
        (&eve, "table raw.secrets not found with the rights of user grace, who owns the view"),
        (&admin, "table raw.secrets not found with the rights of user grace, who owns the view"),
    ] {
        let error = refused(client, "SELECT * FROM lab.some").await;
        assert!(error.to_string().contains(&format!("view lab.some: {reason}")), "{error}");
    }
    works(&admin, "GRANT SELECT ON TABLE raw.secrets TO USER grace").await;
    assert!(works(&eve, "SELECT * FROM lab.some").await.contains("| 1 |"));
    // Without its owner it reads with the rights of who reads it.
    works(&admin, "DROP USER grace").await;
    refused(&eve, "SELECT * FROM lab.some").await;
    works(&admin, "SELECT * FROM lab.some").await;
}

fn one_row() -> SendableRecordBatchStream {
    let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1])) as _)]).unwrap();
    Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream::iter([Ok(batch)])))
}

/// The number of rows behind a ticket.
async fn read(client: &mut FlightSqlServiceClient<Channel>, ticket: Ticket) -> Result<usize, String> {
    let rows = client.do_get(ticket).await.map_err(|e| e.to_string())?;
    let batches: Vec<RecordBatch> = rows.try_collect().await.map_err(|e| e.to_string())?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}
