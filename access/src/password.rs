//! Passwords: which are accepted, and their Argon2id hashes.
//!
//! A hash costs tens of milliseconds and 19 MiB by design, so hashes are computed on threads of their own, a few at a
//! time, and requests beyond a short queue are refused: otherwise a flood of logins would take the memory of the
//! process.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{self, PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;

use crate::error::{Error, ErrorKind, Result};
use crate::token::random;

/// Fewer characters can be guessed.
const MIN_CHARACTERS: usize = 8;
/// Far beyond what is typed; hashing reads all of it.
const MAX_BYTES: usize = 1024;
/// Hashes at a time.
const HASHES: usize = 2;
/// Requests that may wait for them.
const WAITING: usize = 64;

/// A password that cannot be guessed.
///
/// # Errors
/// If the system has no random numbers.
pub fn random_password() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<18>()?))
}

/// Computes and verifies hashes. Clones share the limits.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { running: Arc::new(Semaphore::new(HASHES)), admitted: Arc::new(Semaphore::new(HASHES + WAITING)) }
    }
}

impl Hasher {
    /// The hash of a new password, in the PHC format, which names its parameters.
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        let characters = password.chars().count();
        if characters < MIN_CHARACTERS || password.len() > MAX_BYTES {
            let what =
                format!("a password must have at least {MIN_CHARACTERS} characters and at most {MAX_BYTES} bytes");
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let failed = |e: password_hash::Error| Error::new(ErrorKind::Store, format!("hashing a password: {e}"));
        let salt = SaltString::encode_b64(&random::<16>()?).map_err(failed)?;
        let password = password.to_string();
        let hash = move || Ok(Argon2::default().hash_password(password.as_bytes(), &salt)?.to_string());
        self.run(hash).await?.map_err(failed)
    }

    /// Whether `password` is the one of `hash`. Without a hash it takes as long, and returns `false`.
    pub(crate) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        if password.len() > MAX_BYTES {
            return Ok(false);
        }
        let (password, known, hash) = (password.to_string(), hash.is_some(), hash.unwrap_or(NOBODY).to_string());
        let verify = move || {
            let hash = PasswordHash::new(&hash)?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        };
        let verified = self.run(verify).await?;
        let damaged =
            |e: password_hash::Error| Error::new(ErrorKind::Store, format!("a stored password hash is damaged: {e}"));
        Ok(verified.map_err(damaged)? && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let busy = || Error::new(ErrorKind::Throttled, "too many logins at the same time; try again in a second");
        let _admitted = self.admitted.try_acquire().map_err(|_| busy())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the thread: it runs to its end when the client is gone.
            let _running = running;
            work()
        });
        done.await.map_err(|e| Error::new(ErrorKind::Store, format!("hashing a password: {e}")))
    }
}

/// The hash of a password that nobody has, with the parameters of our hashes.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_verifies_its_password_only() {
        let hasher = Hasher::default();
        let hash = hasher.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hasher.hash("correct horse").await.unwrap(), "hashes are salted");
        assert!(hasher.verify("correct horse", Some(&hash)).await.unwrap());
        for wrong in ["correct hors", "correct horse ", "", &"x".repeat(MAX_BYTES + 1)] {
            assert!(!hasher.verify(wrong, Some(&hash)).await.unwrap(), "{wrong:?}");
        }
        assert!(!hasher.verify("correct horse", None).await.unwrap());
        assert_eq!(hasher.verify("x", Some("nonsense")).await.unwrap_err().kind(), ErrorKind::Store);
    }

    #[tokio::test]
    async fn short_and_endless_passwords_are_refused() {
        let hasher = Hasher::default();
        for wrong in ["", "1234567", &"x".repeat(MAX_BYTES + 1)] {
            assert_eq!(hasher.hash(wrong).await.unwrap_err().kind(), ErrorKind::Invalid);
        }
        assert!(hasher.hash("비밀번호비밀번호").await.is_ok());
    }

    #[tokio::test]
    async fn a_flood_is_refused() {
        let hasher = Hasher::default();
        let _all = hasher.admitted.clone().acquire_many_owned((HASHES + WAITING) as u32).await.unwrap();
        assert_eq!(hasher.verify("x", None).await.unwrap_err().kind(), ErrorKind::Throttled);
    }
}
