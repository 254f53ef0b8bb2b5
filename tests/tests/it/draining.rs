//! Executors that are asked to stop: queries do not notice, and the executors stop in time.

use std::time::{Duration, Instant};

use arrow::array::AsArray;
use bergmill_gateway::Client;
use futures::{StreamExt, TryStreamExt};

use crate::cluster::{load, number, shop, until, within};
use crate::metrics::Samples;
use crate::process::Process;

const ANY: &str = "127.0.0.1:0";
/// Time for an executor to stop: that of a query on a busy machine.
const STOP: Duration = Duration::from_secs(90);
/// Time for an executor that no query needs.
const STOP_IDLE: Duration = Duration::from_secs(20);

const QUERIES: [&str; 3] = [
    "SELECT count(*) FROM raw.shopping_events a JOIN raw.shopping_events b ON a.session_id = b.session_id AND a.event_id <= b.event_id",
    "SELECT sum(v % 7) FROM (SELECT unnest(range(0, 30 * k)) AS v \
     FROM (SELECT session_id, count(*) AS k FROM raw.shopping_events GROUP BY session_id))",
    "SELECT count(*) FROM (SELECT row_number() OVER (PARTITION BY session_id ORDER BY price DESC) AS r FROM raw.shopping_events) WHERE r = 1",
];

