//! Queries that are cancelled stop wherever they run, within a second.

use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use bergmill_gateway::{Client, ErrorKind};
use futures::TryStreamExt;

use crate::process::{Process, serve};

/// In the scheduler's process. The number of rows is not known from any file.
const SERIES: &str = "SELECT count(*) FROM generate_series(1, 20000000000)";
/// Each of its joins returns more rows than can be counted in hours.
const MANY_ROWS: &str = "SELECT count(*) FROM raw.users a, raw.users b, raw.products c WHERE a.user_id < b.user_id";
/// It compares as many rows, and returns none.
const NO_ROWS: &str = "SELECT count(*) FROM raw.users a, raw.users b WHERE a.user_id + b.user_id < 0";

/// How a query is cancelled.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// The client's process is killed.
    Killed,
    /// The client does not wait for the rows.
    Dropped,
    /// `KILL QUERY`.
    ById,
}

const WAYS: [Way; 3] = [Way::Killed, Way::Dropped, Way::ById];

async fn tables(client: &Client) {
    for sql in [
        "CREATE SCHEMA IF NOT EXISTS raw",
        "CREATE TABLE raw.users AS SELECT value AS user_id FROM generate_series(1, 300000)",
        "CREATE TABLE raw.products AS SELECT value AS product_id FROM generate_series(1, 20000)",
    ] {
        client.update(sql, None).await.unwrap();
    }
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let batches: Vec<RecordBatch> = client.query(sql).await.unwrap().try_collect().await.unwrap();
    let column =
        |batch: &RecordBatch| batch.column(0).as_string::<i32>().iter().flatten().map(str::to_string).collect();
    batches.iter().flat_map(|batch| -> Vec<String> { column(batch) }).collect()
}

/// Seconds of CPU that a process has used.
fn cpu_seconds(process: &Process) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // User and system time, in ticks of the kernel's interface, of which a second has 100.
    [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Waits until the query runs, and returns its id.
async fn until_running(client: &Client, sql: &str) -> String {
    let running = format!(
        "SELECT query_id FROM system.queries WHERE state = 'running' AND execution IS NOT NULL AND statement = '{sql}'"
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(id) = texts(client, &running).await.pop() {
            return id;
        }
        assert!(Instant::now() < deadline, "{sql} does not run");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts a query, cancels it, and checks that the server does nothing any more a second later.
async fn check(server: &Process, door: &str, sql: &str, way: Way) {
    let client = Client::connect(door).await.unwrap();
    let mut process = None;
    let mut reader = None;
    match way {
        Way::Killed => process = Some(Process::start(&["sql", "--connect", door, "-e", sql])),
        Way::Dropped | Way::ById => {
            let (other, sql) = (Client::connect(door).await.unwrap(), sql.to_string());
            let rows = async move { other.query(&sql).await?.try_collect::<Vec<_>>().await };
            reader = Some(tokio::spawn(rows));
        }
    }
    let id = until_running(&client, sql).await;
    // It is in the middle of its work.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let began = Instant::now();
    match way {
        Way::Killed => process.as_mut().unwrap().kill(),
        Way::Dropped => reader.as_ref().unwrap().abort(),
        Way::ById => assert_eq!(client.update(&format!("KILL QUERY '{id}'"), None).await.unwrap(), 0),
    }
    if way == Way::ById {
        let error = reader.take().unwrap().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert_eq!(error.to_string(), format!("query {id} was cancelled by a client"));
    }
    tokio::time::sleep(Duration::from_secs(1).saturating_sub(began.elapsed())).await;
    let before = cpu_seconds(server);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = cpu_seconds(server) - before;
    assert!(used < 0.3, "{way:?}: the server used {used} s of CPU in 2 s, a second after the end of: {sql}");
    let ended = format!("SELECT state || ': ' || error FROM system.queries WHERE query_id = '{id}'");
    let expected = match way {
        Way::ById => format!("cancelled: query {id} was cancelled by a client"),
        Way::Killed | Way::Dropped => "cancelled: its client disconnected, or did not read all rows".to_string(),
    };
    assert_eq!(texts(&client, &ended).await, [expected]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_query_in_the_schedulers_process_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (server, door) = serve(folder.path(), &["--executors", "1", "--vcores", "2"]);
    for way in WAYS {
        check(&server, &door, SERIES, way).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_one_executor_runs_whole_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (server, door) = serve(folder.path(), &["--executors", "1", "--vcores", "2", "--local-query-bytes", "0"]);
    tables(&Client::connect(&door).await.unwrap()).await;
    for sql in [MANY_ROWS, NO_ROWS] {
        for way in WAYS {
            check(&server, &door, sql, way).await;
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_query_in_stages_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (server, door) = serve(folder.path(), &["--executors", "2", "--vcores", "1", "--local-query-bytes", "0"]);
    tables(&Client::connect(&door).await.unwrap()).await;
    for sql in [MANY_ROWS, NO_ROWS] {
        for way in WAYS {
            check(&server, &door, sql, way).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_cancelled_leaves_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &["--executors", "1", "--vcores", "2"]);
    let client = Client::connect(&door).await.unwrap();
    tables(&client).await;
    let sql = "INSERT INTO raw.products SELECT value FROM generate_series(1, 20000000000)";
    let other = client.clone();
    let writing = tokio::spawn(async move { other.update(sql, None).await });
    let id = until_running(&client, sql).await;
    client.update(&format!("KILL QUERY '{id}'"), None).await.unwrap();
    assert_eq!(writing.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    let counted = texts(&client, "SELECT CAST(count(*) AS TEXT) FROM raw.products").await;
    assert_eq!(counted, ["20000"]);
    let files = texts(&client, "SELECT CAST(count(*) AS TEXT) FROM raw.\"products$snapshots\"").await;
    assert_eq!(files, ["1"]);

    let again = client.update(&format!("KILL QUERY '{id}'"), None).await.unwrap_err();
    assert_eq!((again.kind(), again.to_string()), (ErrorKind::Conflict, format!("query {id} has ended")));
    let unknown = client.update("KILL QUERY 'nothing'", None).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--executors", "1", "--vcores", "2"];
    let (mut server, door) = serve(folder.path(), &arguments);
    let client = Client::connect(&door).await.unwrap();
    texts(&client, "SELECT 'first' AS word").await;
    let other = client.clone();
    let endless = tokio::spawn(async move { other.query(SERIES).await?.try_collect::<Vec<_>>().await });
    until_running(&client, SERIES).await;
    server.kill();
    assert!(endless.await.unwrap().is_err());

    let (_server, door) = serve(folder.path(), &arguments);
    let client = Client::connect(&door).await.unwrap();
    let of = |sql: &str| {
        format!("SELECT state || coalesce(': ' || error, '') FROM system.queries WHERE statement = '{sql}'")
    };
    assert_eq!(texts(&client, &of("SELECT ''first'' AS word")).await, ["finished"]);
    assert_eq!(texts(&client, &of(SERIES)).await, ["failed: the scheduler stopped while the statement ran"]);
}
