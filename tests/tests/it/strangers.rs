//! The ports between processes as an attacker finds them: what is tried against a running cluster, and refused.

use std::error::Error as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, Ticket};
use ballista_core::serde::protobuf::action::ActionType;
use ballista_core::serde::protobuf::executor_grpc_client::ExecutorGrpcClient;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    self, CancelJobParams, CancelTasksParams, ExecuteQueryParams, ExecutorRegistration, ExecutorStoppedParams,
    FetchPartition, HeartBeatParams, LaunchMultiTaskParams, RegisterExecutorParams, RemoveJobDataParams,
    StopExecutorParams, UpdateTaskStatusParams,
};
use bergmill_gateway::Client;
use bergmill_tls::{CLUSTER_NAME, CertificateFiles, ClusterTls};
use prost::Message;
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use crate::cluster::{load, number, shop, until, within};
use crate::process::{Process, run};

const QUERY: &str =
    "SELECT sum(k * k) FROM (SELECT session_id, count(*) AS k FROM raw.shopping_events GROUP BY session_id)";

/// Certificates in folders.
struct Certificates(TempDir);

impl Certificates {
    /// Of this cluster and of a foreign one.
    fn make() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        for folder in ["ours", "foreign"] {
            let folder = text_of(&made.path(folder));
            assert!(run(&["certs", "--dir", &folder, "--client", "ada"]).status.success());
        }
        made.expired();
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The certificate of the cluster, as it was last year.
    fn expired(&self) {
        let mut authority = rcgen::CertificateParams::default();
        authority.distinguished_name = rcgen::DistinguishedName::new();
        authority.distinguished_name.push(rcgen::DnType::CommonName, "Bergmill certificate authority");
        let key = rcgen::KeyPair::from_pem(&fs::read_to_string(self.path("ours/ca.key")).unwrap()).unwrap();
        let issuer = rcgen::Issuer::new(authority, key);
        let mut params = rcgen::CertificateParams::new([CLUSTER_NAME.to_string()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let pair = rcgen::KeyPair::generate().unwrap();
        fs::write(self.path("ours/expired.pem"), params.signed_by(&pair, &issuer).unwrap().pem()).unwrap();
        fs::write(self.path("ours/expired.key"), pair.serialize_pem()).unwrap();
    }

    /// The flags of a process.
    fn flags(&self, folder: &str) -> Vec<String> {
        let files = [("--cluster-ca", "ca.pem"), ("--cluster-cert", "cluster.pem"), ("--cluster-key", "cluster.key")];
        let folder = self.path(folder);
        files.into_iter().flat_map(|(flag, file)| [flag.to_string(), text_of(&folder.join(file))]).collect()
    }

    /// Connects with a certificate, or with none, to a server of this cluster.
    fn tls(&self, certificate: Option<&str>) -> ClientTlsConfig {
        let pem = |file: String| fs::read(self.path(&file)).unwrap();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(pem("ours/ca.pem".to_string())))
            .domain_name(CLUSTER_NAME);
        match certificate {
            Some(name) => tls.identity(Identity::from_pem(pem(format!("{name}.pem")), pem(format!("{name}.key")))),
            None => tls,
        }
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts `bergmill`.
fn start(arguments: &[&str], more: &[String]) -> Process {
    let more = more.iter().map(String::as_str);
    Process::start_with(&arguments.iter().copied().chain(more).collect::<Vec<_>>(), &[("BERGMILL_LOG", "warn")])
}

/// A scheduler and two executors that admit only each other, with the files of a query in stages.
struct Cluster {
    certificates: Certificates,
    client: Client,
    cluster: String,
    /// Folder, port for rows and port for tasks of each executor.
    executors: Vec<(PathBuf, String, String)>,
    expected: i64,
    _folder: TempDir,
    _processes: Vec<Process>,
}

impl Cluster {
    async fn start() -> Self {
        let (certificates, folder) = (Certificates::make(), tempfile::tempdir().unwrap());
        let (any, data, members) = ("127.0.0.1:0", text_of(folder.path()), certificates.flags("ours"));
        let arguments = ["scheduler", "--data", &data, "--listen", any, "--cluster-listen", any];
        let scheduler = start(&[&arguments[..], &["--local-query-bytes", "0"]].concat(), &members);
        let cluster = scheduler.wait_for("executors register at ");
        let client = Client::connect(&scheduler.wait_for("front door ")).await.unwrap();
        let (mut executors, mut processes) = (Vec::new(), vec![scheduler]);
        for n in 0..2 {
            let work = folder.path().join(format!("executor-{n}/work"));
            let (rows, tasks, at) = (format!("127.0.0.1:{}", free_port()), free_port(), text_of(&work));
            let arguments = ["executor", "--scheduler", &cluster, "--vcores", "1", "--heartbeat", "1"];
            let task_port = tasks.to_string();
            let more = ["--listen", &rows, "--task-port", &task_port, "--work-dir", &at];
            processes.push(start(&[&arguments[..], &more].concat(), &members));
            executors.push((work, rows, format!("127.0.0.1:{tasks}")));
        }
        let count = "SELECT count(*) FROM system.executors";
        until("the executors register", async || number(&client, count).await == 2).await;
        load(&client, &shop()).await;
        let expected = within(number(&client, QUERY)).await;
        Self { certificates, client, cluster, executors, expected, _folder: folder, _processes: processes }
    }

    /// An executor on which a query has left rows, the id of the query, and one of the files.
    fn rows(&self) -> (usize, String, PathBuf) {
        let files = |folder: &Path| fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).collect::<Vec<_>>();
        let is_rows = |path: &PathBuf| path.extension().is_some_and(|e| e == "arrow");
        for (n, (work, ..)) in self.executors.iter().enumerate() {
            for query in files(work).into_iter().filter(|path| path.is_dir()) {
                let parts = files(&query).into_iter().flat_map(|stage| files(&stage));
                if let Some(file) = parts.flat_map(|part| files(&part)).find(is_rows) {
                    return (n, query.file_name().unwrap().to_str().unwrap().to_string(), file);
                }
            }
        }
        panic!("no query has left rows")
    }

    /// The ticket of such a file, as if it were a query's of this name.
    fn ticket(file: &Path, query: &str) -> Vec<u8> {
        let parts: Vec<&str> = file.iter().map(|part| part.to_str().unwrap()).collect();
        let [.., stage, part, name] = parts[..] else { panic!("{parts:?}") };
        let number = |text: &str| text.parse().unwrap();
        let in_name = name.strip_prefix("data-").and_then(|rest| rest.strip_suffix(".arrow"));
        let is_sorted = file.with_extension("arrow.index").exists();
        let fetch = FetchPartition {
            job_id: query.to_string(),
            stage_id: number(stage),
            partition_id: if is_sorted { 0 } else { number(part) },
            file_id: if is_sorted { Some(u64::from(number(part))) } else { in_name.map(|id| id.parse().unwrap()) },
            layout: if is_sorted { protobuf::ShuffleLayout::Sort } else { protobuf::ShuffleLayout::Passthrough }.into(),
            ..FetchPartition::default()
        };
        protobuf::Action { action_type: Some(ActionType::FetchPartition(fetch)), settings: Vec::new() }.encode_to_vec()
    }
}

/// Who tries: a name, and the settings of TLS.
type Attacker = (&'static str, Option<ClientTlsConfig>);

async fn connect(to: &str, tls: Option<&ClientTlsConfig>) -> Result<Channel, tonic::transport::Error> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{to}")).unwrap().timeout(Duration::from_secs(20));
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls.clone()).unwrap();
    }
    endpoint.connect().await
}

