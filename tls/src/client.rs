//! The client's side of TLS: which servers are trusted.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cluster::CLUSTER_NAME;
use crate::error::{Error, Result};
use crate::files::authorities;
use crate::provider::provider;

/// A connection to a server.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Both sides speak HTTP/2 only, which gRPC needs.
pub(crate) const HTTP2: &[u8] = b"h2";

/// Opens TLS connections to servers that it trusts. Clones share the settings.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
    servers: &'static Servers,
}

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
        Ok(Self::of(builder()?.with_root_certificates(roots).with_no_client_auth(), &FRONT_DOOR))
    }

    /// Trusts the servers that `servers` accepts, and shows them a certificate. No connection continues an earlier one.
    pub(crate) fn proving(
        servers: Arc<dyn ServerCertVerifier>,
        certificate: Arc<dyn ResolvesClientCert>,
    ) -> Result<Self> {
        let verified = builder()?.dangerous().with_custom_certificate_verifier(servers);
        let mut config = verified.with_client_cert_resolver(certificate);
        config.resumption = Resumption::disabled();
        Ok(Self::of(config, &CLUSTER))
    }

    fn of(mut config: ClientConfig, servers: &'static Servers) -> Self {
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Self { connector: TlsConnector::from(Arc::new(config)), servers }
    }

    /// Sets up TLS with the server `host`, whose certificate must have that name, or the cluster's.
    ///
    /// # Errors
    /// If the server cannot prove that it is `host`, with what to do about it.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<ClientStream> {
        // The host of an address may be an IPv6 address in brackets.
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let name = self.servers.name.unwrap_or(bare);
        let server = ServerName::try_from(name.to_string())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{host} is not a host name")))?;
        self.connector.connect(server, tcp).await.map_err(|e| explained(e, name, self.servers))
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    builder.map_err(|e| Error::invalid(format!("TLS: {e}")))
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

/// The servers that a client connects to, and what users can do about one that is not trusted.
struct Servers {
    /// The name in the certificates of all; `None` if each has the name of its host.
    name: Option<&'static str>,
    /// About a server of another authority.
    authority: &'static str,
    /// About one without TLS.
    no_tls: &'static str,
}

const FRONT_DOOR: Servers = Servers {
    name: None,
    authority: "its certificate is not from a trusted authority; name the file of that authority with --tls-ca",
    no_tls: "it does not speak TLS; try grpc://, without an authority",
};

const CLUSTER: Servers = Servers {
    name: Some(CLUSTER_NAME),
    authority: "its certificate is of another authority than --cluster-ca",
    no_tls: "it does not speak TLS; it has to be started with --cluster-ca, --cluster-cert and --cluster-key too",
};

/// Adds to the error of a handshake what it means.
fn explained(error: io::Error, name: &str, servers: &Servers) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let meaning = match inner {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => servers.authority.to_string(),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is not for the name {name}")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_string()
            }
            _ => return error,
        },
        Some(rustls::Error::InvalidMessage(_)) => servers.no_tls.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => servers.no_tls.to_string(),
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{meaning} ({error})"))
}

/// Why a server of the cluster refused our certificate, if `error` reports that. A client learns it at its first call,
/// from a library that passes on the text alone.
pub fn refusal(error: &str) -> Option<&'static str> {
    let (_, alert) = error.split_once("received fatal alert: ")?;
    let reason = |name: &str| alert.starts_with(name);
    Some(match () {
        () if reason("CertificateRequired") => {
            "it demands a certificate: set --cluster-ca, --cluster-cert, --cluster-key"
        }
        () if reason("UnknownCA") || reason("DecryptError") => "our --cluster-cert is of another authority than its",
        () if reason("CertificateExpired") => "our --cluster-cert has expired",
        () if reason("BadCertificate") || reason("UnsupportedCertificate") => {
            "our --cluster-cert is not one of the cluster's processes: see `bergmill certs`"
        }
        () => return None,
    })
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
