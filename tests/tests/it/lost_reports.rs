//! A report of an ended task that the network loses does not stop its query.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bergmill_gateway::Client;

use crate::cluster::{load, number, shop, until, within};
use crate::metrics::Samples;
use crate::process::Process;

/// The address that the scheduler advertises: executors connect to it for their reports only.
const REPORTS_AT: &str = "127.0.0.2";

/// Forwards connections, and can be cut: then it closes each connection on which something is sent, without forwarding.
#[derive(Clone, Default)]
struct Network {
    is_cut: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
}

impl Network {
    /// Forwards connections from one address to another, until the test ends.
    fn forward(&self, from: TcpListener, to: String) {
        let network = self.clone();
        std::thread::spawn(move || {
            for sent in from.incoming().map_while(Result::ok) {
                let Ok(forwarded) = TcpStream::connect(&to) else { continue };
                let (there, back) = (network.clone(), (forwarded.try_clone().unwrap(), sent.try_clone().unwrap()));
                std::thread::spawn(move || there.copy(sent, forwarded, true));
                std::thread::spawn(move || Self::default().copy(back.0, back.1, false));
            }
        });
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, can_be_lost: bool) {
        let mut buffer = [0; 65536];
        while let Ok(n) = from.read(&mut buffer) {
            if can_be_lost && n > 0 && self.is_cut.load(Ordering::SeqCst) {
                self.lost.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if n == 0 || to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        // Either may be closed already.
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

struct Cluster {
    client: Client,
    metrics: String,
    network: Network,
    scheduler: Process,
    executors: Vec<Process>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// A cluster whose reports of tasks cross the network.
    async fn start(executors: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, any) = (folder.path().to_str().unwrap(), "127.0.0.1:0");
        let arguments =
            ["scheduler", "--data", data, "--listen", any, "--cluster-listen", any, "--metrics-listen", any];
        let more = ["--advertise", REPORTS_AT, "--local-query-bytes", "0"];
        let scheduler = Process::start(&[&arguments[..], &more].concat());
        let executors_at = scheduler.wait_for("executors register at ");
        let metrics = scheduler.wait_for("metrics http://").trim_end_matches("/metrics").to_string();
        let client = Client::connect(&scheduler.wait_for("front door ")).await.unwrap();
        let port = executors_at.rsplit(':').next().unwrap();
        let network = Network::default();
        network.forward(TcpListener::bind(format!("{REPORTS_AT}:{port}")).unwrap(), executors_at.clone());
        let executor = || {
            let arguments = ["executor", "--scheduler", &executors_at, "--vcores", "1", "--heartbeat", "1"];
            Process::start_with(&arguments, &[("BERGMILL_LOG", "warn,bergmill_executor=info")])
        };
        let running: Vec<Process> = std::iter::repeat_with(executor).take(executors).collect();
        let registered = async || Samples::of(&metrics).get("bergmill_executors") == executors as f64;
        until("the executors register", registered).await;
        load(&client, &shop()).await;
        Self { client, metrics, network, scheduler, executors: running, _folder: folder }
    }

    /// Runs a query, and loses the reports of its first tasks that end.
    async fn loses_reports(&self, sql: &'static str) {
        let undisturbed = number(&self.client, sql).await;
        self.scheduler.catch_up();
        self.executors.iter().for_each(Process::catch_up);
        self.network.is_cut.store(true, Ordering::SeqCst);
        let began = Instant::now();
        let client = self.client.clone();
        let asking = tokio::spawn(async move { number(&client, sql).await });
        self.executors[0].wait_for_part("cannot report the end of ");
        self.network.is_cut.store(false, Ordering::SeqCst);
        assert!(self.network.lost.load(Ordering::SeqCst) > 0);
        let cut = began.elapsed();
        assert_eq!(within(asking).await.unwrap(), undisturbed, "{sql}");
        println!("the network was cut for {cut:?}; the result came {:?} later", began.elapsed() - cut);
        self.scheduler.wait_for_part("is repeated: its report was lost");
        // Only the tasks were repeated.
        assert_eq!(Samples::of(&self.metrics).get("bergmill_query_restarts_total"), 0.0);
        assert_eq!(number(&self.client, sql).await, undisturbed, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_in_stages_survives_the_loss_of_a_report() {
    let cluster = Cluster::start(2).await;
    let sql = "SELECT sum(k * k) FROM (SELECT session_id, count(*) AS k FROM raw.shopping_events GROUP BY session_id)";
    cluster.loses_reports(sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_query_survives_the_loss_of_its_report() {
    let cluster = Cluster::start(1).await;
    let sql = "SELECT count(*) FROM raw.shopping_events a JOIN raw.shopping_events b ON a.session_id = b.session_id";
    cluster.loses_reports(sql).await;
}

/// Nothing works, but the client is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_reports_never_arrive_ends_with_an_error() {
    let cluster = Cluster::start(1).await;
    cluster.network.is_cut.store(true, Ordering::SeqCst);
    let sql = "SELECT count(*) FROM raw.shopping_events a JOIN raw.shopping_events b ON a.session_id = b.session_id";
    let e = within(cluster.client.query(sql)).await.map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), bergmill_gateway::ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains("reports did not arrive"), "{e}");
    cluster.network.is_cut.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(number(&cluster.client, "SELECT count(*) FROM raw.shopping_events").await > 0);
}
