//! The front door with TLS and a login.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{Action, Criteria, Empty, FlightDescriptor, HandshakeRequest, Ticket};
use bergmill_gateway::{Client, ConnectOptions, Credentials, ErrorKind, Result, Security, serve};
use bergmill_tls::{CertificateFiles, ServerTls, authority};
use futures::{TryStreamExt, stream};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::only_ada::OnlyAda;
use crate::small_engine::SmallEngine;

const ONLY_ADA: OnlyAda = OnlyAda { token: "token of ada" };

async fn open(security: Security) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve(listener, Arc::new(SmallEngine::new().await), security, std::future::pending()));
    address
}

async fn with_login() -> String {
    open(Security { login: Some(Arc::new(ONLY_ADA)), ..Security::default() }).await
}

async fn with_tls() -> (String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let request = authority::Request { server_names: vec!["localhost".into()], ..authority::Request::default() };
    authority::make(folder.path(), &request).unwrap();
    let files =
        CertificateFiles { certificate: folder.path().join("server.pem"), key: folder.path().join("server.key") };
    let tls = Some(ServerTls::open(files).unwrap());
    let address = open(Security { tls, login: Some(Arc::new(ONLY_ADA)), ..Security::default() }).await;
    (address.replace("127.0.0.1", "localhost"), folder)
}

fn password(password: &str) -> Option<Credentials> {
    Some(Credentials::Password { user: "ada".into(), password: password.into() })
}

fn options(ca: Option<&Path>, credentials: Option<Credentials>) -> ConnectOptions {
    ConnectOptions { ca: ca.map(|folder| folder.join("ca.pem")), credentials }
}

async fn people(client: &Client) -> Result<usize> {
    let batches: Vec<_> = client.query("SELECT id FROM shop.people").await?.try_collect().await?;
    Ok(batches.iter().map(|batch| batch.num_rows()).sum())
}

async fn flight(address: &str) -> FlightServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    FlightServiceClient::new(endpoint.connect().await.unwrap())
}

#[tokio::test]
async fn our_client_logs_in_with_a_password_or_a_token() {
    let door = with_login().await;
    for credentials in [password("xyz"), Some(Credentials::Token("token of ada".into()))] {
        let client = Client::connect_with(&door, &options(None, credentials)).await.unwrap();
        assert_eq!(people(&client).await.unwrap(), 3);
    }
    let refused = Client::connect_with(&door, &options(None, password("wrong"))).await.unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().as_str()), (ErrorKind::Unauthenticated, "who are you?"));
    for credentials in [None, Some(Credentials::Token("token of eve".into()))] {
        let client = Client::connect_with(&door, &options(None, credentials)).await.unwrap();
        assert_eq!(people(&client).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
}

#[tokio::test]
async fn other_clients_log_in_by_a_handshake_with_and_without_padding() {
    let door = with_login().await;
    // arrow-flight's client, which pads; and the header of clients in Go, which do not.
    let mut client = FlightSqlServiceClient::new_from_inner(flight(&door).await);
    client.handshake("ada", "xyz").await.unwrap();
    assert_eq!(client.token().map(String::as_str), Some("token of ada"));
    client.execute("SELECT 1".into(), None).await.unwrap();
    for (header, is_admitted) in
        [("Basic YWRhOnh5eg==", true), ("Basic YWRhOnh5eg", true), ("Basic YWRhOnh5", false), ("Basic ***", false)]
    {
        let mut request = Request::new(stream::iter([HandshakeRequest::default()]));
        request.metadata_mut().insert("authorization", header.parse().unwrap());
        let response = flight(&door).await.handshake(request).await;
        let token =
            response.map(|response| response.metadata().get("authorization").unwrap().to_str().unwrap().to_owned());
        assert_eq!(
            token.map_err(|status| status.code()),
            if is_admitted { Ok("Bearer token of ada".to_owned()) } else { Err(Code::Unauthenticated) }
        );
    }
    // Credentials with each call, as some clients send them.
    let mut client = FlightSqlServiceClient::new_from_inner(flight(&door).await);
    client.set_header("authorization", "Basic YWRhOnh5eg");
    client.execute("SELECT 1".into(), None).await.unwrap();
}

#[tokio::test]
async fn no_call_of_the_protocol_is_admitted_without_credentials() {
    let door = with_login().await;
    let mut client = flight(&door).await;
    let check = |call: &str, refused: Status| {
        assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, "who are you?"), "{call}");
    };
    let descriptor = || FlightDescriptor::new_path(vec!["x".into()]);
    check("Handshake", client.handshake(stream::iter([HandshakeRequest::default()])).await.unwrap_err());
    check("ListFlights", client.list_flights(Criteria::default()).await.unwrap_err());
    check("GetFlightInfo", client.get_flight_info(descriptor()).await.unwrap_err());
    check("PollFlightInfo", client.poll_flight_info(descriptor()).await.unwrap_err());
    check("GetSchema", client.get_schema(descriptor()).await.unwrap_err());
    check("DoGet", client.do_get(Ticket::new("q\0\0\0\0SELECT 1")).await.unwrap_err());
    check("DoPut", client.do_put(stream::empty()).await.unwrap_err());
    check("DoExchange", client.do_exchange(stream::empty()).await.unwrap_err());
    check("DoAction", client.do_action(Action::default()).await.unwrap_err());
    check("ListActions", client.list_actions(Empty {}).await.unwrap_err());
}

