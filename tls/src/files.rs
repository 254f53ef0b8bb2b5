//! Certificates and keys in PEM files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::error::{Error, Result};
use crate::provider::provider;

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// The certificate and its key.
    ///
    /// # Errors
    /// If a file is missing or holds something else, or the key belongs to another certificate.
    pub(crate) fn read(&self) -> Result<CertifiedKey> {
        let chain = certificates(&self.certificate)?;
        let pem = read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|e| Error::invalid(format!("{} holds no private key in PEM format: {e}", self.key.display())))?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|e| {
            let (key, certificate) = (self.key.display(), self.certificate.display());
            Error::invalid(format!("{key} is not the key of {certificate}: {e}"))
        })
    }

    /// The content of both files, in PEM format.
    pub(crate) fn read_pem(&self) -> Result<[Vec<u8>; 2]> {
        Ok([read(&self.certificate)?, read(&self.key)?])
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
    }
}

/// What changes when a file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileVersion {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileVersion {
    /// Follows links: certificates are often renewed by moving one.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let found = fs::metadata(path).map_err(|e| Error::file(path, &e))?;
        Ok(Self { inode: found.ino(), bytes: found.size(), modified: (found.mtime(), found.mtime_nsec()) })
    }
}

/// The certificates of a file, of which there must be one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|e| Error::invalid(format!("{} is not in PEM format: {e}", path.display())))?;
    if all.is_empty() {
        return Err(Error::invalid(format!("{} holds no certificate in PEM format", path.display())));
    }
    Ok(all)
}

/// The authorities of a file.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::file(path, &e))
}
