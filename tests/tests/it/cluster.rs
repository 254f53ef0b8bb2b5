//! The cluster as separate processes: which of them work, and what happens when one of them dies.

use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bergmill_gateway::{Client, Error, ErrorKind, IngestMode, IngestTarget};
use bergmill_generator::{Shop, ShopParams};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

use crate::process::{Process, run, serve};

const EVENTS: u64 = 120_000;

pub fn shop() -> Shop {
    let start = "2026-02-14".parse().unwrap();
    Shop::new(ShopParams { events: EVENTS, reviews: 1_000, days: 2, start, ..ShopParams::default() }).unwrap()
}

/// Loads the shop's events and returns the expected result of a GROUP BY over them.
pub async fn load(client: &Client, shop: &Shop) -> Vec<(String, i64)> {
    client.update("CREATE SCHEMA IF NOT EXISTS raw", None).await.unwrap();
    client.update(bergmill_generator::TABLES[0].ddl, None).await.unwrap();
    let target = IngestTarget {
        namespace: Some("raw".into()),
        table: "shopping_events".into(),
        mode: IngestMode::Append,
        tag: None,
    };
    let batches: Vec<RecordBatch> = (0..shop.days()).flat_map(|d| shop.events(d)).collect();
    let mut counts = std::collections::BTreeMap::<String, i64>::new();
    for batch in &batches {
        for kind in batch.column_by_name("event_type").unwrap().as_string::<i32>().iter().flatten() {
            *counts.entry(kind.to_string()).or_default() += 1;
        }
    }
    let schema = bergmill_generator::events_schema();
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    let written = client.ingest(&target, Box::pin(RecordBatchStreamAdapter::new(schema, stream))).await.unwrap();
    assert_eq!(written, EVENTS);
    counts.into_iter().collect()
}

const BY_TYPE: &str = "SELECT event_type, count(*) AS n, count(DISTINCT session_id) AS sessions \
                       FROM raw.shopping_events GROUP BY event_type ORDER BY event_type";

async fn by_type(client: &Client) -> Vec<(String, i64)> {
    let batches: Vec<RecordBatch> = client.query(BY_TYPE).await.unwrap().try_collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        let (kinds, counts) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        rows.extend((0..batch.num_rows()).map(|r| (kinds.value(r).to_string(), counts.value(r))));
    }
    rows
}

