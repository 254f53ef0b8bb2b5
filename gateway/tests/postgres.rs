//! The protocol of Postgres, byte by byte: what well-behaved and other clients get.

#![allow(clippy::unwrap_used, reason = "a test")]

mod only_ada;
#[allow(dead_code, reason = "the tests of Flight SQL use all of it")]
mod small_engine;

use std::sync::Arc;
use std::time::Duration;

use bergmill_gateway::{Login, Security, serve_postgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::only_ada::OnlyAda;
use crate::small_engine::SmallEngine;

async fn open(login: Option<Arc<dyn Login>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (engine, security) = (Arc::new(SmallEngine::new().await), Security { login, ..Security::default() });
    tokio::spawn(serve_postgres(listener, engine, security, std::future::pending()));
    address
}

struct Client(TcpStream);

impl Client {
    /// Sends the first message of `user`.
    async fn begin(address: &str, user: &str) -> Self {
        let mut client = Self(TcpStream::connect(address).await.unwrap());
        let mut body = vec![0, 3, 0, 0];
        body.extend(format!("user\0{user}\0\0").as_bytes());
        client.send(&[&(body.len() as u32 + 4).to_be_bytes(), body.as_slice()].concat()).await;
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends a message of a kind; its text ends with a NUL.
    async fn message(&mut self, kind: u8, body: &[u8]) {
        let length = (body.len() as u32 + 4).to_be_bytes();
        self.send(&[&[kind], length.as_slice(), body].concat()).await;
    }

    /// The next message: its kind, and its body as text.
    async fn next(&mut self) -> Option<(char, String)> {
        let read = async {
            let kind = self.0.read_u8().await.ok()?;
            let length = self.0.read_u32().await.ok()?;
            let mut body = vec![0; length as usize - 4];
            self.0.read_exact(&mut body).await.ok()?;
            Some((char::from(kind), String::from_utf8_lossy(&body).into_owned()))
        };
        timeout(Duration::from_secs(20), read).await.expect("the server answers")
    }

    /// The messages until the server is ready or the connection ends.
    async fn answer(&mut self) -> Vec<(char, String)> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            let is_last = message.0 == 'Z';
            all.push(message);
            if is_last {
                break;
            }
        }
        all
    }

    /// Checks the kinds of messages that a query is answered with, separated by hyphens, and that one of them has this
    /// text.
    async fn check(&mut self, sql: &str, kinds: &str, text: &str) {
        self.message(b'Q', format!("{sql}\0").as_bytes()).await;
        let answer = self.answer().await;
        assert_eq!(
            answer.iter().map(|(kind, _)| kind.to_string()).collect::<Vec<_>>().join("-"),
            kinds,
            "{sql}: {answer:?}"
        );
        assert!(answer.iter().any(|(_, body)| body.contains(text)), "{sql}: {answer:?}");
    }
}

#[tokio::test]
async fn statements_are_answered_in_order() {
    let mut client = Client::begin(&open(None).await, "anyone").await;
    let greeting = client.answer().await;
    assert_eq!(greeting.first().unwrap(), &('R', "\0\0\0\0".to_owned()));
    client.check("SELECT 40 + 2 AS answer", "T-D-C-Z", "42").await;
    client.check("SELECT 1; SELECT 'x' AS a;", "T-D-C-T-D-C-Z", "SELECT 1").await;
    client.check("", "I-Z", "").await;
    client.check("SELECT nothing", "E-Z", "42000").await;
    client.check("SELECT 1; SELECT nothing; SELECT 2", "T-D-C-E-Z", "nothing").await;
    client.check("BEGIN", "C-Z", "BEGIN").await;
    client.check("ROLLBACK", "C-Z", "ROLLBACK").await;
    client.check("SHOW standard_conforming_strings", "T-D-C-Z", "on").await;
    client.check("SELECT pg_catalog.version(), current_schema()", "T-D-C-Z", "PostgreSQL 16").await;
    client
        .check("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname::regclass::text = 'shop'", "T-D-C-Z", "shop")
        .await;
    client.check("SELECT * FROM '/etc/passwd' JOIN pg_class ON true", "E-Z", "not found").await;
    client.message(b'X', b"").await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn only_users_get_in() {
    let address = open(Some(Arc::new(OnlyAda { token: "bergmill_ada" }))).await;
    for (user, password, expected) in [
        ("ada", "xyz", "R"),
        ("ada", "bergmill_ada", "R"),
        ("ada", "guess", "who are you?"),
        ("eve", "xyz", "who are you?"),
        ("eve", "bergmill_ada", "of another user"),
        ("", "", "who are you?"),
    ] {
        let mut client = Client::begin(&address, user).await;
        assert_eq!(client.next().await, Some(('R', "\0\0\0\u{3}".to_owned())));
        client.message(b'p', format!("{password}\0").as_bytes()).await;
        match client.next().await.unwrap() {
            ('R', _) => assert_eq!(expected, "R", "{user} {password}"),
            (kind, error) => {
                assert!(kind == 'E' && error.contains(expected) && error.contains("28P01"), "{error}");
                assert_eq!(client.next().await, None);
            }
        }
    }
    // A statement in place of the password.
    let mut client = Client::begin(&address, "ada").await;
    client.next().await.unwrap();
    client.message(b'Q', b"SELECT 1\0").await;
    assert!(client.next().await.unwrap().1.contains("log in first"));
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn bad_clients_are_disconnected_and_others_are_not() {
    let address = open(None).await;
    let mut good = Client::begin(&address, "good").await;
    good.answer().await;
    let large = [&u32::MAX.to_be_bytes(), [0, 3, 0, 0].as_slice(), &vec![b'x'; 100_000]].concat();
    for first in [vec![0; 8], b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), vec![0xff; 64], large] {
        let mut bad = Client(TcpStream::connect(&address).await.unwrap());
        // The server may close the connection before all is sent.
        let _sent = bad.0.write_all(&first).await;
        assert!(!bad.answer().await.iter().any(|(kind, _)| *kind == 'R'), "{first:?}");
    }
    let messages: [(u8, &[u8]); 5] = [
        (b'B', &[0, 0, 0xff, 0xff]),
        (b'E', b"\0\xff\xff\xff\xff"),
        (b'D', b"Zx\0"),
        (b'!', b"x"),
        (b'P', b"a\0SELECT 1; SELECT 2\0\0\0"),
    ];
    for (kind, body) in messages {
        let mut bad = Client::begin(&address, "bad").await;
        bad.answer().await;
        bad.message(kind, body).await;
        assert_eq!(bad.next().await.map(|(kind, _)| kind), Some('E'), "{}", char::from(kind));
    }
    good.check("SELECT 7", "T-D-C-Z", "7").await;
}
