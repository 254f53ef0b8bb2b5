//! The client against made-up responses, and the catalog against a real server, which `tests/services/run` provides.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bergmill_storage::{Secret, Stores};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::table::Warehouse;

#[tokio::test]
#[ignore = "needs a REST catalog: tests/services/run"]
async fn a_rest_server_keeps_a_warehouses_contract() {
    let uri = std::env::var("BERGMILL_TEST_REST").expect("BERGMILL_TEST_REST is the address of a REST catalog");
    for auth in [RestAuth::None, credentials()] {
        let catalog =
            RestCatalog::open(RestConfig { uri: uri.clone(), warehouse: None, auth, vended_credentials: true })
                .await
                .unwrap();
        let stores = Stores::new(crate::table::server_tests::config());
        let warehouse = Warehouse::new(Arc::new(catalog), stores, "s3://not-used").unwrap();
        crate::warehouse_conformance(&warehouse).await;
    }
}

fn credentials() -> RestAuth {
    let scope = "catalog".to_string();
    RestAuth::Credentials { id: "me".to_string(), secret: Secret::new("hidden-secret"), scope, token_uri: None }
}

/// A server that responds with the status and the body that `answer` returns for `POST /path`, the token and the body
/// of the request. With status 0 it cuts the connection.
pub(super) async fn server(
    answer: impl Fn(&str, &str, &str) -> (u16, String) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/catalog", listener.local_addr().unwrap());
    let (answer, log) = (Arc::new(answer), Arc::<Mutex<Vec<String>>>::default());
    let seen = Arc::clone(&log);
    tokio::spawn(async move {
        while let Ok((mut line, _)) = listener.accept().await {
            let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut part = [0; 4096];
                loop {
                    let n = line.read(&mut part).await.unwrap_or(0);
                    request.extend_from_slice(&part[..n]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else {
                        if n == 0 { return } else { continue }
                    };
                    let header = |name: &str| {
                        let of = |l: &str| {
                            l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_string())
                        };
                        head.lines().find_map(of).unwrap_or_default()
                    };
                    if body.len() < header("content-length").parse().unwrap_or(0) {
                        continue;
                    }
                    let what = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_string();
                    let (status, text) = answer(&what, &header("authorization"), body);
                    seen.lock().unwrap().push(what);
                    if status == 0 {
                        return;
                    }
                    let length = text.len();
                    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                    let _ = line.write_all((head + &text).as_bytes()).await;
                    return;
                }
            });
        }
    });
    (uri, log)
}

pub(super) async fn open(uri: &str, auth: RestAuth) -> Result<RestCatalog> {
    let warehouse = Some("a b".to_string());
    RestCatalog::open(RestConfig { uri: uri.to_string(), warehouse, auth, vended_credentials: true }).await
}

#[tokio::test]
async fn the_servers_prefix_and_pages_are_followed() {
    let (uri, log) = server(|what, _, _| {
        let text = match what {
            "GET /catalog/v1/config?warehouse=a+b" => r#"{"defaults": {}, "overrides": {"prefix": "p/q"}}"#,
            "GET /catalog/v1/p/q/namespaces" => r#"{"namespaces": [["a"]], "next-page-token": "2&"}"#,
            "GET /catalog/v1/p/q/namespaces?pageToken=2%26" => r#"{"namespaces": [["b"]]}"#,
            "GET /catalog/v1/p/q/namespaces?parent=a" => r#"{"namespaces": [["a", "c d"]], "next-page-token": null}"#,
            "GET /catalog/v1/p/q/namespaces/a%1Fc%20d/tables" => {
                r#"{"identifiers": [{"namespace": ["a"], "name": "t"}]}"#
            }
            _ => r#"{"namespaces": []}"#,
        };
        (200, text.to_string())
    })
    .await;
    let catalog = open(&uri, RestAuth::None).await.unwrap();
    let nested = NamespaceIdent::from_strs(["a", "c d"]).unwrap();
    let names: Vec<String> = catalog.namespaces().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "a.c d", "b"], "{:?}", log.lock().unwrap());
    assert_eq!(catalog.tables(&nested).await.unwrap(), vec![TableIdent::new(nested, "t".to_string())]);
}