/// What is tried against the scheduler.
const SCHEDULER: [&str; 7] =
    ["register", "a heartbeat", "submit a plan", "cancel a query", "report a task", "deregister", "a plan by push"];
/// What is tried against an executor's port for tasks.
const TASKS: [&str; 4] = ["launch a task", "cancel tasks", "remove files", "stop it"];
/// What is tried against an executor's port for rows.
const ROWS: [&str; 2] = ["fetch rows", "fetch rows by blocks"];

/// Tries it, and returns what the process answered.
async fn attempt(what: &str, channel: Channel, ticket: &[u8], query: &str) -> Result<(), Status> {
    let (scheduler, tasks) = (SchedulerGrpcClient::new(channel.clone()), ExecutorGrpcClient::new(channel.clone()));
    let (mut scheduler, mut tasks, mut rows) = (scheduler, tasks, FlightServiceClient::new(channel));
    let (id, ticket) = ("stranger".to_string(), ticket.to_vec());
    let executor = Some(ExecutorRegistration { id: id.clone(), port: 1, grpc_port: 1, ..Default::default() });
    match what {
        "register" => scheduler.register_executor(RegisterExecutorParams { metadata: executor }).await.map(drop),
        "a heartbeat" => {
            let heartbeat = HeartBeatParams { executor_id: id, metadata: executor, ..Default::default() };
            scheduler.heart_beat_from_executor(heartbeat).await.map(drop)
        }
        "submit a plan" => scheduler.execute_query(ExecuteQueryParams::default()).await.map(drop),
        "a plan by push" => scheduler.execute_query_push(ExecuteQueryParams::default()).await.map(drop),
        "cancel a query" => scheduler.cancel_job(CancelJobParams { job_id: query.to_string() }).await.map(drop),
        "report a task" => {
            let report = UpdateTaskStatusParams { executor_id: id, task_status: Vec::new() };
            scheduler.update_task_status(report).await.map(drop)
        }
        "deregister" => {
            let left = ExecutorStoppedParams { executor_id: id, reason: String::new() };
            scheduler.executor_stopped(left).await.map(drop)
        }
        "launch a task" => tasks.launch_multi_task(LaunchMultiTaskParams::default()).await.map(drop),
        "cancel tasks" => tasks.cancel_tasks(CancelTasksParams::default()).await.map(drop),
        "stop it" => {
            let stop = StopExecutorParams { executor_id: id, ..Default::default() };
            tasks.stop_executor(stop).await.map(drop)
        }
        "remove files" => {
            let removed = RemoveJobDataParams { job_id: query.to_string(), remove_stage_ids: Vec::new() };
            tasks.remove_job_data(removed).await.map(drop)
        }
        "fetch rows" => {
            let mut fetched = rows.do_get(Ticket { ticket: ticket.into() }).await?.into_inner();
            fetched.message().await.map(drop)
        }
        "fetch rows by blocks" => {
            let action = Action { r#type: "IO_BLOCK_TRANSPORT".to_string(), body: ticket.into() };
            let mut fetched = rows.do_action(action).await?.into_inner();
            fetched.message().await.map(drop)
        }
        other => panic!("{other}"),
    }
}

/// Whether an error is of the connection, and not an answer.
fn is_refused(status: &Status) -> bool {
    status.source().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_nothing_from_the_ports_between_processes() {
    let cluster = Cluster::start().await;
    let with = |certificate| Some(cluster.certificates.tls(certificate));
    let attackers: [Attacker; 6] = [
        ("without TLS", None),
        ("without a certificate", with(None)),
        ("with a certificate of a foreign authority", with(Some("foreign/cluster"))),
        ("with an expired certificate", with(Some("ours/expired"))),
        ("with the certificate of a client of the front door", with(Some("ours/ada"))),
        ("with the certificate of the front door", with(Some("ours/server"))),
    ];
    let (executor, query, file) = cluster.rows();
    let (_, rows, tasks) = &cluster.executors[executor];
    let ticket = Cluster::ticket(&file, &query);
    let ports = [
        ("the scheduler's port", &cluster.cluster, &SCHEDULER[..]),
        ("an executor's port for rows", rows, &ROWS[..]),
        ("an executor's port for tasks", tasks, &TASKS[..]),
    ];
    let mut tried = 0;
    for (who, tls) in &attackers {
        for (port, address, attempts) in ports {
            for what in attempts {
                let refused = match connect(address, tls.as_ref()).await {
                    Err(e) => format!("{:?}", e.source().map(ToString::to_string)),
                    Ok(channel) => match within(attempt(what, channel, &ticket, &query)).await {
                        Ok(()) => panic!("{who}: {port}: {what}: admitted"),
                        Err(e) if is_refused(&e) => format!("{:?}", e.message()),
                        Err(e) => panic!("{who}: {port}: {what}: answered {e}"),
                    },
                };
                println!("refused: {who}: {port}: {what}: {refused}");
                tried += 1;
            }
            let answer = plain_http(address, "/api/executors");
            assert!(!answer.contains("HTTP/1.1 2"), "{port}: {answer}");
            println!("refused: over HTTP/1.1: {port}: GET /api/executors");
        }
    }
    println!("{tried} attempts refused");
    assert!(file.exists(), "a stranger removed files");

    // The same, by a process of the cluster, is answered; but clients have to use the front door.
    for (port, address, attempts) in ports {
        for what in attempts {
            let channel = connect(address, with(Some("ours/cluster")).as_ref()).await.unwrap();
            let answer = within(attempt(what, channel, &ticket, &query)).await;
            let code =
                answer.map_or_else(|e| if is_refused(&e) { panic!("{what}: {e}") } else { e.code() }, |()| Code::Ok);
            let expected = match *what {
                "register" | "a heartbeat" => Code::InvalidArgument,
                "submit a plan" | "a plan by push" | "cancel a query" => Code::Unimplemented,
                _ => Code::Ok,
            };
            assert_eq!(code, expected, "{port}: {what}");
        }
    }
    assert!(!file.exists(), "a process of the cluster may remove files");
    assert_eq!(within(number(&cluster.client, QUERY)).await, cluster.expected);
    assert_eq!(number(&cluster.client, "SELECT count(*) FROM system.executors").await, 2);
}

fn plain_http(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may close it at once.
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ticket_leads_out_of_the_work_folder() {
    let cluster = Cluster::start().await;
    let (executor, query, file) = cluster.rows();
    let (work, rows, tasks) = &cluster.executors[executor];
    // The files of the query, where tickets might lead.
    let outside = work.with_file_name("outside");
    let copied = std::process::Command::new("cp").arg("-r").arg(work.join(&query)).arg(&outside).status().unwrap();
    assert!(copied.success());
    symlink(&outside, work.join("link")).unwrap();
    symlink("..", work.join("up")).unwrap();
    let tls = cluster.certificates.tls(Some("ours/cluster"));
    let fetch = async |query: &str, what: &str| {
        let channel = connect(rows, Some(&tls)).await.unwrap();
        within(attempt(what, channel, &Cluster::ticket(&file, query), query)).await
    };
    for what in ROWS {
        fetch(&query, what).await.unwrap();
        let absolute = text_of(&outside);
        for wrong in ["../outside", &absolute, "link", "up", "", "..", ".", &format!("{query}/../../outside"), "/etc"] {
            let status = fetch(wrong, what).await.unwrap_err();
            println!("refused: {what}: {wrong:?}: {}", status.message());
            assert!(matches!(status.code(), Code::InvalidArgument | Code::PermissionDenied), "{wrong}: {status}");
        }
    }
    // A link in place of a file of the query.
    let ticket = Cluster::ticket(&file, &query);
    let moved = outside.join("moved");
    fs::rename(&file, &moved).unwrap();
    symlink(&moved, &file).unwrap();
    let channel = connect(rows, Some(&tls)).await.unwrap();
    let status = attempt(ROWS[0], channel, &ticket, &query).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");

    let channel = connect(tasks, Some(&tls)).await.unwrap();
    for wrong in ["../outside", "link", "", "..", "/etc"] {
        let status = attempt("remove files", channel.clone(), &[], wrong).await.unwrap_err();
        println!("refused: remove files: {wrong:?}: {}", status.message());
        assert!(matches!(status.code(), Code::InvalidArgument | Code::PermissionDenied), "{wrong}: {status}");
    }
    assert!(moved.exists() && work.join(&query).exists());
    attempt("remove files", channel, &[], &query).await.unwrap();
    assert!(moved.exists() && !work.join(&query).exists());
}

#[test]
fn a_refused_connection_is_explained_at_both_ends() {
    let certificates = Certificates::make();
    let folder = tempfile::tempdir().unwrap();
    let (any, data) = ("127.0.0.1:0", text_of(folder.path()));
    let arguments = ["scheduler", "--data", &data, "--listen", any, "--cluster-listen", any];
    let (closed, open) = (start(&arguments, &certificates.flags("ours")), start(&arguments, &[]));
    let [closed_at, open_at] = [&closed, &open].map(|scheduler| scheduler.wait_for("executors register at "));
    let check = |at: &str, flags: &[String], expected: &str| {
        let arguments = ["executor", "--scheduler", at, "--connect-timeout", "2"];
        let arguments: Vec<&str> = arguments.into_iter().chain(flags.iter().map(String::as_str)).collect();
        let out = run(&arguments);
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && error.contains(expected), "{error}");
    };
    check(&closed_at, &certificates.flags("foreign"), "its certificate is of another authority than --cluster-ca");
    closed.wait_for_part("it does not accept our certificate");
    check(&closed_at, &[], "set --cluster-ca, --cluster-cert and --cluster-key");
    closed.wait_for_part("it does not speak TLS");
    check(&open_at, &certificates.flags("ours"), "it does not speak TLS; it has to be started with --cluster-ca");
    // The certificate of the front door is not one of the cluster.
    let mut wrong = certificates.flags("ours");
    for flag in &mut wrong {
        *flag = flag.replace("/cluster.", "/server.");
    }
    check(&closed_at, &wrong, "does not make this process a member of the cluster");
    check(&closed_at, &wrong[..4], "these go together: --cluster-ca, --cluster-cert and --cluster-key");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificates_need_no_restart() {
    let cluster = Cluster::start().await;
    let ours = text_of(&cluster.certificates.path("ours"));
    assert!(run(&["certs", "--dir", &ours, "--force", "--days", "7"]).status.success());
    // Longer than the interval at which the files are checked.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(within(number(&cluster.client, QUERY)).await, cluster.expected);
    let files = CertificateFiles {
        certificate: cluster.certificates.path("ours/cluster.pem"),
        key: cluster.certificates.path("ours/cluster.key"),
    };
    ClusterTls::open(cluster.certificates.path("ours/ca.pem"), files).unwrap();
}

#[test]
fn ports_between_processes_are_closed_to_the_network_by_default() {
    let certificates = Certificates::make();
    let folder = tempfile::tempdir().unwrap();
    let (all, data) = ("0.0.0.0:0", text_of(folder.path()));
    let scheduler = ["scheduler", "--data", &data, "--listen", "127.0.0.1:0", "--cluster-listen", all];
    let scheduler = [&scheduler[..], &["--advertise", "127.0.0.1"]].concat();
    let executor = ["executor", "--scheduler", "127.0.0.1:1", "--listen", all, "--connect-timeout", "30"];
    for arguments in [&scheduler[..], &executor] {
        let out = run(arguments);
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && error.contains("--cluster-ca") && error.contains("bergmill certs"), "{error}");
        let process = start(&[arguments, &["--insecure-listen", "true"]].concat(), &[]);
        process.wait_for_part("anyone who reaches it can run tasks");
    }
    let closed = start(&scheduler, &certificates.flags("ours"));
    let at = closed.wait_for("executors register at ").replace("0.0.0.0", "127.0.0.1");
    let executor = ["executor", "--scheduler", &at, "--listen", all, "--health-listen", "127.0.0.1:0"];
    start(&executor, &certificates.flags("ours")).wait_for("executor for scheduler");
}
