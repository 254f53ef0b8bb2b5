//! Tables whose files can be opened only with vended credentials: `tests/services/run` starts a REST catalog that
//! vends credentials of MinIO for one table each, and announces that they expire within seconds. No process of Bergmill
//! has its own keys here.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use bergmill_gateway::Client;
use futures::TryStreamExt;
use tempfile::TempDir;

use crate::process::Process;

/// A scheduler and executors as separate processes, each with a name that the catalog records.
struct Cluster {
    _processes: Vec<Process>,
    _folder: TempDir,
    catalog: String,
    client: Client,
}

impl Cluster {
    /// Starts it with its own catalog, which the executors know if `knows_catalog`.
    async fn start(executors: &[&str], knows_catalog: bool) -> Self {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"] {
            assert!(
                std::env::var_os(name).is_none(),
                "{name} is set, and the catalog's credentials would not be needed"
            );
        }
        let server = std::env::var("BERGMILL_TEST_VENDED").expect("the address of catalogs that vend credentials");
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let catalog = format!("{server}/{}", folder.path().file_name().unwrap().to_string_lossy().replace('.', ""));
        let started = |arguments: &[&str], name: &str, knows_catalog: bool| {
            let credential = format!("{name}:secret");
            let address = if knows_catalog { catalog.as_str() } else { "" };
            let variables = [("BERGMILL_CATALOG", address), ("BERGMILL_CATALOG_CREDENTIAL", &credential)];
            Process::start_with(arguments, &variables)
        };
        let arguments = ["scheduler", "--data", data, "--listen", "127.0.0.1:0", "--cluster-listen", "127.0.0.1:0"];
        let scheduler = started(&[&arguments[..], &["--local-query-bytes", "0"]].concat(), "scheduler", true);
        let of_executors = scheduler.wait_for("executors register at ");
        let door = scheduler.wait_for("front door ");
        let mut processes = vec![scheduler];
        for name in executors {
            let executor = started(&["executor", "--scheduler", &of_executors, "--vcores", "1"], name, knows_catalog);
            executor.wait_for("executor for scheduler");
            processes.push(executor);
        }
        let client = Client::connect(&door).await.unwrap();
        let cluster = Self { _processes: processes, _folder: folder, catalog, client };
        cluster.ready().await;
        cluster
    }

    /// Waits until the executors run tasks.
    async fn ready(&self) {
        let began = Instant::now();
        while let Err(e) = self.number("SELECT count(*) FROM generate_series(1, 1000)").await {
            assert!(began.elapsed() < Duration::from_secs(60), "{e}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn update(&self, sql: &str) -> u64 {
        self.client.update(sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    async fn number(&self, sql: &str) -> Result<i64, bergmill_gateway::Error> {
        let batches: Vec<RecordBatch> = self.client.query(sql).await?.try_collect().await?;
        let rows = batches.iter().find(|b| b.num_rows() > 0).expect("a row");
        Ok(rows.column(0).as_primitive::<Int64Type>().value(0))
    }

    async fn check(&self, sql: &str, expected: i64) {
        assert_eq!(self.number(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")), expected, "{sql}");
    }

    /// The requests to the catalog.
    fn requests(&self) -> Vec<Request> {
        let (host, path) = self.catalog.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut line = TcpStream::connect(host).unwrap();
        write!(line, "GET /{path}/requests HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        line.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        body.lines().filter(|l| !l.is_empty()).map(Request::read).collect()
    }
}

#[derive(Debug)]
struct Request {
    process: String,
    what: String,
    /// When credentials were vended, and when they expire, in milliseconds.
    vended: Option<(i64, i64)>,
}

impl Request {
    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let vended = match words[3..] {
            ["vended", at, end] => Some((at.parse().unwrap(), end.parse().unwrap())),
            _ => None,
        };
        Self { process: words[0].to_string(), what: words[1..3].join(" "), vended }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a REST catalog that vends credentials: tests/services/run"]
async fn files_that_need_vended_credentials_are_read_and_written_on_executors() {
    let cluster = Cluster::start(&["executor-1", "executor-2"], true).await;
    cluster.update("CREATE SCHEMA raw").await;
    cluster.update("CREATE TABLE raw.events (id BIGINT, kind BIGINT) PARTITIONED BY (kind)").await;
    // A query that reads no file runs in the scheduler.
    let first = "INSERT INTO raw.events SELECT value, value % 4 FROM generate_series(0, 99)";
    assert_eq!(cluster.update(first).await, 100);
    let insert = |from: i64| format!("INSERT INTO raw.events SELECT id + {from}, kind FROM raw.events WHERE id < 100");

    // Longer than the credentials last, without a pause: they are renewed in time or something fails.
    let (began, mut count) = (Instant::now(), 100);
    while began.elapsed() < Duration::from_secs(15) {
        assert_eq!(cluster.update(&insert(count)).await, 100);
        count += 100;
        cluster.check("SELECT count(*) FROM raw.events WHERE id % 2 = 0", count / 2).await;
    }
    let requests = cluster.requests();
    let mut vended = BTreeMap::<(&str, &str), Vec<(i64, i64)>>::new();
    for request in &requests {
        if let Some(lifetime) = request.vended {
            vended.entry((&request.process, &request.what)).or_default().push(lifetime);
        }
    }
    // The distribution of tasks over the executors is not deterministic.
    let of_events = vended.iter().filter(|((process, what), lifetimes)| {
        process.starts_with("executor") && what.ends_with("/tables/events/credentials") && lifetimes.len() >= 3
    });
    let mut renewing = 0;
    for ((process, _), lifetimes) in of_events {
        let is_ahead = |pair: &[(i64, i64)]| pair[1].0 < pair[0].1;
        assert!(lifetimes.windows(2).all(is_ahead), "{process} requested too late: {lifetimes:?}");
        // Renewed after half of six seconds, and not for each request.
        assert!(lifetimes.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 2_900), "{process}: {lifetimes:?}");
        renewing += 1;
    }
    assert!(renewing > 0, "{vended:?}");
    for Request { process, what, .. } in requests.iter().filter(|r| r.process.starts_with("executor")) {
        let is_allowed = what.ends_with("/credentials") || what == "GET /v1/config";
        assert!(is_allowed, "{process} requested {what}");
    }

    // Two tables in one bucket, each with credentials of its own; a new table with its rows; rows that change.
    cluster.update("CREATE TABLE raw.kinds AS SELECT DISTINCT kind FROM raw.events").await;
    cluster.update("CREATE TABLE raw.names (kind BIGINT, name VARCHAR)").await;
    cluster.update("INSERT INTO raw.names VALUES (0, 'a'), (1, 'b'), (2, 'c')").await;
    let joined = "SELECT count(*) FROM raw.events JOIN raw.kinds USING (kind) JOIN raw.names USING (kind)";
    cluster.check(joined, count * 3 / 4).await;
    assert_eq!(cluster.update("DELETE FROM raw.events WHERE id % 4 = 3").await as i64, count / 4);
    assert_eq!(cluster.update("DELETE FROM raw.events WHERE id < 8").await, 6);
    assert_eq!(cluster.update("UPDATE raw.names SET name = 'x' WHERE kind = 0").await, 1);
    cluster.update("ALTER TABLE raw.names ADD COLUMN more BIGINT").await;
    cluster.update("CREATE OR REPLACE TABLE raw.kinds AS SELECT kind, name FROM raw.names").await;
    cluster.check(joined, count * 3 / 4 - 6).await;

    // Another name, and another table under the old one.
    cluster.update("ALTER TABLE raw.events RENAME TO raw.moved").await;
    cluster.check("SELECT count(*) FROM raw.moved WHERE id >= 0", count * 3 / 4 - 6).await;
    cluster.update("INSERT INTO raw.moved VALUES (1, 1)").await;
    cluster.update("CREATE TABLE raw.events AS SELECT CAST(1 AS BIGINT) AS id").await;
    cluster.update("INSERT INTO raw.events VALUES (2)").await;
    cluster.check("SELECT sum(id) FROM raw.events WHERE id > 0", 3).await;
    cluster.check("SELECT count(*) FROM raw.moved WHERE id >= 0", count * 3 / 4 - 5).await;

    for explain in ["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN ANALYZE"] {
        let rows =
            cluster.client.query(&format!("{explain} SELECT sum(id) FROM raw.events WHERE id > 0")).await.unwrap();
        let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        // MinIO's session tokens are JSON Web Tokens.
        assert!(text.contains("parquet") && !text.contains("eyJ"), "{text}");
    }
    cluster.update("DROP TABLE raw.events").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a REST catalog that vends credentials: tests/services/run"]
async fn an_executor_without_a_catalog_reports_what_it_needs() {
    let cluster = Cluster::start(&["executor-1"], false).await;
    cluster.update("CREATE SCHEMA raw").await;
    // The scheduler writes the first rows itself.
    cluster.update("CREATE TABLE raw.events AS SELECT value AS id FROM generate_series(1, 100)").await;
    let read = cluster.number("SELECT sum(id) FROM raw.events WHERE id > 0").await.unwrap_err();
    let written = cluster.client.update("INSERT INTO raw.events SELECT id FROM raw.events", None).await;
    for e in [read, written.unwrap_err()] {
        assert!(e.to_string().contains("the --catalog (BERGMILL_CATALOG)"), "{e}");
    }
    assert!(cluster.requests().iter().all(|r| !r.process.starts_with("executor")), "{:?}", cluster.requests());
}