#[tokio::test]
async fn tokens_are_renewed_before_they_expire_and_when_they_are_refused() {
    let given = Arc::new(AtomicUsize::new(0));
    let (revoked, life) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(3600)));
    let (count, last_revoked, seconds) = (Arc::clone(&given), Arc::clone(&revoked), Arc::clone(&life));
    let (uri, log) = server(move |what, token, _| match what {
        "POST /catalog/v1/oauth/tokens" => {
            let (n, life) = (count.fetch_add(1, Ordering::SeqCst) + 1, seconds.load(Ordering::SeqCst));
            (200, format!(r#"{{"access_token": "t{n}", "token_type": "bearer", "expires_in": {life}}}"#))
        }
        "GET /catalog/v1/config?warehouse=a+b" => (200, "{}".to_string()),
        _ if token == format!("Bearer t{}", last_revoked.load(Ordering::SeqCst)) => {
            (401, r#"{"error": {"message": "gone", "type": "NotAuthorizedException", "code": 401}}"#.to_string())
        }
        _ => (200, r#"{"namespaces": []}"#.to_string()),
    })
    .await;
    let catalog = open(&uri, credentials()).await.unwrap();
    catalog.namespaces().await.unwrap();
    catalog.namespaces().await.unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 1, "one token serves many requests");

    revoked.store(1, Ordering::SeqCst);
    life.store(0, Ordering::SeqCst);
    catalog.namespaces().await.unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 2, "a token that is refused is renewed");

    let before = log.lock().unwrap().len();
    revoked.store(0, Ordering::SeqCst);
    catalog.namespaces().await.unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 3, "a token that is due is renewed before it is sent");
    assert_eq!(log.lock().unwrap().len() - before, 2, "the token and the request");
}

#[tokio::test]
async fn failures_of_a_commit_are_distinguished() {
    let status = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&status);
    let (uri, _) = server(move |what, _, _| match what {
        "GET /catalog/v1/config?warehouse=a+b" => (200, "{}".to_string()),
        _ => (
            asked.load(Ordering::SeqCst) as u16,
            r#"{"error": {"message": "why", "type": "T", "code": 1}}"#.to_string(),
        ),
    })
    .await;
    let catalog = open(&uri, RestAuth::Token(Secret::new("hidden-token"))).await.unwrap();
    let table = TableIdent::from_strs(["raw", "events"]).unwrap();
    let change = Change { table: &table, base: None, location: "x", updates: &[] };
    let check = async |answer: u16, expected: std::result::Result<bool, ErrorKind>| {
        status.store(answer.into(), Ordering::SeqCst);
        let done = catalog.commit(&change).await;
        if let Err(e) = &done {
            assert!(!format!("{e} {e:?} {catalog:?}").contains("hidden"), "{e:?}");
        }
        assert_eq!(done.map_err(|e| e.kind()), expected, "{answer}");
    };
    check(204, Ok(true)).await;
    check(409, Ok(false)).await;
    check(404, Ok(false)).await;
    check(400, Err(ErrorKind::Invalid)).await;
    check(403, Err(ErrorKind::Storage)).await;
    for lost in [500, 502, 503, 504] {
        check(lost, Err(ErrorKind::Unknown)).await;
    }
    status.store(409, Ordering::SeqCst);
    assert_eq!(catalog.create(&change).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn an_unusable_server_is_reported_clearly() {
    let check = async |uri: &str, kind: ErrorKind, expected: &str| {
        let e = open(uri, RestAuth::None).await.unwrap_err();
        assert_eq!(e.kind(), kind);
        assert!(e.to_string().contains(expected) && !e.to_string().contains("hidden"), "{e}");
    };
    check("http://127.0.0.1:1/x", ErrorKind::Storage, "catalog http://127.0.0.1:1/x does not answer: ").await;
    check("http://me:hidden@127.0.0.1:1/", ErrorKind::Invalid, "holds credentials").await;
    let (uri, _) = server(|_, _, _| (401, "<html>".to_string())).await;
    check(&uri, ErrorKind::Storage, "does not accept the token or the credentials").await;
    let (uri, _) = server(|_, _, _| (200, "<html>".to_string())).await;
    check(&uri, ErrorKind::Corrupt, "a response that does not follow the protocol").await;
}
