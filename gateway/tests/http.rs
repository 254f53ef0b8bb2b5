//! SQL over HTTP from outside: a real server on a real port in front of a small engine.

#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "the tests of Flight SQL use all of it")]
mod small_engine;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bergmill_gateway::{Caller, Credentials, Error, ErrorKind, Login, Result, Security, serve_http};
use bergmill_tls::{CertificateFiles, ServerTls, authority};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use small_engine::SmallEngine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// So many rows that nobody reads them all.
const ENDLESS: &str = "SELECT value FROM generate_series(1, 1000000000000)";

struct Door {
    url: String,
    engine: Arc<SmallEngine>,
    client: Client,
}

impl Door {
    async fn open(security: Security) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let engine = Arc::new(SmallEngine::new().await);
        tokio::spawn(serve_http(listener, engine.clone(), security, std::future::pending()));
        Self { url, engine, client: client(None) }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    fn post(&self, path: &str, sql: &str) -> RequestBuilder {
        self.request(Method::POST, path).json(&json!({ "sql": sql }))
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Submits a statement and returns its path.
    async fn submit(&self, sql: &str) -> String {
        let submitted = self.post("/v1/queries", sql).send().await.unwrap();
        assert_eq!(submitted.status(), 202);
        submitted.headers()["location"].to_str().unwrap().to_owned()
    }
}

fn client(ca: Option<Certificate>) -> Client {
    let builder = Client::builder().timeout(Duration::from_secs(60)).no_proxy();
    ca.into_iter().fold(builder, |builder, ca| builder.add_root_certificate(ca)).build().unwrap()
}

async fn parts(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_statement_is_answered_in_the_format_that_is_asked_for() {
    let door = Door::open(Security::default()).await;
    let sql = "SELECT id, name FROM people WHERE id < 3 ORDER BY id";
    let answer = parts(door.post("/v1/sql", sql).send().await.unwrap()).await;
    let columns = json!([
        {"name": "id", "type": "Int64", "nullable": true},
        {"name": "name", "type": "Utf8", "nullable": true},
    ]);
    let rows = json!([{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]);
    assert_eq!(answer, (200, json!({"columns": columns, "rows": rows, "row_count": 2})));
    for (accept, path, expected) in [
        ("text/csv", "/v1/sql", "id,name\n1,Ada\n2,Grace\n"),
        ("*/*", "/v1/sql?format=ndjson", "{\"id\":1,\"name\":\"Ada\"}\n{\"id\":2,\"name\":\"Grace\"}\n"),
    ] {
        let response = door.post(path, sql).header("accept", accept).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), expected);
    }
    let response = door.post("/v1/sql?format=arrow", sql).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/vnd.apache.arrow.stream");
    let bytes = response.bytes().await.unwrap();
    let read = arrow::ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    assert_eq!(read.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
}

#[tokio::test]
async fn a_statement_that_changes_rows_is_run_once_with_its_commit_key() {
    let door = Door::open(Security::default()).await;
    let body = json!({"sql": "INSERT INTO people VALUES (4, 'Joan'), (5, 'Mary')", "commit_key": "day-1"});
    let answer = door.request(Method::POST, "/v1/sql").json(&body).send().await.unwrap();
    assert_eq!(parts(answer).await, (200, json!({"rows_affected": 2})));
    let tags = door.engine.tags.lock().unwrap().clone();
    assert_eq!(tags.iter().flatten().map(|tag| tag.key.as_str()).collect::<Vec<_>>(), ["day-1"]);
}

#[tokio::test]
async fn values_are_bound_to_parameters() {
    let door = Door::open(Security::default()).await;
    let sql = "SELECT name FROM people WHERE id > $1 AND name <> $2";
    let body = json!({"sql": sql, "parameters": [1, "Hedy"]});
    let answer = door.request(Method::POST, "/v1/sql").json(&body).send().await.unwrap();
    let (status, answer) = parts(answer).await;
    assert_eq!((status, &answer["rows"]), (200, &json!([{"name": "Grace"}])));
    let body = json!({"sql": sql, "parameters": [[1], "Hedy"]});
    let answer = door.request(Method::POST, "/v1/sql").json(&body).send().await.unwrap();
    let (status, answer) = parts(answer).await;
    assert_eq!((status, answer["kind"].as_str()), (400, Some("invalid_input")));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_a_status_and_a_kind() {
    let door = Door::open(Security::default()).await;
    let text = |text: &'static str| door.request(Method::POST, "/v1/sql").body(text);
    let json = |body: &'static str| text(body).header("content-type", "application/json");
    for (request, status, kind, message) in [
        (door.post("/v1/sql", "SELEKT 1"), 400, "invalid_input", "SELEKT"),
        (door.post("/v1/sql", "SELECT * FROM absent"), 404, "not_found", "there is no table absent"),
        (door.post("/v1/sql", "CREATE TABLE people (id INT)"), 409, "already_exists", "people"),
        (door.post("/v1/sql", "SELECT 1 / (id - 1) FROM people"), 400, "invalid_input", "zero"),
        (door.post("/v1/sql", "SELECT 1 AS x, 2 AS y").query(&[("format", "xml")]), 400, "invalid_input", "xml"),
        (door.post("/v1/sql", "SELECT 1").header("accept", "image/png"), 400, "invalid_input", "text/csv"),
        (text("SELECT 1"), 400, "invalid_input", "content-type: application/json"),
        (json("{\"sql\": 1}"), 400, "invalid_input", "{\"sql\": \"SELECT 1\"}"),
        (json("{\"sql\": \"SELECT 1\", \"limit\": 5}"), 400, "invalid_input", "limit"),
        (json("{"), 400, "invalid_input", "EOF"),
        (door.request(Method::GET, "/v2/sql"), 404, "not_found", "/openapi.json"),
        (door.request(Method::GET, "/v1/queries/1"), 404, "not_found", "there is no statement"),
        (door.request(Method::POST, "/v1/sessions"), 400, "invalid_input", "there are no users"),
        (door.post("/v1/sql", "SELECT 1").header("host", "shop.example"), 403, "forbidden", "bergmill user add"),
    ] {
        let (got, body) = parts(request.send().await.unwrap()).await;
        assert_eq!((got, body["kind"].as_str()), (status, Some(kind)), "{body}");
        assert!(body["message"].as_str().unwrap().contains(message), "{body}");
    }
}

#[tokio::test]
async fn a_client_that_closes_its_connection_ends_its_query() {
    let door = Door::open(Security::default()).await;
    let mut response = door.post("/v1/sql?format=csv", ENDLESS).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    // It reads no more, so nothing is produced that would have to be kept.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let produced = door.engine.rows_produced.get();
    assert!(produced < 20_000_000, "{produced} rows were produced for a client that does not read");
    drop(response);
    tokio::time::timeout(Duration::from_secs(10), door.engine.queries_ended.reaches(1)).await.unwrap();
}

#[tokio::test]
async fn a_submitted_query_is_read_once() {
    let door = Door::open(Security::default()).await;
    let path = door.submit("SELECT id FROM people ORDER BY id").await;
    let (_, status) = parts(door.get(&format!("{path}?wait=30")).await).await;
    assert_eq!((&status["state"], &status["result"]), (&json!("ready"), &json!(format!("{path}/result"))));
    let (_, listed) = parts(door.get("/v1/queries").await).await;
    assert_eq!(listed["queries"], json!([status]));
    let result = format!("{path}/result");
    assert_eq!(door.get(&format!("{result}?format=csv")).await.text().await.unwrap(), "id\n1\n2\n3\n");
    let (_, status) = parts(door.get(&path).await).await;
    assert_eq!((&status["state"], &status["rows"]), (&json!("finished"), &json!(3)));
    let (code, again) = parts(door.get(&result).await).await;
    assert_eq!((code, &again["kind"]), (409, &json!("conflict")));
}

#[tokio::test]
async fn a_submitted_update_and_a_failure_are_remembered() {
    let door = Door::open(Security::default()).await;
    let path = door.submit("INSERT INTO people VALUES (4, 'Joan')").await;
    for _ in 0..2 {
        assert_eq!(parts(door.get(&format!("{path}/result")).await).await, (200, json!({"rows_affected": 1})));
    }
    assert_eq!(door.engine.tags.lock().unwrap().len(), 1);
    let path = door.submit("SELECT * FROM absent").await;
    let (_, status) = parts(door.get(&format!("{path}?wait=30")).await).await;
    assert_eq!((&status["state"], &status["error"]["kind"]), (&json!("failed"), &json!("not_found")));
    assert_eq!(parts(door.get(&format!("{path}/result")).await).await.0, 404);
}

#[tokio::test]
async fn a_submitted_query_is_cancelled_in_each_state() {
    let door = Door::open(Security::default()).await;
    let never = "SELECT count(*) FROM generate_series(1, 1000000000000)";
    let cancel = async |path: &str| parts(door.request(Method::DELETE, path).send().await.unwrap()).await;
    // While it runs, while it waits to be read, and while it is read.
    let mut ended = 0;
    for (sql, state) in [(never, "running"), (ENDLESS, "ready"), (ENDLESS, "reading")] {
        let path = door.submit(sql).await;
        let mut reading = None;
        if state != "running" {
            assert_eq!(parts(door.get(&format!("{path}?wait=30")).await).await.1["state"], json!("ready"));
        }
        if state == "reading" {
            let mut rows = door.get(&format!("{path}/result?format=csv")).await;
            rows.chunk().await.unwrap();
            reading = Some(rows);
        }
        let (_, before) = parts(door.get(&path).await).await;
        assert_eq!(before["state"], json!(state));
        let (code, status) = cancel(&path).await;
        assert_eq!((code, &status["error"]["kind"]), (200, &json!("cancelled")), "{status}");
        assert_eq!(parts(door.get(&format!("{path}/result")).await).await.0, 410);
        if let Some(mut rows) = reading {
            let end = loop {
                match rows.chunk().await {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert!(end.is_err(), "the body of a cancelled query looks complete");
        }
        ended += 1;
        tokio::time::timeout(Duration::from_secs(10), door.engine.queries_ended.reaches(ended)).await.unwrap();
    }
}

#[tokio::test]
async fn a_query_about_which_nobody_asks_is_cancelled_at_the_end_of_its_lease() {
    let door = Door::open(Security::default()).await;
    // Without a lease it might be cancelled before it begins.
    let submitted = door.post("/v1/queries?lease=1", ENDLESS).send().await.unwrap();
    let path = submitted.headers()["location"].to_str().unwrap().to_owned();
    tokio::time::timeout(Duration::from_secs(30), door.engine.queries_ended.reaches(1)).await.unwrap();
    assert_eq!(door.get(&path).await.status(), 404);
}

#[tokio::test]
async fn tables_metrics_and_health_are_answered() {
    let door = Door::open(Security::default()).await;
    let (_, tables) = parts(door.get("/v1/tables").await).await;
    let id = json!({"name": "id", "type": "Int64", "nullable": true});
    let store = json!({"namespace": "store", "name": "people", "kind": "TABLE", "columns": [id]});
    assert!(tables["tables"].as_array().unwrap().contains(&store), "{tables}");
    assert_eq!(door.get("/healthz").await.text().await.unwrap(), "ok\n");
    assert_eq!(door.get("/readyz").await.status(), 200);
    assert!(door.get("/metrics").await.text().await.unwrap().starts_with("rows_produced "));
    door.post("/v1/sql", "CREATE TABLE unready (x INT)").send().await.unwrap();
    let (code, failure) = parts(door.get("/readyz").await).await;
    assert_eq!((code, &failure["message"]), (503, &json!("the table unready exists")));
}

#[tokio::test]
async fn every_path_is_described() {
    let door = Door::open(Security::default()).await;
    let (_, document) = parts(door.get("/openapi.json").await).await;
    let paths = document["paths"].as_object().unwrap();
    let described: Vec<String> = paths
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    let expected = [
        "get /healthz",
        "get /metrics",
        "post /v1/queries",
        "get /v1/queries",
        "get /v1/queries/{id}",
        "delete /v1/queries/{id}",
        "get /v1/queries/{id}/result",
        "post /v1/sessions",
        "post /v1/sql",
        "get /v1/tables",
        "get /readyz",
    ];
    for path in expected {
        assert!(described.contains(&path.to_owned()), "{path} of {described:?}");
    }
    assert_eq!(described.len(), expected.len(), "{described:?}");
}

/// Admits Ada and Eve, by a password or a token.
struct TwoUsers;

#[async_trait]
impl Login for TwoUsers {
    async fn admit(&self, credentials: Option<&Credentials>, from: Option<IpAddr>) -> Result<Option<Caller>> {
        assert!(from.is_some_and(|from| from.is_loopback()), "the address of the client is known");
        let user = match credentials {
            Some(Credentials::Password { user, password }) if password == "xyz" => Some(user.clone()),
            Some(Credentials::Token(token)) => token.strip_prefix("token-of-").map(str::to_owned),
            _ => None,
        };
        match user.filter(|user| user == "ada" || user == "eve") {
            Some(user) => Ok(Some(Caller { user, is_admin: false })),
            None => Err(Error::new(ErrorKind::Unauthenticated, "who are you?")),
        }
    }

    async fn is_required(&self) -> Result<bool> {
        Ok(true)
    }

    async fn open_session(&self, caller: &Caller, _: Option<IpAddr>) -> Result<String> {
        Ok(format!("token-of-{}", caller.user))
    }
}

#[tokio::test]
async fn users_log_in_and_do_not_see_the_statements_of_others() {
    let door = Door::open(Security { login: Some(Arc::new(TwoUsers)), ..Security::default() }).await;
    for (method, path) in [
        (Method::POST, "/v1/sql"),
        (Method::POST, "/v1/queries"),
        (Method::GET, "/v1/queries"),
        (Method::GET, "/v1/queries/1"),
        (Method::DELETE, "/v1/queries/1"),
        (Method::GET, "/v1/queries/1/result"),
        (Method::GET, "/v1/tables"),
        (Method::POST, "/v1/sessions"),
    ] {
        let anonymous = door.request(method.clone(), path).json(&json!({"sql": "SELECT 1"}));
        let wrong = anonymous.try_clone().unwrap().basic_auth("ada", Some("abc"));
        let forged = anonymous.try_clone().unwrap().bearer_auth("token-of-mallory");
        for request in [anonymous, wrong, forged] {
            let response = request.send().await.unwrap();
            assert!(response.headers().contains_key("www-authenticate"));
            assert_eq!(
                parts(response).await,
                (401, json!({"kind": "unauthenticated", "message": "who are you?"})),
                "{path}"
            );
        }
    }
    let session = door.request(Method::POST, "/v1/sessions").basic_auth("ada", Some("xyz")).send().await.unwrap();
    assert_eq!(parts(session).await, (200, json!({"token": "token-of-ada"})));
    let by_ada = |request: RequestBuilder| request.bearer_auth("token-of-ada").send();
    let by_eve = |request: RequestBuilder| request.bearer_auth("token-of-eve").send();
    let answer = by_ada(door.post("/v1/sql", "SELECT 1 AS x").header("host", "shop.example")).await.unwrap();
    assert_eq!(parts(answer).await.1["rows"], json!([{"x": 1}]));

    let submitted = by_ada(door.post("/v1/queries", "SELECT 1 AS x")).await.unwrap();
    let path = submitted.headers()["location"].to_str().unwrap().to_owned();
    for request in [
        door.request(Method::GET, &path),
        door.request(Method::GET, &format!("{path}/result")),
        door.request(Method::DELETE, &path),
    ] {
        assert_eq!(by_eve(request).await.unwrap().status(), 404);
    }
    let listed = parts(by_eve(door.request(Method::GET, "/v1/queries")).await.unwrap()).await;
    assert_eq!(listed.1, json!({"queries": []}));
    let rows = by_ada(door.request(Method::GET, &format!("{path}/result?format=csv"))).await.unwrap();
    assert_eq!(rows.text().await.unwrap(), "x\n1\n");
}

#[tokio::test]
async fn with_tls_clients_of_either_version_of_http_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let request = authority::Request { server_names: vec!["localhost".into()], ..authority::Request::default() };
    authority::make(folder.path(), &request).unwrap();
    let files =
        CertificateFiles { certificate: folder.path().join("server.pem"), key: folder.path().join("server.key") };
    let tls = Some(ServerTls::open(files).unwrap());
    let mut door = Door::open(Security { tls, login: Some(Arc::new(TwoUsers)), ..Security::default() }).await;
    door.url = door.url.replace("http://127.0.0.1", "https://localhost");
    let ca = Certificate::from_pem(&std::fs::read(folder.path().join("ca.pem")).unwrap()).unwrap();
    door.client = client(Some(ca.clone()));
    let http2 = door.get("/healthz").await;
    assert_eq!((http2.version(), http2.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    door.client = Client::builder().http1_only().no_proxy().add_root_certificate(ca).build().unwrap();
    let http1 = door.post("/v1/sql", "SELECT 1 AS x").basic_auth("ada", Some("xyz")).send().await.unwrap();
    assert_eq!((http1.version(), http1.status().as_u16()), (reqwest::Version::HTTP_11, 200));
    assert!(client(None).get(format!("{}/healthz", door.url)).send().await.is_err(), "a stranger's certificate");
}

#[tokio::test]
async fn bad_clients_do_not_stop_the_server() {
    let door = Door::open(Security::default()).await;
    let address = door.url.strip_prefix("http://").unwrap();
    let mut idle = Vec::new();
    for n in 0..300u32 {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        // Nothing, nonsense, the beginning of headers, a body that is shorter than announced, or too long.
        let bytes: Vec<u8> = match n % 5 {
            0 => Vec::new(),
            1 => (0..200u32).map(|i| (i.wrapping_mul(n + 7) % 256) as u8).collect(),
            2 => b"POST /v1/sql HTTP/1.1\r\nhost: loc".to_vec(),
            3 => b"POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{".to_vec(),
            _ => b"POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 999999999999\r\n\r\n{".to_vec(),
        };
        tcp.write_all(&bytes).await.unwrap();
        idle.push(tcp);
    }
    let answer = door.post("/v1/sql", "SELECT 1 AS x").send().await.unwrap();
    assert_eq!(parts(answer).await.1["rows"], json!([{"x": 1}]));
    let mut too_large = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), idle[4].read_to_end(&mut too_large)).await;
    assert!(read.is_err() || String::from_utf8_lossy(&too_large).starts_with("HTTP/1.1 4"), "{too_large:?}");
}
