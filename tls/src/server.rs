//! The server's side of TLS: its certificate, and what it demands of clients.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::client::HTTP2;
use crate::error::{Error, Result};
use crate::files::CertificateFiles;
use crate::provider::provider;
use crate::reread::Reread;

/// A connection that a server accepted.
pub type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;

/// HTTP/1.1, as TLS names it.
const HTTP1: &[u8] = b"http/1.1";
/// The protocol of Postgres.
const POSTGRES: &[u8] = b"postgresql";
/// How long a client may take to set up a connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts TLS connections for HTTP/2. Clones share the certificate.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Serves the certificate of `files`. When they change, connections that begin later get the new certificate; while
    /// they are not valid, for example because only one of the two has been replaced, they get the one before.
    ///
    /// # Errors
    /// If the files cannot be read or do not belong together.
    pub fn open(files: CertificateFiles) -> Result<Self> {
        let current = Current(Reread::open(files.paths(), move || files.read())?);
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::invalid(format!("TLS: {e}")))?
            .with_no_client_auth();
        Ok(Self::of(config.with_cert_resolver(Arc::new(current))))
    }

    /// Demands a certificate that `clients` accepts, of each connection: none continues an earlier one.
    pub(crate) fn demanding(
        clients: Arc<dyn ClientCertVerifier>,
        certificate: Arc<dyn ResolvesServerCert>,
    ) -> Result<Self> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::invalid(format!("TLS: {e}")))?;
        let mut config = config.with_client_cert_verifier(clients).with_cert_resolver(certificate);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self::of(config))
    }

    fn of(mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Self(TlsAcceptor::from(Arc::new(config)))
    }

    /// The same certificate for clients that speak HTTP/1.1 or HTTP/2.
    pub fn for_http(&self) -> Self {
        let mut config = ServerConfig::clone(self.0.config());
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Self(TlsAcceptor::from(Arc::new(config)))
    }

    /// The same certificate for clients that set up TLS within another protocol, and do not name it.
    pub fn for_postgres(&self) -> Self {
        let mut config = ServerConfig::clone(self.0.config());
        config.alpn_protocols = vec![POSTGRES.to_vec()];
        Self(TlsAcceptor::from(Arc::new(config)))
    }

    /// Sets up TLS on a connection that a client opened.
    ///
    /// # Errors
    /// If the client does not speak TLS, does not accept the certificate, lacks one that is demanded, or takes longer
    /// than ten seconds. [`NotTls`] is the inner error of the first.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<ServerStream> {
        let accepted = timeout(HANDSHAKE_TIMEOUT, self.0.accept(tcp)).await;
        accepted.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it does not set up TLS"))?.map_err(explained)
    }
}

/// The client does not speak TLS.
#[derive(Debug)]
pub struct NotTls;

impl std::fmt::Display for NotTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it does not speak TLS")
    }
}

impl std::error::Error for NotTls {}

/// Adds to the error of a handshake what it means.
fn explained(error: io::Error) -> io::Error {
    let meaning = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => return io::Error::new(error.kind(), NotTls),
        Some(rustls::Error::NoCertificatesPresented) => "it has no certificate",
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is of another authority than --cluster-ca"
            }
            CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }
            | CertificateError::InvalidPurpose
            | CertificateError::InvalidPurposeContext { .. } => "its certificate is not one of the cluster's processes",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
            _ => return error,
        },
        Some(rustls::Error::AlertReceived(_)) => "it does not accept our certificate",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{meaning} ({error})"))
}

/// The certificate of files, as last read.
#[derive(Debug)]
struct Current(Reread<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::authority::{self, Request};
    use crate::reread::CHECK_INTERVAL;

    #[test]
    fn a_certificate_is_reread_when_both_files_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let request =
            Request { server_names: vec!["localhost".to_string()], replace: true, ..authority::Request::default() };
        let files = authority::make(folder.path(), &request).map(|_| CertificateFiles {
            certificate: folder.path().join("server.pem"),
            key: folder.path().join("server.key"),
        });
        let files = files.unwrap();
        let read = files.clone();
        let current = Reread::open(files.paths(), move || read.read()).unwrap();
        let first = current.at(Instant::now());
        let later = |n: u32| Instant::now() + n * CHECK_INTERVAL;
        assert!(Arc::ptr_eq(&first, &current.at(later(1))));

        // Half of a renewal, then all of it.
        let old_key = std::fs::read(&files.key).unwrap();
        authority::make(folder.path(), &request).unwrap();
        let new_key = std::fs::read(&files.key).unwrap();
        std::fs::write(&files.key, &old_key).unwrap();
        assert!(Arc::ptr_eq(&first, &current.at(later(2))));
        std::fs::write(&files.key, new_key).unwrap();
        let second = current.at(later(3));
        assert_ne!(first.cert, second.cert);

        // Files that are gone or damaged change nothing.
        std::fs::write(&files.certificate, "-----BEGIN").unwrap();
        assert!(Arc::ptr_eq(&second, &current.at(later(4))));
        std::fs::remove_file(&files.certificate).unwrap();
        assert!(Arc::ptr_eq(&second, &current.at(later(5))));
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused_with_their_names() {
        let check = |certificate: &str, key: &str, expected: &str| {
            let folder = tempfile::tempdir().unwrap();
            let request =
                Request { clients: vec!["x".to_string()], server_names: vec!["a".to_string()], ..Request::default() };
            authority::make(folder.path(), &request).unwrap();
            std::fs::write(folder.path().join("empty"), "").unwrap();
            let files = CertificateFiles { certificate: folder.path().join(certificate), key: folder.path().join(key) };
            let error = ServerTls::open(files).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("server.pem", "x.key", "x.key is not the key of");
        check("server.key", "server.key", "server.key holds no certificate");
        check("empty", "server.key", "empty holds no certificate");
        check("server.pem", "empty", "empty holds no private key");
        check("missing", "server.key", "missing: No such file");
    }
}
