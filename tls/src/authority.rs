//! An authority in a folder, which issues certificates for the processes of one installation.
//!
//! | file | content |
//! |---|---|
//! | `ca.pem`, `ca.key` | the authority; clients get `ca.pem`, and `ca.key` is needed only to issue certificates |
//! | `server.pem`, `server.key` | the front door's certificate |
//! | `cluster.pem`, `cluster.key` | the certificate of the cluster's processes, by which they admit each other |
//! | `NAME.pem`, `NAME.key` | the certificate of a client |
//!
//! Keys can be read by their owner only, from the moment their files exist. Files are replaced whole.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate, Utc};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;

use crate::cluster::CLUSTER_NAME;
use crate::error::{Error, Result};
use crate::files::authorities;
use crate::provider::provider;

/// How long an authority is valid. It is replaced by removing its files.
const AUTHORITY_DAYS: u64 = 3650;
/// The subject of every authority. A constant, so that certificates can be issued from `ca.key` alone.
const AUTHORITY: &str = "Bergmill certificate authority";
/// Names of certificates that have a purpose of their own.
const RESERVED: [&str; 3] = ["ca", "cluster", "server"];

/// Which certificates to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Host names and addresses at which clients reach the server; without any, no server certificate is made.
    pub server_names: Vec<String>,
    /// Whether the cluster's processes get a certificate.
    pub cluster: bool,
    /// Names of clients that get a certificate, which does not make them processes of the cluster.
    pub clients: Vec<String>,
    /// How long the certificates are valid.
    pub days: u64,
    /// Whether existing certificates are replaced; otherwise they are an error. The authority is never replaced.
    pub replace: bool,
}

impl Default for Request {
    /// No certificate yet, valid for a year.
    fn default() -> Self {
        Self { server_names: Vec::new(), cluster: false, clients: Vec::new(), days: 365, replace: false }
    }
}

/// Makes the requested certificates in `folder`, and their authority if it has none. Returns the files written.
///
/// # Errors
/// If one of the files exists already and is not to be replaced, or a name cannot be in a certificate: nothing is
/// written then.
pub fn make(folder: &Path, request: &Request) -> Result<Vec<PathBuf>> {
    request.check(folder)?;
    fs::create_dir_all(folder).map_err(|e| Error::file(folder, &e))?;
    let mut written = Vec::new();
    let authority = Authority::open(folder, &mut written)?;
    if !request.server_names.is_empty() {
        let leaf = Leaf { name: "server", hosts: &request.server_names, usages: &[ServerAuth] };
        written.extend(authority.issue(folder, &leaf, request)?);
    }
    if request.cluster {
        let name = [CLUSTER_NAME.to_string()];
        let leaf = Leaf { name: "cluster", hosts: &name, usages: &[ServerAuth, ClientAuth] };
        written.extend(authority.issue(folder, &leaf, request)?);
    }
    for name in &request.clients {
        let leaf = Leaf { name, hosts: &[], usages: &[ClientAuth] };
        written.extend(authority.issue(folder, &leaf, request)?);
    }
    Ok(written)
}

impl Request {
    fn check(&self, folder: &Path) -> Result<()> {
        if let Some(wrong) = self.server_names.iter().find(|name| !is_host(name)) {
            return Err(Error::invalid(format!("{wrong:?} is not a host name or an IP address")));
        }
        if self.server_names.iter().any(|name| name.eq_ignore_ascii_case(CLUSTER_NAME)) {
            return Err(Error::invalid(format!("the name {CLUSTER_NAME} is reserved for the cluster's processes")));
        }
        let is_name = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) && !RESERVED.contains(&name)
        };
        if let Some(wrong) = self.clients.iter().find(|name| !is_name(name)) {
            return Err(Error::invalid(format!(
                "{wrong:?} cannot be the name of a certificate: use letters, digits, '-', '_' and '.', and not {}",
                RESERVED.join(" or ")
            )));
        }
        let server = (!self.server_names.is_empty()).then_some("server");
        let cluster = self.cluster.then_some("cluster");
        let names = server.into_iter().chain(cluster).chain(self.clients.iter().map(String::as_str));
        let files = names.flat_map(|name| [certificate_file(folder, name), key_file(folder, name)]);
        match files.into_iter().find(|path| !self.replace && path.exists()) {
            Some(path) => Err(Error::exists(format!("{} exists already; --force replaces it", path.display()))),
            None => Ok(()),
        }
    }
}