/// The text in the row of `EXPLAIN ANALYZE` whose `plan_type` is `part`.
async fn explained(client: &Client, sql: &str, part: &str) -> String {
    let rows = client.query(&format!("EXPLAIN ANALYZE {sql}")).await.unwrap();
    let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    for batch in &batches {
        let (types, plans) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        if let Some(r) = (0..batch.num_rows()).find(|r| types.value(*r) == part) {
            return plans.value(r).to_string();
        }
    }
    panic!("EXPLAIN ANALYZE returns no {part}: {batches:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_executors_run_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &["--executors", "2", "--vcores", "1", "--local-query-bytes", "0"]);
    let client = Client::connect(&door).await.unwrap();
    let expected = load(&client, &shop()).await;
    assert_eq!(by_type(&client).await, expected);
    let executors = explained(&client, BY_TYPE, "executors").await;
    assert_eq!(executors.lines().count(), 2, "{executors}");
    let tasks = |line: &str| line.split(": ").nth(1).unwrap().split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(executors.lines().all(|l| tasks(l) > 0), "{executors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_read_only_matching_files_and_counts_read_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &["--local-query-bytes", "0"]);
    let client = Client::connect(&door).await.unwrap();
    load(&client, &shop()).await;

    let day = "SELECT sum(price) FROM raw.shopping_events WHERE event_type = 'purchase' \
               AND timestamp >= TIMESTAMP '2026-02-15 00:00:00'";
    let scans = explained(&client, day, "scans").await;
    let number = |key: &str| {
        let at = scans.find(key).unwrap_or_else(|| panic!("{scans}")) + key.len();
        scans[at..].split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u64>().unwrap()
    };
    assert!(number("files_pruned=") >= 7 * number("files_planned="), "one of two days, one of four types: {scans}");

    let plan = explained(&client, "SELECT count(*) FROM raw.shopping_events", "plan_with_metrics").await;
    assert!(!plan.contains("DataSourceExec: file_groups"), "{plan}");
    let plan = explained(
        &client,
        "SELECT count(*) FROM raw.shopping_events WHERE event_type = 'view' AND timestamp < TIMESTAMP '2026-02-15 00:00:00'",
        "plan_with_metrics",
    )
    .await;
    assert!(!plan.contains("DataSourceExec: file_groups"), "{plan}");
}

/// A scheduler over the shop's events, with executors of one vcore that can be killed.
struct Cluster {
    executors_at: String,
    client: Client,
    expected: Vec<(String, i64)>,
    scheduler: Process,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> (Self, [Process; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let any = "127.0.0.1:0";
        let listen = ["--data", data, "--listen", any, "--cluster-listen", any];
        let settings = ["--executor-timeout", "4", "--local-query-bytes", "0"];
        let scheduler = Process::start(&[&["scheduler"], &listen[..], &settings].concat());
        let executors_at = scheduler.wait_for("executors register at ");
        let door = scheduler.wait_for("front door ");
        let executors = [executor(&executors_at), executor(&executors_at)];
        let client = Client::connect(&door).await.unwrap();
        let expected = load(&client, &shop()).await;
        // Both are working: there is a result, and it is right.
        assert_eq!(by_type(&client).await, expected);
        (Self { executors_at, client, expected, scheduler, _folder: folder }, executors)
    }

    /// Runs a query, and kills `victim` when it has logged these lines one after the other. Returns the result, and
    /// that of an undisturbed run.
    async fn answers(&self, sql: &'static str, lines: &[&str], mut victim: Process) -> (i64, i64) {
        let undisturbed = number(&self.client, sql).await;
        victim.catch_up();
        let client = self.client.clone();
        let asking = tokio::spawn(async move { number(&client, sql).await });
        lines.iter().for_each(|line| victim.wait_for_part(line));
        victim.kill();
        let answer = within(asking).await.unwrap();
        assert_eq!(by_type(&self.client).await, self.expected);
        (answer, undisturbed)
    }
}

fn executor(executors_at: &str) -> Process {
    let arguments = ["executor", "--scheduler", executors_at, "--vcores", "1", "--heartbeat", "1"];
    Process::start_with(&arguments, &[("BERGMILL_LOG", "warn,bergmill_executor=info")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_survives_the_death_of_an_executor() {
    let (cluster, [_survivor, victim]) = Cluster::start().await;
    let long = "SELECT count(*) AS n FROM raw.shopping_events a JOIN raw.shopping_events b \
                ON a.session_id = b.session_id AND a.event_id <= b.event_id";
    let (answer, undisturbed) = cluster.answers(long, &[" begins"], victim).await;
    assert_eq!(answer, undisturbed);
}

/// Both executors work on the second stage, which takes most of the time, when one of them is lost with its part of the
/// first. The task of the other is cancelled then, and its one vcore must become free.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_survives_the_loss_of_rows_that_a_stage_has_finished() {
    let (cluster, [_survivor, victim]) = Cluster::start().await;
    let long = "SELECT sum(v % 7) AS n FROM (SELECT unnest(range(0, 600 * k)) AS v \
                FROM (SELECT session_id, count(*) AS k FROM raw.shopping_events GROUP BY session_id))";
    let (answer, undisturbed) = cluster.answers(long, &[" ended after ", " begins"], victim).await;
    assert_eq!(answer, undisturbed);
    cluster.scheduler.wait_for_part("lost rows with an executor and restarts");
}

/// Like a task that needs more memory than the containers of executors have.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_loses_one_executor_after_the_other_ends_with_an_error() {
    let (cluster, [mut running, mut other]) = Cluster::start().await;
    other.kill();
    let alone = async || explained(&cluster.client, BY_TYPE, "executors").await.lines().count() == 1;
    until("the scheduler misses the other executor", alone).await;
    let endless =
        "SELECT count(*) AS n FROM raw.shopping_events a JOIN raw.shopping_events b ON a.price < b.price + random()";
    let client = cluster.client.clone();
    let asking = tokio::spawn(async move { client.query(endless).await.map(|_| ()) });
    let deadline = std::time::Instant::now() + Duration::from_secs(90);
    while !asking.is_finished() {
        assert!(std::time::Instant::now() < deadline, "no answer within 90 seconds");
        let next = executor(&cluster.executors_at);
        std::mem::replace(&mut running, next).kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let e = asking.await.unwrap().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains("executors were lost again and again"), "{e}");
    // A join reacts to its cancellation only between two batches, which may take long.
    running.kill();
    let _next = executor(&cluster.executors_at);
    assert_eq!(by_type(&cluster.client).await, cluster.expected);
}

/// Every few seconds an executor is killed and another one started. A statement returns the right result or an error,
/// and written rows exist once.
#[tokio::test(flavor = "multi_thread")]
async fn results_are_right_while_executors_come_and_go() {
    let (cluster, mut executors) = Cluster::start().await;
    let client = &cluster.client;
    client.update("CREATE TABLE raw.copies (event_id VARCHAR, price DOUBLE)", None).await.unwrap();
    let copy = "INSERT INTO raw.copies SELECT event_id, price FROM raw.shopping_events ORDER BY price";
    let queries = [
        "SELECT count(*) FROM raw.shopping_events a JOIN raw.shopping_events b ON a.session_id = b.session_id AND a.event_id <= b.event_id",
        "SELECT sum(v % 7) FROM (SELECT unnest(range(0, 100 * k)) AS v \
         FROM (SELECT session_id, count(*) AS k FROM raw.shopping_events GROUP BY session_id))",
        "SELECT count(*) FROM (SELECT row_number() OVER (PARTITION BY session_id ORDER BY price DESC) AS r FROM raw.shopping_events) WHERE r = 1",
    ];
    let began = std::time::Instant::now();
    let mut expected = Vec::new();
    for sql in queries {
        expected.push(number(client, sql).await);
    }
    // A slow machine gets time to finish a query now and then.
    let round = began.elapsed();
    let killing = async {
        for turn in 0.. {
            tokio::time::sleep(round / 2 + round * (turn % 4) / 4).await;
            executors[turn as usize % 2] = executor(&cluster.executors_at);
        }
    };
    let (mut right, mut written) = (0, 0);
    let asking = async {
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(30) || right == 0 || written == 0 {
            assert!(began.elapsed() < Duration::from_secs(180), "{right} answers, {written} rows");
            match within(client.update(copy, None)).await {
                Ok(rows) => {
                    assert_eq!(rows, EVENTS);
                    written += rows;
                }
                Err(e) => assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}"),
            }
            for (sql, expected) in queries.iter().zip(&expected) {
                match within(answer(client, sql)).await {
                    Ok(answer) => {
                        assert_eq!(answer, *expected, "{sql}");
                        right += 1;
                    }
                    Err(e) => assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}"),
                }
            }
        }
    };
    tokio::select! {
        () = killing => unreachable!("it never ends"),
        () = asking => {}
    }
    println!("{right} right results, {written} rows written");
    assert_eq!(number(client, "SELECT count(*) FROM raw.copies").await, written as i64);
    assert_eq!(by_type(client).await, cluster.expected);
}

pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), what).await.expect("within two minutes")
}

