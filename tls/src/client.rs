//! The client's side of TLS: which servers are trusted.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{Error, Result};
use crate::files::authorities;
use crate::provider::provider;

/// A connection to a server.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Both sides speak HTTP/2 only, which gRPC needs.
pub(crate) const HTTP2: &[u8] = b"h2";

/// Opens TLS connections to servers that it trusts. Clones share the settings.
#[derive(Clone)]
pub struct ClientTls(TlsConnector);

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Trusts the authorities in the file `ca` and no others; without a file, those that the machine trusts.
    ///
    /// # Errors
    /// If there is no such authority.
    pub fn trusting(ca: Option<&Path>) -> Result<Self> {
        let roots = match ca {
            Some(path) => authorities(path)?,
            None => of_machine()?,
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::invalid(format!("TLS: {e}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Sets up TLS with the server `host`, whose certificate must have that name.
    ///
    /// # Errors
    /// If the server cannot prove that it is `host`, with what to do about it.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<ClientStream> {
        // The host of an address may be an IPv6 address in brackets.
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_string())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{host} is not a host name")))?;
        self.0.connect(name, tcp).await.map_err(|e| explained(e, bare))
    }
}

fn of_machine() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Stores of machines contain certificates that cannot be used.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err(Error::invalid(
            "this machine trusts no certificate authority; name the file of the server's with --tls-ca",
        ));
    }
    Ok(roots)
}

const NO_TLS: &str = "it does not speak TLS; try grpc://, without an authority";

/// Adds to the error of a handshake what it means.
fn explained(error: io::Error, host: &str) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let meaning = match inner {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is not from a trusted authority; name the file of that authority with --tls-ca"
                    .to_string()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is not for the name {host}")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_string()
            }
            _ => return error,
        },
        Some(rustls::Error::InvalidMessage(_)) => NO_TLS.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => NO_TLS.to_string(),
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{meaning} ({error})"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::authority::{self, Request};
    use crate::{CertificateFiles, ServerTls};

    /// A server with a certificate for `names`, and the result of a client that trusts `trusted`'s authority.
    async fn check(host: &str, trusts_it: bool, expected: std::result::Result<(), &str>) {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let request = Request {
            server_names: ["localhost", "127.0.0.1", "::1"].map(ToString::to_string).to_vec(),
            ..Request::default()
        };
        authority::make(folder.path(), &request).unwrap();
        authority::make(other.path(), &request).unwrap();
        let server = ServerTls::open(CertificateFiles {
            certificate: folder.path().join("server.pem"),
            key: folder.path().join("server.key"),
        });
        let server = server.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let tcp = listener.accept().await.unwrap().0;
            if let Ok(mut stream) = server.accept(tcp).await {
                let _ = stream.write_all(b"ok").await;
                let _ = stream.shutdown().await;
            }
        });
        let ca = if trusts_it { folder.path() } else { other.path() }.join("ca.pem");
        let client = ClientTls::trusting(Some(&ca)).unwrap();
        let connected = client.connect(host, TcpStream::connect(address).await.unwrap()).await;
        match (connected, expected) {
            (Ok(mut stream), Ok(())) => {
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert_eq!(answer, "ok");
            }
            (Err(e), Err(expected)) => assert!(e.to_string().contains(expected), "{host}: {e}"),
            (connected, expected) => panic!("{host}: {:?}, expected {expected:?}", connected.map(drop)),
        }
    }

    #[tokio::test]
    async fn a_server_must_prove_its_name() {
        check("localhost", true, Ok(())).await;
        check("127.0.0.1", true, Ok(())).await;
        check("[::1]", true, Ok(())).await;
        check("elsewhere", true, Err("its certificate is not for the name elsewhere")).await;
        check("no name", true, Err("no name is not a host name")).await;
    }

    #[tokio::test]
    async fn a_server_of_another_authority_is_not_trusted() {
        check("localhost", false, Err("--tls-ca")).await;
    }

    #[tokio::test]
    async fn a_server_without_tls_is_recognized() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        });
        let folder = tempfile::tempdir().unwrap();
        authority::make(folder.path(), &Request { clients: vec!["x".to_string()], ..Request::default() }).unwrap();
        let client = ClientTls::trusting(Some(&folder.path().join("ca.pem"))).unwrap();
        let error = client.connect("localhost", TcpStream::connect(address).await.unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("it does not speak TLS"), "{error}");
    }
}
