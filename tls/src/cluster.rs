//! Mutual TLS between the processes of a cluster.
//!
//! Each process has a certificate that makes it a member: of the cluster's authority, and for the name
//! [`CLUSTER_NAME`]. Each side of a connection demands one of the other. No address is in it, so it fits an executor
//! wherever that runs. Other certificates of the same authority, such as the front door's, lack the name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::{PathAndQuery, Scheme};
use tonic::transport::{ClientTlsConfig, Endpoint, Identity};

use crate::client::ClientTls;
use crate::error::{Error, Result};
use crate::files::{CertificateFiles, authorities};
use crate::provider::provider;
use crate::reread::Reread;
use crate::server::ServerTls;

/// The name in the certificates of a cluster's processes. It is not a host.
pub const CLUSTER_NAME: &str = "cluster.bergmill.internal";

/// How long a server may take to set up a connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes and accepts the connections between the processes of a cluster. Clones share the certificates.
#[derive(Debug, Clone)]
pub struct ClusterTls {
    members: Arc<Members>,
    server: ServerTls,
    client: ClientTls,
}

impl ClusterTls {
    /// Trusts the authorities in the file `ca`, and proves by the certificate of `own` that this process is a member.
    /// When the files change, connections that begin later use the new ones; while they are not valid, those before.
    ///
    /// # Errors
    /// If the files cannot be read or do not belong together, or other members would not accept the certificate.
    pub fn open(ca: PathBuf, own: CertificateFiles) -> Result<Self> {
        let mut files = own.paths();
        files.push(ca.clone());
        let members = Arc::new(Members(Reread::open(files, move || Membership::read(&ca, &own))?));
        let server = ServerTls::demanding(Arc::clone(&members) as _, Arc::clone(&members) as _)?;
        let client = ClientTls::proving(Arc::clone(&members) as _, Arc::clone(&members) as _)?;
        Ok(Self { members, server, client })
    }

    /// Accepts connections of members.
    pub fn server(&self) -> ServerTls {
        self.server.clone()
    }

    /// Connects to members. The host that it is given is not verified.
    pub fn client(&self) -> ClientTls {
        self.client.clone()
    }

    /// The member at `uri`, for code that cannot use [`client`](Self::client): it always connects with the certificates
    /// of now.
    ///
    /// # Errors
    /// If `uri` has no host.
    pub fn endpoint(&self, uri: &Uri) -> Result<Endpoint> {
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.path_and_query = parts.path_and_query.or(Some(PathAndQuery::from_static("/")));
        let over_tls = Uri::from_parts(parts).map_err(|e| Error::invalid(format!("{uri}: {e}")))?;
        let identity = self.members.0.current().identity.clone();
        let tls = ClientTlsConfig::new().identity(identity).domain_name(CLUSTER_NAME).timeout(HANDSHAKE_TIMEOUT);
        let endpoint = Endpoint::from(over_tls).tls_config_with_verifier(tls, Arc::clone(&self.members) as _);
        endpoint.map_err(|e| Error::invalid(format!("{uri}: {e}")))
    }
}

/// What proves that a process is a member, and which others are.
struct Membership {
    key: Arc<CertifiedKey>,
    /// The same, for tonic.
    identity: Identity,
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<WebPkiServerVerifier>,
}

impl Membership {
    fn read(ca: &Path, own: &CertificateFiles) -> Result<Self> {
        let key = Arc::new(own.read()?);
        let [certificate, private] = own.read_pem()?;
        let roots: Arc<RootCertStore> = Arc::new(authorities(ca)?);
        let invalid = |e: &dyn std::fmt::Display| Error::invalid(format!("{}: {e}", ca.display()));
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider()).build();
        let servers = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
        let read = Self {
            identity: Identity::from_pem(certificate, private),
            key,
            clients: clients.map_err(|e| invalid(&e))?,
            servers: servers.map_err(|e| invalid(&e))?,
        };
        read.check().map_err(|e| {
            let certificate = own.certificate.display();
            Error::invalid(format!(
                "{certificate} does not make this process a member of the cluster of {}: {e}; `bergmill certs` makes a \
                 cluster.pem that does",
                ca.display()
            ))
        })?;
        Ok(read)
    }

    /// Checks the own certificate as others do.
    fn check(&self) -> std::result::Result<(), rustls::Error> {
        let (own, chain) = self.key.cert.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        self.verify_client(own, chain, UnixTime::now())?;
        self.verify_server(own, chain, &[], UnixTime::now())
    }

    fn verify_client(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> std::result::Result<(), rustls::Error> {
        self.clients.verify_client_cert(certificate, chain, now)?;
        verify_server_name(&ParsedCertificate::try_from(certificate)?, &cluster_name()?)
    }

    fn verify_server(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<(), rustls::Error> {
        self.servers.verify_server_cert(certificate, chain, &cluster_name()?, ocsp, now).map(drop)
    }
}

fn cluster_name() -> std::result::Result<ServerName<'static>, rustls::Error> {
    ServerName::try_from(CLUSTER_NAME).map_err(|e| rustls::Error::General(e.to_string()))
}

