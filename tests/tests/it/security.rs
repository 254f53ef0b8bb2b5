//! The front door as an attacker finds it: what is tried against real processes, and refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use arrow::util::pretty::pretty_format_batches;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use bergmill_access::Access;
use bergmill_catalog::CatalogAddress;
use bergmill_gateway::{
    Client, ConnectOptions, Credentials, Error, ErrorKind, IngestMode, IngestTarget, Result as DoorResult,
};
use chrono::TimeDelta;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::process::{Process, run, run_with, serve};

const PASSWORD: &str = "correct horse";

/// A folder with tables and users.
struct Installation {
    folder: TempDir,
}

impl Installation {
    /// With certificates and the administrator `ada`.
    fn new() -> Self {
        let installation = Self { folder: tempfile::tempdir().unwrap() };
        installation.certs("certs", &[]);
        installation.user(&["add", "ada"], PASSWORD);
        installation
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> String {
        text_of(&self.path("data"))
    }

    /// Makes certificates in a folder of that name.
    fn certs(&self, name: &str, more: &[&str]) {
        let folder = text_of(&self.path(name));
        let mut arguments = vec!["certs", "--dir", &folder];
        arguments.extend(more);
        succeeds(&arguments, &[]);
    }

    /// Runs `bergmill user`.
    fn user(&self, verb: &[&str], password: &str) {
        let (file, data) = (self.path("password"), self.data());
        fs::write(&file, format!("{password}\n")).unwrap();
        let mut arguments = vec!["user"];
        arguments.extend(verb);
        arguments.extend(["--data", &data]);
        let file = text_of(&file);
        if verb[0] != "list" && verb[0] != "drop" {
            arguments.extend(["--password-file", &file]);
        }
        succeeds(&arguments, &[]);
    }

    /// The arguments of a scheduler with TLS, for clients at `listen`.
    fn scheduler(&self, listen: &str) -> Vec<String> {
        let [certificate, key] = ["server.pem", "server.key"].map(|file| text_of(&self.path("certs").join(file)));
        let given = ["scheduler", "--data", &self.data(), "--cluster-listen", "127.0.0.1:0", "--listen", listen];
        given.into_iter().chain(["--tls-cert", &certificate, "--tls-key", &key]).map(ToString::to_string).collect()
    }

    /// Starts a scheduler with TLS, and returns its front door.
    fn start(&self) -> (Process, String) {
        let arguments = self.scheduler("127.0.0.1:0");
        let process = Process::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let door = process.wait_for("front door ");
        (process, door)
    }

    fn options(&self, credentials: Option<Credentials>) -> ConnectOptions {
        ConnectOptions { ca: Some(self.path("certs").join("ca.pem")), credentials }
    }

    async fn connect(&self, door: &str, credentials: Option<Credentials>) -> DoorResult<Client> {
        Client::connect_with(door, &self.options(credentials)).await
    }

    /// The same users, as another process sees them.
    async fn users(&self) -> Access {
        let address = CatalogAddress::Sqlite(self.path("data").join("catalog.db"));
        Access::new(address.users(self.path("unused")).await.unwrap())
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

fn succeeds(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let out = run_with(arguments, variables);
    let (text, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{arguments:?}: {error}");
    text.into_owned()
}

fn fails(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let out = run_with(arguments, variables);
    assert!(!out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn password(user: &str, password: &str) -> Option<Credentials> {
    Some(Credentials::Password { user: user.to_string(), password: password.to_string() })
}

fn token(token: &str) -> Option<Credentials> {
    Some(Credentials::Token(token.to_string()))
}

async fn works(client: &Client) -> DoorResult<()> {
    let _: Vec<RecordBatch> = client.query("SELECT 1").await?.try_collect().await?;
    Ok(())
}

async fn text_answer(client: &Client, sql: &str) -> String {
    let batches: Vec<RecordBatch> = client.query(sql).await.unwrap().try_collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// The only value of a query.
async fn value(client: &Client, sql: &str) -> String {
    let batches: Vec<RecordBatch> = client.query(sql).await.unwrap().try_collect().await.unwrap();
    array_value_to_string(batches[0].column(0), 0).unwrap()
}

fn one_row() -> SendableRecordBatchStream {
    let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1])) as _)]).unwrap();
    Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream::iter([Ok(batch)])))
}

/// Prints what was tried, and checks that it was refused for this reason.
fn refused<T>(what: &str, tried: Result<T, Error>, kind: ErrorKind, reason: &str) {
    let error = tried.err().unwrap_or_else(|| panic!("{what} is admitted"));
    println!("refused: {what}: {error}");
    assert!(error.kind() == kind && error.to_string().contains(reason), "{what}: {:?}: {error}", error.kind());
}