/// A scheduler over the shop's events.
struct Cluster {
    executors_at: String,
    metrics: String,
    client: Client,
    _scheduler: Process,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts a scheduler and `n` executors of one vcore.
    async fn start(n: usize, more: &[&str]) -> (Self, Vec<Process>) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let listen = ["scheduler", "--data", data, "--listen", ANY, "--cluster-listen", ANY, "--metrics-listen", ANY];
        let scheduler = Process::start(&[&listen[..], &["--local-query-bytes", "0"]].concat());
        let executors_at = scheduler.wait_for("executors register at ");
        let metrics = scheduler.wait_for("metrics http://").trim_end_matches("/metrics").to_string();
        let client = Client::connect(&scheduler.wait_for("front door ")).await.unwrap();
        let cluster = Self { executors_at, metrics, client, _scheduler: scheduler, _folder: folder };
        let executors = std::iter::repeat_with(|| cluster.executor(more)).take(n).collect();
        until("the executors register", async || cluster.metric("bergmill_executors") == n as f64).await;
        load(&cluster.client, &shop()).await;
        (cluster, executors)
    }

    fn executor(&self, more: &[&str]) -> Process {
        let arguments = ["executor", "--scheduler", &self.executors_at, "--vcores", "1", "--heartbeat", "1"];
        let log = [("BERGMILL_LOG", "warn,bergmill_executor=info")];
        Process::start_with(&[&arguments[..], more].concat(), &log)
    }

    fn metric(&self, name: &str) -> f64 {
        Samples::of(&self.metrics).get(name)
    }

    /// Queries that lost rows and ran again.
    fn restarts(&self) -> f64 {
        self.metric("bergmill_query_restarts_total")
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        let batches: Vec<_> = self.client.query(sql).await.unwrap().try_collect().await.unwrap();
        batches.iter().flat_map(|b| b.column(0).as_string::<i32>().iter().flatten().map(str::to_string)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_from_four_to_two_executors_under_load_restarts_no_query() {
    let (cluster, mut executors) = Cluster::start(4, &[]).await;
    let mut expected = Vec::new();
    for sql in QUERIES {
        expected.push(number(&cluster.client, sql).await);
    }
    // Each client runs all queries, again and again.
    let (ask, asking) = tokio::sync::watch::channel(true);
    let clients = [0, 1, 2].map(|first| {
        let (client, expected, asking) = (cluster.client.clone(), expected.clone(), asking.clone());
        tokio::spawn(async move {
            let mut right = 0;
            while *asking.borrow() {
                for i in (first..first + QUERIES.len()).map(|i| i % QUERIES.len()) {
                    assert_eq!(within(number(&client, QUERIES[i])).await, expected[i], "{}", QUERIES[i]);
                    right += 1;
                }
            }
            right
        })
    });
    let active = "SELECT executor_id FROM system.executors WHERE state = 'active' ORDER BY 1";
    let before = cluster.texts(active).await;
    assert_eq!(before.len(), 4);

    let told = Instant::now();
    let mut leaving = executors.split_off(2);
    for executor in &leaving {
        // It is needed when it is told.
        executor.catch_up();
        executor.wait_for_part(" begins");
        executor.signal("TERM");
    }
    until("two executors take tasks", async || cluster.metric("bergmill_executors") == 2.0).await;
    let now = number(&cluster.client, "SELECT CAST(to_unixtime(now()) AS BIGINT)").await;
    let after = cluster.texts(active).await;
    for executor in &mut leaving {
        assert!(executor.ends_within(STOP), "an executor did not stop, or not with success");
    }
    println!("both executors stopped within {:?}", told.elapsed());
    until("they are deregistered", async || cluster.texts("SELECT executor_id FROM system.executors").await.len() == 2)
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ask.send_replace(false);
    let mut right = 0;
    for client in clients {
        right += within(client).await.unwrap();
    }
    println!("{right} right results");
    assert_eq!(cluster.restarts(), 0.0);

    // They had finished tasks of these queries, and got no more tasks.
    let left: Vec<&str> = before.iter().filter(|id| !after.contains(id)).map(String::as_str).collect();
    assert_eq!(left.len(), 2);
    let tasks = async |when: &str| {
        let of = format!("FROM system.tasks WHERE executor_id IN ('{}', '{}')", left[0], left[1]);
        number(&cluster.client, &format!("SELECT count(*) {of} AND to_unixtime(scheduled_at) {when}")).await
    };
    assert!(tasks(&format!("<= {now}")).await > 0);
    assert_eq!(tasks(&format!("> {now}")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_executor_serves_rows_until_they_are_read() {
    let (cluster, mut executors) = Cluster::start(2, &[]).await;
    // More than all buffers between an executor and the client hold.
    let wide = "SELECT concat_ws('', uuid(), uuid(), uuid(), uuid(), uuid(), uuid(), uuid(), uuid()) AS w \
                FROM raw.shopping_events a JOIN (SELECT unnest(range(0, 4))) ON true";
    let expected = number(&cluster.client, "SELECT count(*) * 4 FROM raw.shopping_events").await;
    let mut rows = cluster.client.query(wide).await.unwrap();
    let mut read = rows.next().await.unwrap().unwrap().num_rows();
    executors.iter().for_each(|executor| executor.signal("TERM"));
    until("both drain", async || cluster.metric("bergmill_executors_draining") == 2.0).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(executors.iter_mut().any(Process::is_running), "no executor has stayed for the rows");
    while let Some(batch) = within(rows.next()).await {
        read += batch.unwrap().num_rows();
    }
    assert_eq!(read as i64, expected);
    drop(rows);
    assert!(executors.iter_mut().all(|executor| executor.ends_within(STOP_IDLE)));
    assert_eq!(cluster.restarts(), 0.0);
}

/// A query that runs for minutes, and its executors.
async fn busy(more: &[&str]) -> (Cluster, Vec<Process>, tokio::task::JoinHandle<()>) {
    let (cluster, executors) = Cluster::start(1, more).await;
    let endless =
        "SELECT count(*) AS n FROM raw.shopping_events a JOIN raw.shopping_events b ON a.price < b.price + random()";
    executors[0].catch_up();
    let client = cluster.client.clone();
    let asking = tokio::spawn(async move {
        let rows = client.query(endless).await;
        drop(rows);
    });
    executors[0].wait_for_part(" begins");
    (cluster, executors, asking)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_a_draining_executor_at_once() {
    let (cluster, mut executors, asking) = busy(&[]).await;
    executors[0].signal("TERM");
    executors[0].wait_for("draining: ");
    until("it drains", async || cluster.metric("bergmill_executors_draining") == 1.0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(executors[0].is_running(), "it did not stay for its task");
    executors[0].signal("INT");
    assert!(executors[0].ends_within(STOP_IDLE));
    assert!(!asking.is_finished());
    // The query waits for another executor.
    let _next = cluster.executor(&[]);
    until("the query has restarted or its task is repeated", async || cluster.metric("bergmill_executors") == 1.0)
        .await;
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_executor_stays_no_longer_than_its_timeout() {
    let (cluster, mut executors, asking) = busy(&["--drain-timeout", "4"]).await;
    let told = Instant::now();
    executors[0].signal("TERM");
    assert!(executors[0].ends_within(STOP_IDLE));
    assert!(told.elapsed() >= Duration::from_secs(4), "it did not stay for its task");
    until("it is deregistered", async || cluster.metric("bergmill_executors_draining") == 0.0).await;
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_no_query_needs_stops_within_seconds() {
    let (cluster, mut executors) = Cluster::start(1, &[]).await;
    executors[0].signal("TERM");
    assert!(executors[0].ends_within(STOP_IDLE));
    until("it is deregistered", async || cluster.metric("bergmill_executors_draining") == 0.0).await;
    assert_eq!(cluster.metric("bergmill_executors"), 0.0);
}

#[test]
fn a_port_in_use_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let scheduler = Process::start(&["scheduler", "--data", data, "--listen", ANY, "--cluster-listen", ANY]);
    let cluster = scheduler.wait_for("executors register at ");
    let holder = std::net::TcpListener::bind(ANY).unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (flag, value) in [("--listen", taken.as_str()), ("--task-port", taken.rsplit(':').next().unwrap())] {
        let out = crate::process::run(&["executor", "--scheduler", &cluster, flag, value]);
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && err.contains("in use"), "{flag}: {err}");
    }
}
