//! Users and tokens over a [`Store`].

mod grants;
mod owners;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::password::Hasher;
use crate::rights::{Granted, Rights};
use crate::store::{Kind, Store};
use crate::throttle::Throttle;
use crate::token::{self, Token};

pub use self::grants::{Held, HeldRight, Holder};

/// How long a login lasts.
const SESSION: TimeDelta = TimeDelta::hours(24);
/// How long what was read from the store is trusted. A change by another process takes effect after this time, one by
/// this process at once.
const FRESH: Duration = Duration::from_secs(2);
/// How long a verified password need not be hashed again, for clients that send it with each call.
const VERIFIED: Duration = Duration::from_secs(60);
/// Entries of each cache; beyond it, a cache is emptied.
const CACHED: usize = 10_000;
/// How often tokens that have expired are removed from the store.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);
const LONGEST_NAME: usize = 64;

/// A user that has proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Whether it may do everything, such as changing users.
    pub is_admin: bool,
    generation: String,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// The user that it stands for.
    pub user: String,
    /// Its name; `None` for the session of a login.
    pub name: Option<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it expires, if ever.
    pub expires: Option<DateTime<Utc>>,
}

/// What is kept of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    password: String,
    admin: bool,
    /// Differs from that of a dropped user of the same name. Releases that had no grants did not write it.
    #[serde(default)]
    id: String,
    /// Changes with the password, and differs from that of a dropped user of the same name: tokens are valid for one
    /// generation.
    generation: String,
    created: DateTime<Utc>,
    /// What it may do, unless it may do everything.
    #[serde(default)]
    granted: Granted,
}

/// The users of an installation. Clones share it.
#[derive(Clone)]
pub struct Access(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    hasher: Hasher,
    throttle: Throttle,
    cache: Mutex<Cache>,
    /// Makes hashes in memory useless elsewhere.
    salt: Mutex<Option<[u8; 32]>>,
}

#[derive(Default)]
struct Cache {
    has_users: Option<(bool, Instant)>,
    /// By hash of the secret.
    tokens: HashMap<String, (User, Option<DateTime<Utc>>, Instant)>,
    /// By salted hash of user and password: the password hash that was verified.
    passwords: HashMap<String, (String, Instant)>,
    /// By user.
    rights: HashMap<String, (Arc<Rights>, Instant)>,
    /// Number of changes by this process.
    changes: u64,
    cleaned: Option<Instant>,
    /// The secret of this process's own session, if it has one.
    own: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("store", &self.0.store).finish_non_exhaustive()
    }
}