/// The membership that files prove, as rustls asks for it at each connection.
#[derive(Debug)]
struct Members(Reread<Membership>);

impl ResolvesServerCert for Members {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current().key))
    }
}

impl ResolvesClientCert for Members {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current().key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The methods by which both verifiers check signatures.
macro_rules! verifies_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ClientCertVerifier for Members {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A hint for clients that choose among certificates; ours have one.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        self.0.current().verify_client(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    verifies_signatures!();
}

impl ServerCertVerifier for Members {
    /// The name by which the server was reached does not matter.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        self.0.current().verify_server(end_entity, intermediates, ocsp_response, now)?;
        Ok(ServerCertVerified::assertion())
    }

    verifies_signatures!();
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::authority::{self, Request};
    use crate::reread::CHECK_INTERVAL;

    fn request() -> Request {
        Request {
            server_names: vec!["localhost".to_string()],
            cluster: true,
            clients: vec!["ada".to_string()],
            ..Request::default()
        }
    }

    fn files(folder: &Path, name: &str) -> CertificateFiles {
        CertificateFiles { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) }
    }

    fn open(folder: &Path, name: &str) -> Result<ClusterTls> {
        ClusterTls::open(folder.join("ca.pem"), files(folder, name))
    }

    /// What client and server report of a connection between them.
    async fn connected(client: &ClusterTls, server: &ClusterTls) -> [std::result::Result<(), String>; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = server.server();
        let answered = tokio::spawn(async move {
            let tcp = listener.accept().await.unwrap().0;
            let mut stream = server.accept(tcp).await?;
            stream.write_all(b"ok").await
        });
        let asked = async {
            let tcp = TcpStream::connect(address).await?;
            let mut stream = client.client().connect("anywhere", tcp).await?;
            stream.read_exact(&mut [0; 2]).await.map(drop)
        };
        let text = |e: std::io::Error| e.to_string();
        [asked.await.map_err(text), answered.await.unwrap().map_err(text)]
    }

    #[tokio::test]
    async fn members_of_one_authority_connect_and_others_do_not() {
        let (ours, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&ours, &foreign] {
            authority::make(folder.path(), &request()).unwrap();
        }
        let (member, stranger) = (open(ours.path(), "cluster").unwrap(), open(foreign.path(), "cluster").unwrap());
        assert_eq!(connected(&member, &member).await, [Ok(()), Ok(())]);
        let [client, server] = connected(&stranger, &member).await;
        assert!(client.unwrap_err().contains("--cluster-ca"));
        assert!(server.unwrap_err().contains("does not accept our certificate"));
    }

    #[test]
    fn only_a_certificate_of_the_cluster_makes_a_member() {
        let (ours, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&ours, &foreign] {
            authority::make(folder.path(), &request()).unwrap();
        }
        let check = |ca: &Path, own: CertificateFiles, expected: &str| {
            let error = ClusterTls::open(ca.join("ca.pem"), own).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let [ours, foreign] = [ours.path(), foreign.path()];
        check(ours, files(ours, "server"), "server.pem does not make this process a member");
        check(ours, files(ours, "ada"), "ada.pem does not make this process a member");
        check(ours, files(foreign, "cluster"), "cluster.pem does not make this process a member");
        check(ours, CertificateFiles { key: ours.join("ada.key"), ..files(ours, "cluster") }, "is not the key of");
        check(&ours.join("missing"), files(ours, "cluster"), "No such file");
    }

    #[tokio::test]
    async fn renewed_certificates_are_used_without_a_restart() {
        let (ours, next) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&ours, &next] {
            authority::make(folder.path(), &request()).unwrap();
        }
        let (running, renewed) = (open(ours.path(), "cluster").unwrap(), open(next.path(), "cluster").unwrap());
        for (n, file) in (1..).zip(["ca.pem", "cluster.pem", "cluster.key"]) {
            assert!(connected(&renewed, &running).await[0].is_err(), "{file}");
            std::fs::copy(next.path().join(file), ours.path().join(file)).unwrap();
            running.members.0.at(Instant::now() + n * CHECK_INTERVAL);
        }
        assert_eq!(connected(&renewed, &running).await, [Ok(()), Ok(())]);
        assert_eq!(connected(&running, &renewed).await, [Ok(()), Ok(())]);
    }
}