#[tokio::test]
async fn tls_is_verified_by_the_client() {
    let (door, folder) = with_tls().await;
    for address in [door.clone(), format!("grpc+tls://{door}"), format!("https://{door}")] {
        let client = Client::connect_with(&address, &options(Some(folder.path()), password("xyz"))).await.unwrap();
        assert_eq!(people(&client).await.unwrap(), 3);
    }
    let check = async |address: &str, ca: Option<&Path>, kind: ErrorKind, expected: &str| {
        let error = Client::connect_with(address, &options(ca, password("xyz"))).await.unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(expected), "{address}: {error}");
    };
    let (_, other) = with_tls().await;
    check(&door, Some(other.path()), ErrorKind::Unavailable, "--tls-ca").await;
    let by_address = door.replace("localhost", "127.0.0.1");
    check(&by_address, Some(folder.path()), ErrorKind::Unavailable, "not for the name 127.0.0.1").await;
    let plain = format!("grpc://{door}");
    check(&plain, Some(folder.path()), ErrorKind::InvalidInput, "use grpc+tls://").await;
    check(&door, Some(Path::new("missing")), ErrorKind::InvalidInput, "missing/ca.pem").await;
    let without_tls = with_login().await;
    check(&without_tls, Some(folder.path()), ErrorKind::Unavailable, "does not speak TLS").await;
    // A client without TLS gets nothing, and sends no password that could be read on the way.
    let error = Client::connect_with(&door, &options(None, password("xyz"))).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Unauthenticated, "{error}");
}

#[tokio::test]
async fn clients_that_do_not_finish_a_handshake_delay_no_others() {
    let (door, folder) = with_tls().await;
    let mut idle = Vec::new();
    for n in 0..64u8 {
        let mut tcp = TcpStream::connect(&door).await.unwrap();
        // Nothing, the beginning of a handshake, or nonsense.
        if n % 3 > 0 {
            tcp.write_all(if n % 3 == 1 { &[22, 3, 1, 2, 0] } else { b"GET / HTTP/1.1\r\n\r\n" }).await.unwrap();
        }
        idle.push(tcp);
    }
    let connect = options(Some(folder.path()), password("xyz"));
    let connected = tokio::time::timeout(Duration::from_secs(5), Client::connect_with(&door, &connect)).await;
    assert_eq!(people(&connected.unwrap().unwrap()).await.unwrap(), 3);
    // They are disconnected in the end.
    let mut ended = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), idle[0].read_to_end(&mut ended)).await;
    assert!(read.is_ok(), "an idle client is still connected");
}
