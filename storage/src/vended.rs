//! Vended credentials: a REST catalog lends, for one table's files and for a while, what opens them.
//!
//! [`TableCredentials`] keeps those of one table: they are asked for when they are first needed and again ahead of
//! their end, once, however many requests need them at that moment. Nothing here is part of a plan: a plan has the
//! table's [`VendedTable`], and each process asks the catalog itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use crate::config::S3Keys;
use crate::error::{Error, ErrorKind, Result};

/// Credentials are renewed so long before they expire, or after half of their time if that is later: Iceberg's
/// `VendedCredentialsProvider` has the same five minutes.
const RENEW_AHEAD: Duration = Duration::from_secs(300);
/// The life of credentials whose server does not tell it: the shortest that AWS gives any (AssumeRole,
/// `DurationSeconds`).
const UNTOLD_LIFE: Duration = Duration::from_secs(900);
/// A renewal that failed is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Stands between the parts of a table's identity in an address. What is between is encoded and has none of it.
const SEPARATOR: char = '~';

/// The table that credentials are for: its name, by which the catalog is asked, and its UUID, since another table may
/// come to have the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendedTable {
    /// The levels of its namespace, outermost first.
    pub namespace: Vec<String>,
    /// Its name in the namespace.
    pub name: String,
    /// Iceberg's `table-uuid`.
    pub uuid: Uuid,
}

impl VendedTable {
    /// The table `name` of a namespace, as far as it is the one of that UUID.
    pub fn new(namespace: &[String], name: &str, uuid: Uuid) -> Self {
        Self { namespace: namespace.to_vec(), name: name.to_string(), uuid }
    }

    /// Its name for people: `raw.events`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.namespace.join("."), self.name)
    }

    /// What [`fmt::Display`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let decoded = |part: &str| {
            let pair = format!("{part}=");
            url::form_urlencoded::parse(pair.as_bytes()).next().map(|(part, _)| part.into_owned())
        };
        let mut parts: Vec<String> = text.split(SEPARATOR).map(decoded).collect::<Option<_>>()?;
        let uuid = parts.pop()?.parse().ok()?;
        let name = parts.pop()?;
        (!parts.is_empty()).then_some(Self { namespace: parts, name, uuid })
    }
}

/// As the user of an object store's address, such as `raw~events~<uuid>` in `s3://raw~events~<uuid>@bucket`. No
/// character of it means anything to a URL.
impl fmt::Display for VendedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.namespace.iter().chain([&self.name]) {
            write!(f, "{}{SEPARATOR}", byte_serialize(part.as_bytes()).collect::<String>())?;
        }
        write!(f, "{}", self.uuid)
    }
}

/// Who lends credentials: a REST catalog.
#[async_trait]
pub trait CredentialVendor: fmt::Debug + Send + Sync {
    /// What opens the files of a table now.
    async fn vend(&self, table: &VendedTable) -> Result<VendedCredentials>;
}

/// What opens the files of a table, and how they are reached.
#[derive(Debug, Clone)]
pub struct VendedCredentials {
    /// For files whose location begins so; the longest of several prefixes counts.
    pub by_prefix: Vec<PrefixCredentials>,
    /// When they were asked for.
    pub asked_at: SystemTime,
}

/// What opens the files below a prefix. What is not told is as the process's own settings say.
#[derive(Debug, Clone)]
pub struct PrefixCredentials {
    /// Such as `s3://bucket/raw/events`; empty for all files.
    pub prefix: String,
    /// Lent for a while.
    pub keys: S3Keys,
    /// When they end, if that was told.
    pub expires_at: Option<SystemTime>,
    /// The service's address.
    pub endpoint: Option<String>,
    /// The region to sign for.
    pub region: Option<String>,
    /// Whether the bucket is part of the path.
    pub path_style: Option<bool>,
}

impl VendedCredentials {
    /// Those for the object of that location, which begins with `s3://`.
    pub(crate) fn for_location(&self, location: &str) -> Option<&PrefixCredentials> {
        let fits = |one: &&PrefixCredentials| match one.prefix.strip_prefix("s3a://") {
            Some(prefix) => location.strip_prefix("s3://").is_some_and(|location| location.starts_with(prefix)),
            None => location.starts_with(&one.prefix),
        };
        self.by_prefix.iter().filter(fits).max_by_key(|one| one.prefix.len())
    }

