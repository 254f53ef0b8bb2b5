//! Connections of the front door, with and without TLS, as tonic's server takes them and as its client opens them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bergmill_tls::{ClientStream, ClientTls, ServerStream, ServerTls};
use futures::{Stream, StreamExt, future};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::codegen::{Service, http};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Clients that are setting up TLS at a time. Further ones wait until one of these is done or has run out of time.
const HANDSHAKES: usize = 1024;

/// A connection that a client opened.
#[derive(Debug)]
pub(crate) enum Accepted {
    Plain(TcpStream),
    Tls(Box<ServerStream>),
}

/// Sets up TLS, if the server has it, on each connection of `incoming`. A client with which that fails is none of the
/// others' concern, and neither is one that takes its time.
pub(crate) fn accept(
    incoming: impl Stream<Item = io::Result<TcpStream>>,
    tls: Option<ServerTls>,
) -> impl Stream<Item = io::Result<Accepted>> {
    let set_up = move |tcp: io::Result<TcpStream>| {
        let tls = tls.clone();
        async move {
            match (tcp, tls) {
                (Err(e), _) => Some(Err(e)),
                (Ok(tcp), None) => Some(Ok(Accepted::Plain(tcp))),
                (Ok(tcp), Some(tls)) => match tls.accept(tcp).await {
                    Ok(stream) => Some(Ok(Accepted::Tls(Box::new(stream)))),
                    Err(e) => {
                        tracing::debug!("a client cannot set up TLS: {e}");
                        None
                    }
                },
            }
        }
    };
    incoming.map(set_up).buffer_unordered(HANDSHAKES).filter_map(future::ready)
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

/// Opens TLS connections for tonic's client.
#[derive(Debug, Clone)]
pub(crate) struct TlsConnector(pub ClientTls);

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
