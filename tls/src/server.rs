//! The server's side of TLS: a certificate that is reread when its files change.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::client::HTTP2;
use crate::error::{Error, Result};
use crate::files::{CertificateFiles, FileVersion};
use crate::provider::provider;

/// A connection that a server accepted.
pub type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;

/// HTTP/1.1, as TLS names it.
const HTTP1: &[u8] = b"http/1.1";
/// How long a client may take to set up a connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the files are checked, at most. Connections in between use the certificate that is known.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

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
        let current = Current::read(files)?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::invalid(format!("TLS: {e}")))?
            .with_no_client_auth();
        let mut config = config.with_cert_resolver(Arc::new(current));
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The same certificate for clients that speak HTTP/1.1 or HTTP/2.
    pub fn for_http(&self) -> Self {
        let mut config = ServerConfig::clone(self.0.config());
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Self(TlsAcceptor::from(Arc::new(config)))
    }

    /// Sets up TLS on a connection that a client opened.
    ///
    /// # Errors
    /// If the client does not speak TLS, does not accept the certificate, or takes longer than ten seconds.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<ServerStream> {
        timeout(HANDSHAKE_TIMEOUT, self.0.accept(tcp)).await?
    }
}

/// The certificate of files, as last read.
#[derive(Debug)]
struct Current {
    files: CertificateFiles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    key: Arc<CertifiedKey>,
    /// The version of the files that was last read, whether it is valid or not; `None` if the files were not there.
    version: Option<[FileVersion; 2]>,
    checked: Instant,
}

impl Current {
    fn read(files: CertificateFiles) -> Result<Self> {
        // Before the content: a change in between is then noticed at the next check.
        let version = files.version()?;
        let key = Arc::new(files.read()?);
        let state = State { key, version: Some(version), checked: Instant::now() };
        Ok(Self { files, state: Mutex::new(state) })
    }

    fn at(&self, now: Instant) -> Arc<CertifiedKey> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.checked) >= CHECK_INTERVAL {
            state.checked = now;
            let version = self.files.version().ok();
            if version != state.version {
                state.version = version;
                match self.files.read() {
                    Ok(key) => {
                        state.key = Arc::new(key);
                        tracing::info!("reread the certificate {}", self.files.certificate.display());
                    }
                    Err(e) => tracing::warn!("the previous certificate stays in use: {e}"),
                }
            }
        }
        Arc::clone(&state.key)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{self, Request};

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
        let current = Current::read(files.clone()).unwrap();
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
