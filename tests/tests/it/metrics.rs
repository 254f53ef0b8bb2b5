//! The metrics that a cluster's processes offer to Prometheus follow what the cluster does.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use bergmill_gateway::Client;
use futures::TryStreamExt;

use crate::process::Process;

const ANY: &str = "127.0.0.1:0";

/// The samples of a process, by name and labels as they are written.
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    pub fn of(address: &str) -> Self {
        let text = scrape(address);
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            (name.to_string(), value.parse().unwrap_or_else(|e| panic!("{line}: {e}")))
        });
        Self(samples.collect())
    }

    pub fn get(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("no {name} in {:#?}", self.0.keys()))
    }
}

fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    body.to_string()
}

/// Waits until a condition on the samples of a process holds, and returns them.
fn eventually(address: &str, what: &str, holds: impl Fn(&Samples) -> bool) -> Samples {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let samples = Samples::of(address);
        if holds(&samples) {
            return samples;
        }
        assert!(std::time::Instant::now() < deadline, "not {what}: {:#?}", samples.0);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_follow_what_the_cluster_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let scheduler = Process::start(&[
        "scheduler",
        "--data",
        data,
        "--listen",
        ANY,
        "--cluster-listen",
        ANY,
        "--metrics-listen",
        ANY,
        "--local-query-bytes",
        "0",
    ]);
    let cluster = scheduler.wait_for("executors register at ");
    let metrics = scheduler.wait_for("metrics http://");
    let scheduler_metrics = metrics.strip_suffix("/metrics").unwrap();
    let door = scheduler.wait_for("front door ");
    assert_eq!(Samples::of(scheduler_metrics).get("bergmill_executors"), 0.0);

    let executors = [(); 2].map(|()| {
        let metrics = TcpListener::bind(ANY).unwrap().local_addr().unwrap().to_string();
        let arguments = ["executor", "--scheduler", &cluster, "--vcores", "1", "--memory-mib", "64"];
        (Process::start(&[&arguments[..], &["--metrics-listen", &metrics]].concat()), metrics)
    });
    let two = |samples: &Samples| samples.get("bergmill_executors") == 2.0;
    let before = eventually(scheduler_metrics, "two executors", two);
    assert_eq!(before.get("bergmill_executor_vcores"), 2.0);
    assert_eq!(before.get("bergmill_memory_limit_bytes"), f64::from(512 << 20));
    assert_eq!(before.get("bergmill_build_info{version=\"0.1.0\"}"), 1.0);
    assert!(before.get("process_resident_memory_bytes") > 1e6);
    assert_eq!(before.get("ballista_job_submitted_total"), 0.0);

    let client = Client::connect(&door).await.unwrap();
    let rows = async |sql: &str| client.query(sql).await?.try_collect::<Vec<_>>().await.map(|_| ());
    client.update("CREATE SCHEMA raw", None).await.unwrap();
    let secret = "SELECT value AS v, 'a secret word' AS word FROM generate_series(1, 30000)";
    client.update(&format!("CREATE TABLE raw.numbers AS {secret}"), None).await.unwrap();
    client.update("INSERT INTO raw.numbers VALUES (0, 'another')", None).await.unwrap();
    rows("SELECT word, v % 7, count(*) FROM raw.numbers GROUP BY 1, 2").await.unwrap();
    assert!(rows("SELECT no_such_column FROM raw.numbers").await.is_err());
    assert!(rows("SELECT CAST(word AS BIGINT) FROM raw.numbers").await.is_err());

    let after = Samples::of(scheduler_metrics);
    let grown = |name: &str| after.get(name) - before.get(name);
    assert_eq!(grown("bergmill_queries_total{error=\"\",outcome=\"finished\"}"), 4.0);
    // One cannot be planned, the other fails on an executor.
    let failed = |kind: &str| grown(&format!("bergmill_queries_total{{error=\"{kind}\",outcome=\"failed\"}}"));
    assert_eq!((failed("not_found"), failed("invalid_input")), (1.0, 1.0));
    assert!(after.get("bergmill_query_duration_seconds_count{execution=\"stages\"}") >= 2.0);
    assert_eq!(after.get("bergmill_queries_running"), 0.0);
    assert_eq!(after.get("bergmill_commit_attempts_total{outcome=\"committed\"}"), 1.0);
    assert!(grown("ballista_job_submitted_total") >= 2.0);

    let of_executors = || executors.iter().map(|(_, metrics)| Samples::of(metrics)).collect::<Vec<_>>();
    let total = |samples: &[Samples], name: &str| samples.iter().map(|s| s.get(name)).sum::<f64>();
    let worked = of_executors();
    let tasks = |outcome: &str| total(&worked, &format!("bergmill_tasks_total{{outcome=\"{outcome}\"}}"));
    assert!(tasks("finished") >= 2.0 && tasks("failed") >= 1.0);
    let ended = ["finished", "failed", "cancelled"].map(tasks).iter().sum::<f64>();
    assert_eq!(total(&worked, "bergmill_task_duration_seconds_count"), ended);
    assert_eq!(total(&worked, "bergmill_executor_ready"), 2.0);
    assert_eq!(total(&worked, "bergmill_vcores"), 2.0);
    assert_eq!(total(&worked, "bergmill_memory_limit_bytes"), f64::from(128 << 20));
    for moved in
        ["bergmill_scanned_bytes_total", "bergmill_shuffle_read_bytes_total", "bergmill_shuffle_written_bytes_total"]
    {
        assert!(total(&worked, moved) > 0.0, "{moved}");
    }

    // While a query runs, and after its client has gone.
    let long = "SELECT count(*) FROM raw.numbers a, raw.numbers b, raw.numbers c WHERE a.v + b.v + c.v = 1";
    let running = {
        let client = client.clone();
        tokio::spawn(async move { client.query(long).await.map(|_| ()) })
    };
    eventually(scheduler_metrics, "running", |samples| samples.get("bergmill_queries_running") == 1.0);
    let is_busy = |(_, metrics): &(Process, String)| Samples::of(metrics).get("bergmill_tasks_running") > 0.0;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !executors.iter().any(is_busy) {
        assert!(std::time::Instant::now() < deadline && !running.is_finished(), "no task runs");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.abort();
    let cancelled = "bergmill_queries_total{error=\"\",outcome=\"cancelled\"}";
    let ended = eventually(scheduler_metrics, "cancelled", |samples| samples.get(cancelled) == 1.0);
    assert_eq!(ended.get("bergmill_queries_running"), 0.0);

    for address in executors.iter().map(|(_, metrics)| metrics.as_str()).chain([scheduler_metrics]) {
        let text = scrape(address);
        assert!(!text.contains("secret") && !text.contains("numbers"), "a statement in the metrics:\n{text}");
    }
}
