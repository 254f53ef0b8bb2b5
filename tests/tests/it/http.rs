//! Requests over HTTP, byte by byte.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The answer to a request with a JSON body. `request` is its method and path, `basic` user and password in base64.
pub async fn answer(address: &str, request: &str, basic: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {basic}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}