    /// When the first of them ends; `None` if that is not known.
    fn expires_at(&self) -> Option<SystemTime> {
        self.by_prefix.iter().filter_map(|one| one.expires_at).min()
    }

    fn renew_at(&self) -> SystemTime {
        let end = self.expires_at().unwrap_or(self.asked_at + UNTOLD_LIFE);
        let life = end.duration_since(self.asked_at).unwrap_or_default();
        self.asked_at + life.saturating_sub(RENEW_AHEAD).max(life / 2)
    }

    fn have_expired(&self, now: SystemTime) -> bool {
        self.expires_at().is_some_and(|end| end <= now)
    }
}

/// The credentials of one table, as fresh as they must be.
#[derive(Debug)]
pub(crate) struct TableCredentials {
    table: VendedTable,
    vendor: Arc<dyn CredentialVendor>,
    known: Mutex<Option<Known>>,
    /// Held by the one who asks.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone)]
struct Known {
    credentials: Arc<VendedCredentials>,
    renew_at: SystemTime,
}

impl TableCredentials {
    pub(crate) fn new(table: VendedTable, vendor: Arc<dyn CredentialVendor>) -> Self {
        Self { table, vendor, known: Mutex::default(), asking: Arc::default() }
    }

    pub(crate) fn table(&self) -> &VendedTable {
        &self.table
    }

    /// Takes credentials that came unasked, as those that come with a table.
    pub(crate) fn put(&self, credentials: VendedCredentials) {
        let renew_at = credentials.renew_at();
        *self.lock() = Some(Known { credentials: Arc::new(credentials), renew_at });
    }

    /// Credentials that have not expired. Who needs them ahead of their end does not wait for new ones.
    pub(crate) async fn get(self: &Arc<Self>) -> Result<Arc<VendedCredentials>> {
        if let Some(known) = self.still_good() {
            if known.renew_at <= SystemTime::now() {
                self.renew_ahead(&known);
            }
            return Ok(known.credentials);
        }
        let _asking = self.asking.lock().await;
        match self.still_good() {
            // Another has asked meanwhile.
            Some(known) => Ok(known.credentials),
            None => self.ask().await,
        }
    }

    /// Asks for new ones in the background, unless another does or has done so.
    fn renew_ahead(self: &Arc<Self>, due: &Known) {
        let Ok(asking) = Arc::clone(&self.asking).try_lock_owned() else { return };
        let is_due = self.lock().as_ref().is_some_and(|known| known.renew_at == due.renew_at);
        if !is_due {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(e) = this.ask().await {
                tracing::warn!("{e}; those that are there are used until they expire");
                this.try_again_later();
            }
            drop(asking);
        });
    }

    fn try_again_later(&self) {
        let mut known = self.lock();
        if let Some(known) = known.as_mut() {
            known.renew_at = SystemTime::now() + TRY_AGAIN;
        }
    }

    async fn ask(&self) -> Result<Arc<VendedCredentials>> {
        let asked = self.vendor.vend(&self.table).await;
        let told = asked.map_err(|e| {
            e.context(format_args!("asking for the credentials of the files of table {}", self.table.full_name()))
        })?;
        tracing::debug!(table = self.table.full_name(), "the catalog has lent credentials");
        if told.have_expired(SystemTime::now()) {
            let what = format!(
                "the credentials that the catalog lends for the files of table {} have expired already; compare the clocks",
                self.table.full_name()
            );
            return Err(Error::new(ErrorKind::Unavailable, what));
        }
        let (renew_at, credentials) = (told.renew_at(), Arc::new(told));
        *self.lock() = Some(Known { credentials: Arc::clone(&credentials), renew_at });
        Ok(credentials)
    }

    fn still_good(&self) -> Option<Known> {
        self.lock().clone().filter(|known| !known.credentials.have_expired(SystemTime::now()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "vended_tests.rs"]
mod tests;
