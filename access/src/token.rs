//! Tokens: random secrets that stand for a user, kept as hashes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// Starts every secret, so that a leaked one is recognized where it lies.
const PREFIX: &str = "bergmill_";
/// Random bytes of a secret: it cannot be guessed, so a fast hash suffices.
const SECRET_BYTES: usize = 32;

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub user: String,
    /// The generation of the user that it was made for.
    pub generation: String,
    /// `None` for the session of a login.
    pub name: Option<String>,
    pub created: DateTime<Utc>,
    /// `None` if it is valid until it is revoked.
    pub expires: Option<DateTime<Utc>>,
}

impl Token {
    pub(crate) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// A new secret, which is shown once.
pub(crate) fn new_secret() -> Result<String> {
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?)))
}

/// The name under which a token is kept: the hash of its secret. Finding an entry by it reveals nothing by its time,
/// because an attacker cannot choose hashes.
pub(crate) fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// A name that no other has.
pub(crate) fn new_generation() -> Result<String> {
    Ok(hex(&random::<16>()?))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|e| Error::new(ErrorKind::Store, format!("the system has no random numbers: {e}")))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_kept_as_hashes() {
        let (a, b) = (new_secret().unwrap(), new_secret().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), PREFIX.len() + 43);
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
