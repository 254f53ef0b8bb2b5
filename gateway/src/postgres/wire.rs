//! The messages of a connection: TLS if the client requests it, and a bound on what is read of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bergmill_tls::ServerTls;
use bytes::BytesMut;
use pgwire::messages::{DecodeContext, PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::whole::is_whole;

/// The largest message of a client that has not logged in.
const LOGIN_BYTES: usize = 16 << 10;
/// The largest message of a client: a statement with its values.
const MESSAGE_BYTES: usize = 64 << 20;
/// Bytes that are collected before they are sent.
const SEND_BYTES: usize = 64 << 10;

/// The first messages of a client: they have a length and one of these codes.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// A connection, as messages.
pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    context: DecodeContext,
    max_bytes: usize,
}

impl Wire {
    /// Sets up TLS, if the client requests it and the server has it.
    pub(super) async fn open(mut tcp: TcpStream, tls: Option<&ServerTls>) -> io::Result<Self> {
        let mut input = BytesMut::new();
        let stream = loop {
            let mut first = [0; 8];
            tcp.read_exact(&mut first).await?;
            match (first, tls) {
                (SSL_REQUEST, Some(tls)) => {
                    tcp.write_all(b"S").await?;
                    break Stream::Tls(Box::new(tls.for_postgres().accept(tcp).await?));
                }
                (SSL_REQUEST | GSS_REQUEST, _) => tcp.write_all(b"N").await?,
                _ => {
                    input.extend_from_slice(&first);
                    break Stream::Plain(tcp);
                }
            }
        };
        let mut context = DecodeContext::default();
        context.protocol_version = ProtocolVersion::PROTOCOL3_0;
        context.awaiting_frontend_ssl = false;
        Ok(Self { stream, input, output: BytesMut::new(), context, max_bytes: LOGIN_BYTES })
    }

    /// Whether the connection is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The first message has arrived: others are of other forms.
    pub(super) fn has_begun(&mut self) {
        self.context.awaiting_frontend_startup = false;
    }

    /// The client may send large messages from now on.
    pub(super) fn has_logged_in(&mut self) {
        self.max_bytes = MESSAGE_BYTES;
    }

    /// The next message; `None` at the end of the connection.
    pub(super) async fn next(&mut self) -> io::Result<Option<PgWireFrontendMessage>> {
        loop {
            if !self.context.awaiting_frontend_startup && !is_whole(&self.input) {
                return Err(invalid("a message ends too early or too late".to_owned()));
            }
            let decoded = PgWireFrontendMessage::decode(&mut self.input, &self.context);
            if let Some(message) = decoded.map_err(|e| invalid(format!("a message cannot be read: {e}")))? {
                return Ok(Some(message));
            }
            if self.input.len() > self.max_bytes {
                return Err(invalid(format!("a message has more than {} bytes", self.max_bytes)));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Sends a message, with those after it.
    pub(super) async fn put(&mut self, message: PgWireBackendMessage) -> io::Result<()> {
        message.encode(&mut self.output).map_err(|e| invalid(e.to_string()))?;
        if self.output.len() >= SEND_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Sends what was collected, and ends the connection. Clients take one that ends otherwise for a broken one.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }

    /// Sends what was collected.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        self.stream.flush().await
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The bytes of a connection.
enum Stream {
    Plain(TcpStream),
    Tls(Box<bergmill_tls::ServerStream>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
