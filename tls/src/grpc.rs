//! TLS for the servers and clients of gRPC: connections with and without it, as tonic takes and opens them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt, future};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::codegen::{Service, http};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::client::{ClientStream, ClientTls};
use crate::server::{ServerStream, ServerTls};

/// Clients that are setting up TLS at a time. Further ones wait until one of these is done or has run out of time.
const HANDSHAKES: usize = 1024;

/// A connection that a client opened.
#[derive(Debug)]
pub enum Accepted {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<ServerStream>),
}

/// Sets up TLS, if the server has it, on each connection of `incoming`. A client with which that fails is reported to
/// `refused` with its address; it is none of the others' concern, and neither is one that takes its time.
pub fn accept(
    incoming: impl Stream<Item = io::Result<TcpStream>>,
    tls: Option<ServerTls>,
    refused: impl Fn(&str, &io::Error) + Clone,
) -> impl Stream<Item = io::Result<Accepted>> {
    let set_up = move |tcp: io::Result<TcpStream>| {
        let (tls, refused) = (tls.clone(), refused.clone());
        async move {
            match (tcp, tls) {
                (Err(e), _) => Some(Err(e)),
                (Ok(tcp), None) => Some(Ok(Accepted::Plain(tcp))),
                (Ok(tcp), Some(tls)) => {
                    let peer = tcp.peer_addr();
                    match tls.accept(tcp).await {
                        Ok(stream) => Some(Ok(Accepted::Tls(Box::new(stream)))),
                        Err(e) => {
                            refused(&address(peer), &e);
                            None
                        }
                    }
                }
            }
        }
    };
    incoming.map(set_up).buffer_unordered(HANDSHAKES).filter_map(future::ready)
}

fn address(peer: io::Result<SocketAddr>) -> String {
    peer.map_or_else(|_| "an unknown address".to_string(), |peer| peer.to_string())
}

impl Connected for Accepted {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        match self {
            Self::Plain(tcp) => tcp.connect_info(),
            Self::Tls(stream) => stream.get_ref().0.connect_info(),
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, from),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, from),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, from),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, from),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}

/// Opens TLS connections for tonic's client. The scheme of an address is then `http`, since TLS is not tonic's.
#[derive(Debug, Clone)]
pub struct TlsConnector(pub ClientTls);

impl Service<http::Uri> for TlsConnector {
    type Response = TokioIo<ClientStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let tls = self.0.clone();
        Box::pin(async move {
            let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} is not host:port")));
            };
            let address = host.trim_start_matches('[').trim_end_matches(']');
            let tcp = TcpStream::connect((address, port)).await?;
            tcp.set_nodelay(true)?;
            Ok(TokioIo::new(tls.connect(host, tcp).await?))
        })
    }
}

/// An error and its causes on one line, without causes that the preceding text already ends with.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let next = current.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = current.source();
    }
    text
}