/// Waits until a change by another process has taken effect.
async fn soon(what: &str, is_done: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_done().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_nothing() {
    let ours = Installation::new();
    let foreign = Installation::new();
    let (_scheduler, door) = ours.start();
    let admin = ours.connect(&door, password("ada", PASSWORD)).await.unwrap();
    admin.update("CREATE SCHEMA raw", None).await.unwrap();
    admin.update("CREATE TABLE raw.secrets (a BIGINT)", None).await.unwrap();

    let plain = Client::connect(&door).await.unwrap();
    let tried = works(&plain).await;
    println!("refused: a connection without TLS: {}", tried.unwrap_err());
    let tried = Client::connect_with(&door, &foreign.options(password("ada", PASSWORD))).await;
    refused("a server of a foreign authority, by its client", tried, ErrorKind::Unavailable, "--tls-ca");

    let stranger = ours.connect(&door, None).await.unwrap();
    let login = "this server requires a login";
    let select = stranger.query("SELECT * FROM raw.secrets").await;
    refused("a query without a token", select, ErrorKind::Unauthenticated, login);
    let insert = stranger.update("INSERT INTO raw.secrets VALUES (1)", None).await;
    refused("an update without a token", insert, ErrorKind::Unauthenticated, login);
    refused("the list of tables without a token", stranger.tables().await, ErrorKind::Unauthenticated, login);
    let target =
        IngestTarget { namespace: Some("raw".into()), table: "secrets".into(), mode: IngestMode::Append, tag: None };
    let upload = stranger.ingest(&target, one_row()).await;
    refused("an upload without a token", upload, ErrorKind::Unauthenticated, login);

    let wrong = "the user or the password is wrong";
    for (what, user, guess) in
        [("a wrong password", "ada", "wrong horse"), ("an unknown user", "eve", PASSWORD), ("an empty one", "", "")]
    {
        let tried = ours.connect(&door, password(user, guess)).await;
        refused(what, tried, ErrorKind::Unauthenticated, wrong);
    }
    let users = ours.users().await;
    let ada = users.user("ada").await.unwrap();
    let expired = users.create_token(&ada, "expired", Some(TimeDelta::seconds(-1))).await.unwrap();
    let of_others = foreign.users().await;
    let foreign_ada = of_others.user("ada").await.unwrap();
    let foreign_token = of_others.create_token(&foreign_ada, "valid-there", None).await.unwrap();
    let cases = [("a made-up token", "bergmill_x"), ("an expired token", &expired), ("a foreign one", &foreign_token)];
    for (what, secret) in cases {
        let tried = works(&ours.connect(&door, token(secret)).await.unwrap()).await;
        refused(what, tried, ErrorKind::Unauthenticated, "the token is not valid");
    }
    assert_eq!(value(&admin, "SELECT CAST(count(*) AS VARCHAR) FROM raw.secrets").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_with_their_revocation_their_user_or_the_password() {
    let ours = Installation::new();
    let (_scheduler, door) = ours.start();
    let admin = ours.connect(&door, password("ada", PASSWORD)).await.unwrap();

    let secret = value(&admin, "CREATE TOKEN etl EXPIRES IN 30 DAYS").await;
    let program = ours.connect(&door, token(&secret)).await.unwrap();
    works(&program).await.unwrap();
    assert!(text_answer(&admin, "SHOW TOKENS").await.contains("etl"));
    admin.update("DROP TOKEN etl", None).await.unwrap();
    refused("a revoked token", works(&program).await, ErrorKind::Unauthenticated, "the token is not valid");

    admin.update("CREATE USER grace PASSWORD 'battery staple'", None).await.unwrap();
    let grace = ours.connect(&door, password("grace", "battery staple")).await.unwrap();
    let secret = value(&grace, "CREATE TOKEN bi").await;
    grace.update("ALTER USER grace PASSWORD 'staple battery'", None).await.unwrap();
    for (what, credentials) in [("the token", token(&secret)), ("the password", password("grace", "battery staple"))] {
        let tried = async { works(&ours.connect(&door, credentials).await?).await };
        refused(&format!("{what} of before a new password"), tried.await, ErrorKind::Unauthenticated, "");
    }
    refused("a session of before a new password", works(&grace).await, ErrorKind::Unauthenticated, "not valid");

    // By another process, as by an administrator at the machine.
    let grace = ours.connect(&door, password("grace", "staple battery")).await.unwrap();
    ours.user(&["drop", "grace"], "");
    soon("a dropped user is logged out", async || works(&grace).await.is_err()).await;
    refused("a dropped user", works(&grace).await, ErrorKind::Unauthenticated, "not valid");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_may_not_administer_and_passwords_are_not_shown() {
    let ours = Installation::new();
    let (_scheduler, door) = ours.start();
    let admin = ours.connect(&door, password("ada", PASSWORD)).await.unwrap();
    admin.update("CREATE USER grace WITH PASSWORD 'battery staple'", None).await.unwrap();
    let grace = ours.connect(&door, password("grace", "battery staple")).await.unwrap();
    for sql in [
        "CREATE USER eve PASSWORD 'battery staple' ADMIN",
        "ALTER USER ada PASSWORD 'battery staple'",
        "DROP USER ada",
        "DROP USER IF EXISTS nobody",
    ] {
        let tried = grace.update(sql, None).await;
        refused(&format!("{sql} by a user"), tried, ErrorKind::Forbidden, "only administrators may");
    }
    let tried = async { grace.query("SHOW USERS").await?.try_collect::<Vec<_>>().await };
    refused("SHOW USERS by a user", tried.await, ErrorKind::Forbidden, "only administrators may");
    assert!(!text_answer(&grace, "SHOW TOKENS").await.contains("ada"), "tokens of others are shown");
    let users = text_answer(&admin, "SHOW USERS").await;
    assert!(users.contains("| ada       | admin |") && users.contains("| grace     | user  |"), "{users}");
    let refused_last = admin.update("DROP USER ada", None).await.unwrap_err();
    assert_eq!(refused_last.kind(), ErrorKind::InvalidInput, "{refused_last}");

    let statements = text_answer(&admin, "SELECT user_name, statement FROM system.queries").await;
    assert!(statements.contains("CREATE USER grace WITH PASSWORD '***'"), "{statements}");
    assert!(statements.contains("| ada       |") && statements.contains("| grace     |"), "{statements}");
    assert!(!statements.contains("battery staple"), "{statements}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down_for_the_guesser() {
    let ours = Installation::new();
    let (_scheduler, door) = ours.start();
    let session = ours.connect(&door, password("ada", PASSWORD)).await.unwrap();
    let mut reasons = Vec::new();
    for n in 0..6 {
        let tried = ours.connect(&door, password("ada", &format!("guess number {n}"))).await;
        reasons.push(tried.unwrap_err().to_string());
    }
    assert_eq!(reasons[4], "the user or the password is wrong");
    assert!(reasons[5].starts_with("too many failed logins; try again in"), "{reasons:?}");
    // Sessions that are open go on.
    works(&session).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_used_without_a_restart() {
    let ours = Installation::new();
    let (_scheduler, door) = ours.start();
    let credentials = || password("ada", PASSWORD);
    let before = ours.connect(&door, credentials()).await.unwrap();
    ours.certs("renewed", &["--days", "7"]);
    for file in ["server.key", "server.pem"] {
        fs::copy(ours.path("renewed").join(file), ours.path("certs").join(file)).unwrap();
    }
    let renewed = ConnectOptions { ca: Some(ours.path("renewed").join("ca.pem")), credentials: credentials() };
    soon("the new certificate is used", async || Client::connect_with(&door, &renewed).await.is_ok()).await;
    let tried = ours.connect(&door, credentials()).await;
    refused("the authority of before", tried, ErrorKind::Unavailable, "--tls-ca");
    works(&before).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_in_go_log_in_without_padding() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &[]);
    let client = Client::connect(&door).await.unwrap();
    // 13 characters with the name: base64 would be padded.
    client.update("CREATE USER ada PASSWORD 'aaaaaaaaa'", None).await.unwrap();
    let execute = async |header: &str| {
        let channel = Endpoint::from_shared(format!("http://{door}")).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new_from_inner(FlightServiceClient::new(channel));
        client.set_header("authorization", header);
        client.execute("SELECT 1".into(), None).await.map(drop).map_err(|e| e.to_string())
    };
    execute("Basic YWRhOmFhYWFhYWFhYQ==").await.unwrap();
    execute("Basic YWRhOmFhYWFhYWFhYQ").await.unwrap();
    for wrong in ["Basic YWRhOmFhYWFhYWFhYg", "Basic YWRh", "Basic", "Bearer YWRhOmFhYWFhYWFhYQ", "Negotiate x"] {
        let error = execute(wrong).await.unwrap_err();
        println!("refused: {wrong}: {error}");
        assert!(error.to_lowercase().contains("unauthenticated") || error.contains("authentication"), "{error}");
    }
}

#[test]
fn a_scheduler_on_the_network_is_closed_by_default() {
    let ours = Installation { folder: tempfile::tempdir().unwrap() };
    ours.certs("certs", &[]);
    let data = ours.data();
    let without_tls = ["scheduler", "--data", &data, "--cluster-listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"];
    let with_tls = ours.scheduler("0.0.0.0:0");
    let with_tls: Vec<&str> = with_tls.iter().map(String::as_str).collect();
    let error = fails(&without_tls, &[]);
    assert!(error.contains("has no --tls-cert and --tls-key") && error.contains("bergmill certs"), "{error}");
    let error = fails(&with_tls, &[]);
    assert!(error.contains("has no users") && error.contains("bergmill user add"), "{error}");
    let half = fails(&["scheduler", "--data", &data, "--tls-cert", "server.pem"], &[]);
    assert!(half.contains("--tls-cert and --tls-key"), "{half}");

    // Said at each start.
    let insecure = [without_tls.as_slice(), &["--insecure-listen", "true"]].concat();
    let process = Process::start(&insecure);
    process.wait_for_part("anyone on the way can read passwords and rows");
    process.wait_for_part("anyone who reaches it can read and change all tables");
    drop(process);

    ours.user(&["add", "ada"], PASSWORD);
    let process = Process::start(&with_tls);
    process.wait_for("front door ");
}

#[test]
fn the_owner_of_the_data_needs_no_login_and_others_do() {
    let folder = tempfile::tempdir().unwrap();
    let (server, door) = serve(folder.path(), &[]);
    let data = text_of(folder.path());
    let run_sql = |more: &[&str], variables: &[(&str, &str)]| {
        run_with(&[["sql", "--connect", &door].as_slice(), more].concat(), variables)
    };
    // While there is no user, everyone on this machine is admitted; the first user closes the door.
    assert!(run_sql(&["-e", "CREATE USER ada PASSWORD 'correct horse'"], &[]).status.success());
    let out = run_sql(&["-e", "SELECT 1"], &[]);
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && error.contains("this server requires a login"), "{error}");
    let with_password = [("BERGMILL_PASSWORD", PASSWORD)];
    assert!(run_sql(&["--user", "ada", "-e", "SELECT 1"], &with_password).status.success());
    let out = run_sql(&["--user", "ada", "-e", "SELECT 1"], &[("BERGMILL_PASSWORD", "wrong horse")]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("the user or the password is wrong"));
    let out = run_sql(&["--user", "ada", "-e", "SELECT 1"], &[]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("no password for user ada"));
    let out = run_sql(&["--user", "ada", "--format", "csv", "-e", "CREATE TOKEN etl"], &with_password);
    let secret = String::from_utf8_lossy(&out.stdout).lines().nth(1).unwrap().to_string();
    assert!(run_sql(&["-e", "SELECT 1"], &[("BERGMILL_TOKEN", &secret)]).status.success());
    // A check of health has no user.
    assert!(run(&["health", "--connect", &door]).status.success());
    assert!(server.terminate());

    // In a process of one's own, the tables are one's own.
    let shown = succeeds(&["sql", "--data", &data, "--format", "csv", "-e", "SHOW USERS"], &[]);
    assert_eq!(shown, "user_name,role\nada,admin\n");
    let listed = succeeds(&["user", "list", "--data", &data], &[]);
    assert!(listed.starts_with("ada ") && listed.trim_end().ends_with("admin"), "{listed}");
}

#[test]
fn certificates_are_made_once_and_keys_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let ours = Installation { folder: tempfile::tempdir().unwrap() };
    let folder = text_of(&ours.path("certs"));
    let made = succeeds(&["certs", "--dir", &folder, "--name", "front.example.com", "--client", "executor-1"], &[]);
    assert_eq!(made.lines().count(), 8, "{made}");
    for line in made.lines() {
        let mode = fs::metadata(line).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if line.ends_with(".key") { 0o600 } else { 0o644 }, "{line}");
    }
    let error = fails(&["certs", "--dir", &folder], &[]);
    assert!(error.contains("server.pem exists already; --force replaces it"), "{error}");
    let error = fails(&["certs", "--dir", &folder, "--name", "other.example.com"], &[]);
    assert!(error.contains("--force"), "{error}");
    assert_eq!(succeeds(&["certs", "--dir", &folder, "--client", "executor-2"], &[]).lines().count(), 2);
    fs::remove_file(ours.path("certs").join("cluster.pem")).unwrap();
    fs::remove_file(ours.path("certs").join("cluster.key")).unwrap();
    let made = succeeds(&["certs", "--dir", &folder], &[]);
    assert!(made.lines().count() == 2 && made.contains("cluster.pem"), "{made}");
    assert_eq!(succeeds(&["certs", "--dir", &folder, "--force"], &[]).lines().count(), 4);
    let error = fails(&["certs", "--dir", &folder, "--client", "../x"], &[]);
    assert!(error.contains("cannot be the name of a certificate"), "{error}");
}