fn is_host(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    ServerName::try_from(host).is_ok()
}

fn certificate_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}

fn key_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.key"))
}

/// A certificate that cannot issue others.
struct Leaf<'a> {
    name: &'a str,
    hosts: &'a [String],
    usages: &'a [ExtendedKeyUsagePurpose],
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
}

impl Authority {
    /// The authority of the folder, which is made if its files are not there, and added to `written`.
    fn open(folder: &Path, written: &mut Vec<PathBuf>) -> Result<Self> {
        let (certificate, key) = (certificate_file(folder, "ca"), key_file(folder, "ca"));
        let pair = match fs::read_to_string(&key) {
            Ok(pem) => KeyPair::from_pem(&pem)
                .map_err(|e| Error::invalid(format!("{} holds no private key in PEM format: {e}", key.display())))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !certificate.exists() => {
                let pair = KeyPair::generate().map_err(|e| cannot_make("ca", &e))?;
                let made = Self::params().self_signed(&pair).map_err(|e| cannot_make("ca", &e))?;
                write(&key, &pair.serialize_pem(), KEY_MODE, false)?;
                write(&certificate, &made.pem(), CERTIFICATE_MODE, false)?;
                written.extend([certificate.clone(), key]);
                pair
            }
            Err(e) => return Err(Error::file(&key, &e)),
        };
        Ok(Self { issuer: Issuer::new(Self::params(), pair), roots: Arc::new(authorities(&certificate)?) })
    }

    fn params() -> CertificateParams {
        let mut params = params(AUTHORITY, AUTHORITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// Makes a certificate, checks it as a peer would, and writes it.
    fn issue(&self, folder: &Path, leaf: &Leaf, request: &Request) -> Result<[PathBuf; 2]> {
        let failed = |e| cannot_make(leaf.name, &e);
        let mut params = params(leaf.name, request.days);
        params.subject_alt_names = CertificateParams::new(leaf.hosts.to_vec()).map_err(failed)?.subject_alt_names;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = leaf.usages.to_vec();
        let pair = KeyPair::generate().map_err(failed)?;
        let made = params.signed_by(&pair, &self.issuer).map_err(failed)?;
        self.check(made.der(), leaf, folder)?;
        let (certificate, key) = (certificate_file(folder, leaf.name), key_file(folder, leaf.name));
        write(&key, &pair.serialize_pem(), KEY_MODE, request.replace)?;
        write(&certificate, &made.pem(), CERTIFICATE_MODE, request.replace)?;
        Ok([certificate, key])
    }

    /// A `ca.pem` that was not made here, or is not the certificate of `ca.key`, cannot be the issuer.
    fn check(&self, certificate: &CertificateDer<'_>, leaf: &Leaf, folder: &Path) -> Result<()> {
        let accepted = match leaf.hosts.first() {
            Some(host) => self.verify_server(certificate, host),
            None => self.verify_client(certificate),
        };
        accepted.map_err(|e| {
            let [ca, key] = [certificate_file(folder, "ca"), key_file(folder, "ca")];
            let (ca, key) = (ca.display(), key.display());
            Error::invalid(format!("{ca} and {key} cannot issue certificates: {e}; make others in a new folder"))
        })
    }

    fn verify_server(&self, certificate: &CertificateDer<'_>, host: &str) -> std::result::Result<(), String> {
        let host = host.strip_prefix("*.").map_or_else(|| host.to_string(), |domain| format!("any.{domain}"));
        let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), provider()).build();
        let verifier = verifier.map_err(|e| e.to_string())?;
        let verified = verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now());
        verified.map(drop).map_err(|e| e.to_string())
    }

    fn verify_client(&self, certificate: &CertificateDer<'_>) -> std::result::Result<(), String> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), provider()).build();
        let verifier = verifier.map_err(|e| e.to_string())?;
        verifier.verify_client_cert(certificate, &[], UnixTime::now()).map(drop).map_err(|e| e.to_string())
    }
}