/// Repeats the check until it holds, for at most a minute.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(std::time::Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn health_reports_whether_scheduler_and_executor_are_in_contact() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let any = "127.0.0.1:0";
    let mut scheduler = Process::start(&["scheduler", "--data", data, "--listen", any, "--cluster-listen", any]);
    let cluster = scheduler.wait_for("executors register at ");
    let door = scheduler.wait_for("front door ");
    let probe = std::net::TcpListener::bind(any).unwrap().local_addr().unwrap().to_string();
    let _executor =
        Process::start(&["executor", "--scheduler", &cluster, "--heartbeat", "1", "--health-listen", &probe]);
    let eventually = |arguments: &[&str], healthy: bool, message: &str| {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let out = run(arguments);
            let err = String::from_utf8_lossy(&out.stderr).into_owned();
            if out.status.success() == healthy && err.contains(message) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{arguments:?}: {err}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    eventually(&["health", "--connect", &door], true, "");
    eventually(&["health", "--executor", &probe], true, "");
    scheduler.kill();
    eventually(&["health", "--connect", &door], false, "cannot connect");
    eventually(&["health", "--executor", &probe], false, "the scheduler does not answer");
}

pub async fn number(client: &Client, sql: &str) -> i64 {
    answer(client, sql).await.unwrap()
}

pub async fn answer(client: &Client, sql: &str) -> Result<i64, Error> {
    let batches: Vec<RecordBatch> = client.query(sql).await?.try_collect().await?;
    Ok(batches[0].column(0).as_primitive::<Int64Type>().value(0))
}