impl Access {
    /// The users in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(Arc::new(Shared {
            store,
            hasher: Hasher::default(),
            throttle: Throttle::default(),
            cache: Mutex::default(),
            salt: Mutex::default(),
        }))
    }

    /// Whether there is a user.
    pub async fn has_users(&self) -> Result<bool> {
        let now = Instant::now();
        if let Some((known, at)) = self.cache(|cache| cache.has_users)
            && now.saturating_duration_since(at) < FRESH
        {
            return Ok(known);
        }
        let found = !self.0.store.list(Kind::User).await?.is_empty();
        self.cache(|cache| cache.has_users = Some((found, now)));
        Ok(found)
    }

    /// All users, sorted by name.
    pub async fn users(&self) -> Result<Vec<User>> {
        let listed = self.0.store.list(Kind::User).await?;
        listed.into_iter().map(|(name, text)| Ok(Record::parse(&name, &text)?.user(&name))).collect()
    }

    /// A user that is known by its name already, because it has proved who it is.
    pub async fn user(&self, name: &str) -> Result<User> {
        let text = self.0.store.get(Kind::User, name).await?.ok_or_else(|| no_user(name))?;
        Ok(Record::parse(name, &text)?.user(name))
    }

    /// Adds a user. The first one is an administrator in any case: otherwise nobody could change users.
    pub async fn add_user(&self, name: &str, password: &str, is_admin: bool) -> Result<()> {
        check_name("user", name)?;
        let is_first = self.0.store.list(Kind::User).await?.is_empty();
        let record = Record {
            password: self.0.hasher.hash(password).await?,
            admin: is_admin || is_first,
            id: token::new_generation()?,
            generation: token::new_generation()?,
            created: Utc::now(),
            granted: Granted::default(),
        };
        if !self.0.store.insert(Kind::User, name, &record.text()?).await? {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("user {name} already exists")));
        }
        self.forget();
        Ok(())
    }

    /// Changes a user's password, which revokes all its tokens.
    pub async fn set_password(&self, name: &str, password: &str) -> Result<()> {
        let hash = self.0.hasher.hash(password).await?;
        self.change(name, |record| {
            record.password.clone_from(&hash);
            record.generation = token::new_generation()?;
            Ok(())
        })
        .await
    }

    /// Removes a user and its tokens. The last administrator stays: without one, nobody could change users.
    pub async fn drop_user(&self, name: &str) -> Result<()> {
        let users = self.users().await?;
        let Some(user) = users.iter().find(|user| user.name == name) else { return Err(no_user(name)) };
        if user.is_admin && users.iter().filter(|user| user.is_admin).count() == 1 {
            let what = format!("{name} is the only administrator; make another one first");
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let removed = self.0.store.remove(Kind::User, name).await?;
        self.forget();
        if removed { Ok(()) } else { Err(no_user(name)) }
    }

    /// The user of a name and a password.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`] if there is no such pair, and [`ErrorKind::Throttled`] after too many of these
    /// errors for the user at the address `from`, or at that address.
    pub async fn log_in(&self, name: &str, password: &str, from: Option<IpAddr>) -> Result<User> {
        let wait = self.0.throttle.delay(name, from, Instant::now());
        if !wait.is_zero() {
            let seconds = wait.as_secs() + 1;
            let what = format!("too many failed logins; try again in {seconds} s");
            return Err(Error::new(ErrorKind::Throttled, what));
        }
        let text = self.0.store.get(Kind::User, name).await?;
        let record = text.map(|text| Record::parse(name, &text)).transpose()?;
        let hash = record.as_ref().map(|record| record.password.as_str());
        if self.verify(name, password, hash).await?
            && let Some(record) = record
        {
            self.0.throttle.succeeded(name, from);
            return Ok(record.user(name));
        }
        self.0.throttle.failed(name, from, Instant::now());
        Err(Error::new(ErrorKind::Unauthenticated, "the user or the password is wrong"))
    }

    /// Begins a session of a user: its secret, which is a token that expires after a day.
    pub async fn open_session(&self, user: &User) -> Result<String> {
        self.remove_invalid_tokens().await?;
        self.issue(user, None, Some(Utc::now() + SESSION)).await
    }

    /// Makes a token for programs, and returns its secret, which is not kept. Without `lifetime` it is valid until
    /// it is revoked.
    pub async fn create_token(&self, user: &User, name: &str, lifetime: Option<TimeDelta>) -> Result<String> {
        check_name("token", name)?;
        if self.entry(user, name).await?.is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("token {name} already exists")));
        }
        let expires = match lifetime.map(|lifetime| Utc::now().checked_add_signed(lifetime)) {
            Some(None) => return Err(Error::new(ErrorKind::Invalid, "no token can live that long")),
            Some(expires) => expires,
            None => None,
        };
        self.issue(user, Some(name.to_string()), expires).await
    }

    /// Makes a token invalid.
    pub async fn revoke_token(&self, user: &User, name: &str) -> Result<()> {
        let Some(hash) = self.entry(user, name).await? else {
            return Err(Error::new(ErrorKind::NotFound, format!("user {} has no token {name}", user.name)));
        };
        self.0.store.remove(Kind::Token, &hash).await?;
        self.forget();
        Ok(())
    }

    /// The valid tokens, without their secrets, sorted by user and name.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>> {
        let valid = self.valid_tokens().await?.0.into_iter();
        let mut all: Vec<_> = valid
            .map(|(_, Token { user, name, created, expires, .. })| TokenInfo { user, name, created, expires })
            .collect();
        all.sort_by(|a, b| (&a.user, &a.name, a.created).cmp(&(&b.user, &b.name, b.created)));
        Ok(all)
    }

    /// The user that a token stands for.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`] if the token is unknown, has expired or is revoked.
    pub async fn user_of_token(&self, secret: &str) -> Result<User> {
        let (hash, now) = (token::hash(secret), Instant::now());
        let known = self.cache(|cache| {
            let own = cache.own.as_ref().filter(|own| **own == hash).map(|_| User::of_process());
            own.or_else(|| {
                let (user, expires, at) = cache.tokens.get(&hash)?;
                let is_fresh = now.saturating_duration_since(*at) < FRESH;
                (is_fresh && expires.is_none_or(|expires| Utc::now() < expires)).then(|| user.clone())
            })
        });
        if let Some(user) = known {
            return Ok(user);
        }
        let invalid = || Error::new(ErrorKind::Unauthenticated, "the token is not valid or has expired; log in again");
        let token = self.0.store.get(Kind::Token, &hash).await?.ok_or_else(invalid)?;
        let token = parse_token(&token)?;
        let record = self.0.store.get(Kind::User, &token.user).await?.ok_or_else(invalid)?;
        let record = Record::parse(&token.user, &record)?;
        if token.is_expired(Utc::now()) || record.generation != token.generation {
            return Err(invalid());
        }
        let user = record.user(&token.user);
        self.cache(|cache| bounded(&mut cache.tokens).insert(hash, (user.clone(), token.expires, now)));
        Ok(user)
    }

    /// The secret of a session of this process, which may do everything and is kept nowhere: for a process that serves
    /// its own user, who can read the store anyway.
    pub fn own_session(&self) -> Result<String> {
        let secret = token::new_secret()?;
        self.cache(|cache| cache.own = Some(token::hash(&secret)));
        Ok(secret)
    }

    async fn issue(&self, user: &User, name: Option<String>, expires: Option<DateTime<Utc>>) -> Result<String> {
        let secret = token::new_secret()?;
        let (user, generation) = (user.name.clone(), user.generation.clone());
        let token = Token { user, generation, name, created: Utc::now(), expires };
        let text = serde_json::to_string(&token).map_err(|e| Error::new(ErrorKind::Store, e.to_string()))?;
        self.0.store.insert(Kind::Token, &token::hash(&secret), &text).await?;
        Ok(secret)
    }

    /// The key of a user's token.
    async fn entry(&self, user: &User, name: &str) -> Result<Option<String>> {
        let mut valid = self.valid_tokens().await?.0.into_iter();
        let found = valid.find(|(_, token)| token.user == user.name && token.name.as_deref() == Some(name));
        Ok(found.map(|(hash, _)| hash))
    }

    /// The tokens that are valid, and the keys of those that will never be again.
    async fn valid_tokens(&self) -> Result<(Vec<(String, Token)>, Vec<String>)> {
        let (users, now) = (self.users().await?, Utc::now());
        let (mut valid, mut invalid) = (Vec::new(), Vec::new());
        for (hash, text) in self.0.store.list(Kind::Token).await? {
            let token = parse_token(&text)?;
            let has_user = users.iter().any(|user| user.name == token.user && user.generation == token.generation);
            match has_user && !token.is_expired(now) {
                true => valid.push((hash, token)),
                false => invalid.push(hash),
            }
        }
        Ok((valid, invalid))
    }

    async fn remove_invalid_tokens(&self) -> Result<()> {
        let now = Instant::now();
        let is_due = self.cache(|cache| {
            let is_due = cache.cleaned.is_none_or(|at| now.saturating_duration_since(at) > CLEANUP_INTERVAL);
            if is_due {
                cache.cleaned = Some(now);
            }
            is_due
        });
        if is_due {
            for hash in self.valid_tokens().await?.1 {
                self.0.store.remove(Kind::Token, &hash).await?;
            }
        }
        Ok(())
    }

    /// Whether `password` is the one of `hash`. One that was right a moment ago is not hashed again.
    async fn verify(&self, name: &str, password: &str, hash: Option<&str>) -> Result<bool> {
        let now = Instant::now();
        // Neither a name nor a salt has a NUL.
        let key = token::hash(&format!("{}\0{name}\0{password}", self.salt()?));
        let verified = self.cache(|cache| cache.passwords.get(&key).cloned());
        if let Some((verified, at)) = verified
            && hash == Some(verified.as_str())
            && now.saturating_duration_since(at) < VERIFIED
        {
            return Ok(true);
        }
        let is_right = self.0.hasher.verify(password, hash).await?;
        if let Some(hash) = hash.filter(|_| is_right) {
            self.cache(|cache| bounded(&mut cache.passwords).insert(key, (hash.to_string(), now)));
        }
        Ok(is_right)
    }

    fn salt(&self) -> Result<String> {
        let mut salt = self.0.salt.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match *salt {
            Some(bytes) => bytes,
            None => *salt.insert(token::random()?),
        };
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Changes a user, again if another process has changed it meanwhile.
    async fn change(&self, name: &str, change: impl Fn(&mut Record) -> Result<()>) -> Result<()> {
        loop {
            let old = self.0.store.get(Kind::User, name).await?.ok_or_else(|| no_user(name))?;
            let mut record = Record::parse(name, &old)?;
            change(&mut record)?;
            if self.0.store.replace(Kind::User, name, &old, &record.text()?).await? {
                self.forget();
                return Ok(());
            }
        }
    }

    /// Forgets what was read from the store.
    fn forget(&self) {
        self.cache(|cache| {
            cache.has_users = None;
            cache.tokens.clear();
            cache.passwords.clear();
            cache.rights.clear();
            cache.changes += 1;
        });
    }

    fn cache<T>(&self, with: impl FnOnce(&mut Cache) -> T) -> T {
        with(&mut self.0.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl User {
    /// The owner of this process.
    fn of_process() -> Self {
        // Not a name that `check_name` admits.
        Self { name: "(this process)".to_string(), is_admin: true, generation: String::new() }
    }
}

impl Record {
    fn parse(name: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|e| Error::new(ErrorKind::Store, format!("the entry of user {name} is damaged: {e}")))
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::new(ErrorKind::Store, e.to_string()))
    }

    fn user(&self, name: &str) -> User {
        User { name: name.to_string(), is_admin: self.admin, generation: self.generation.clone() }
    }
}

fn parse_token(text: &str) -> Result<Token> {
    serde_json::from_str(text)
        .map_err(|e| Error::new(ErrorKind::Store, format!("the entry of a token is damaged: {e}")))
}

fn bounded<K, V>(cache: &mut HashMap<K, V>) -> &mut HashMap<K, V> {
    if cache.len() >= CACHED {
        cache.clear();
    }
    cache
}

/// Names stand in headers before a colon, and in SQL.
fn check_name(what: &str, name: &str) -> Result<()> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '+');
    if name.is_empty() || name.chars().count() > LONGEST_NAME || !name.chars().all(plain) {
        let what = format!(
            "{name:?} cannot be the name of a {what}: use at most {LONGEST_NAME} letters, digits, '_', '-', '.', '@' and '+'"
        );
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    Ok(())
}

fn no_user(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("user {name} not found"))
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