/// A certificate that is valid from yesterday, since clocks differ.
fn params(name: &str, days: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let today = Utc::now().date_naive();
    let date = |date: Option<NaiveDate>| {
        let date = date.unwrap_or(today);
        date_time_ymd(date.year(), date.month() as u8, date.day() as u8)
    };
    params.not_before = date(today.checked_sub_days(Days::new(1)));
    // Later years cannot be written in a certificate.
    params.not_after = date(today.checked_add_days(Days::new(days)).filter(|end| end.year() < 9999));
    params
}

const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// Writes a file with these permissions, whole or not at all.
fn write(path: &Path, text: &str, mode: u32, replace: bool) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |e: &std::io::Error| Error::file(path, e);
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(|e| failed(&e))?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(|e| failed(&e))?;
    let written = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    written.map(drop).map_err(|e| failed(&e.error))
}

fn cannot_make(name: &str, error: &rcgen::Error) -> Error {
    Error::invalid(format!("cannot make the certificate {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn request(server_names: &[&str], clients: &[&str]) -> Request {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Request { server_names: owned(server_names), clients: owned(clients), ..Request::default() }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_read_by_their_owner_only_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let written = make(folder, &request(&["localhost", "10.0.0.7", "*.example.com"], &["executor-1"])).unwrap();
        assert_eq!(written.len(), 6);
        for path in &written {
            let is_key = path.extension().unwrap() == "key";
            assert_eq!(mode(path), if is_key { 0o600 } else { 0o644 }, "{}", path.display());
        }
        let content = || written.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
        let before = content();
        for again in [request(&["localhost"], &[]), request(&[], &["executor-2", "executor-1"])] {
            let error = make(folder, &again).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            assert!(error.to_string().contains("--force"), "{error}");
        }
        assert_eq!(content(), before);
        assert!(!folder.join("executor-2.pem").exists());

        // Another certificate of the same authority, then all anew.
        assert_eq!(make(folder, &request(&[], &["executor-2"])).unwrap().len(), 2);
        let all = Request { replace: true, ..request(&["localhost"], &["executor-1"]) };
        assert_eq!(make(folder, &all).unwrap().len(), 4);
        let after = content();
        assert_eq!(before[..2], after[..2], "the authority stays");
        assert!(before[2..].iter().zip(&after[2..]).all(|(old, new)| old != new));
        assert_eq!(mode(&folder.join("server.key")), 0o600);
    }

    #[test]
    fn names_that_cannot_be_in_a_certificate_are_refused() {
        let check = |request: &Request, expected: &str| {
            let folder = tempfile::tempdir().unwrap();
            let error = make(folder.path(), request).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        };
        check(&request(&["localhost", "a b"], &[]), "\"a b\" is not a host name");
        check(&request(&[""], &[]), "\"\" is not a host name");
        check(&request(&[], &["../x"]), "\"../x\" cannot be the name");
        check(&request(&[], &["ca"]), "\"ca\" cannot be the name");
        check(&request(&[], &["cluster"]), "\"cluster\" cannot be the name");
        check(&request(&["Cluster.Bergmill.Internal"], &[]), "is reserved for the cluster's processes");
    }

    #[test]
    fn an_authority_that_does_not_match_its_key_issues_nothing() {
        let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&ours, &other] {
            make(folder.path(), &request(&[], &["x"])).unwrap();
        }
        fs::copy(other.path().join("ca.pem"), ours.path().join("ca.pem")).unwrap();
        for wanted in [request(&["localhost"], &[]), request(&[], &["y"])] {
            let error = make(ours.path(), &wanted).unwrap_err().to_string();
            assert!(error.contains("cannot issue certificates"), "{error}");
        }
        assert!(!ours.path().join("server.pem").exists() && !ours.path().join("y.pem").exists());
        fs::remove_file(ours.path().join("ca.key")).unwrap();
        let error = make(ours.path(), &request(&["localhost"], &[])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::File, "{error}");
    }
}
