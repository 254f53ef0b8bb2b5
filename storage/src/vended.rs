//! Vended credentials: temporary credentials that a REST catalog issues for the files of one table.
//!
//! [`TableCredentials`] keeps those of one table: they are requested when they are first needed and again before they
//! expire, once, however many requests need them at that moment. Nothing here is part of a plan: a plan has the table's
//! [`VendedTable`], and each process asks the catalog itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use crate::config::S3Keys;
use crate::error::{Error, ErrorKind, Result};

/// Credentials are renewed this long before they expire, or after half their life if that is later: Iceberg's
/// `VendedCredentialsProvider` has the same five minutes.
const RENEW_AHEAD: Duration = Duration::from_secs(300);
/// The assumed life of credentials whose server does not report it: the shortest that AWS allows (AssumeRole,
/// `DurationSeconds`).
const DEFAULT_LIFE: Duration = Duration::from_secs(900);
/// A failed renewal is retried after this.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Separates the parts of a table's identity in an address. The parts are encoded and do not contain it.
const SEPARATOR: char = '~';

/// The table that credentials are for: its name, by which the catalog is asked, and its UUID, since another table may
/// take the name.
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
    /// The table `name` of a namespace, if it has that UUID.
    pub fn new(namespace: &[String], name: &str, uuid: Uuid) -> Self {
        Self { namespace: namespace.to_vec(), name: name.to_string(), uuid }
    }

    /// Its name in messages: `raw.events`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.namespace.join("."), self.name)
    }

    /// Parses the output of [`fmt::Display`].
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
/// character of it is special in a URL.
impl fmt::Display for VendedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.namespace.iter().chain([&self.name]) {
            write!(f, "{}{SEPARATOR}", byte_serialize(part.as_bytes()).collect::<String>())?;
        }
        write!(f, "{}", self.uuid)
    }
}

/// A source of vended credentials: a REST catalog.
#[async_trait]
pub trait CredentialVendor: fmt::Debug + Send + Sync {
    /// Requests new credentials for the files of a table.
    async fn vend(&self, table: &VendedTable) -> Result<VendedCredentials>;
}

/// The credentials for the files of a table, and how the files are reached.
#[derive(Debug, Clone)]
pub struct VendedCredentials {
    /// By the prefix of the files' locations; the longest matching prefix counts.
    pub by_prefix: Vec<PrefixCredentials>,
    /// When they were requested.
    pub asked_at: SystemTime,
}

/// The credentials for the files below a prefix. Settings that are missing are the process's own.
#[derive(Debug, Clone)]
pub struct PrefixCredentials {
    /// Such as `s3://bucket/raw/events`; empty for all files.
    pub prefix: String,
    /// The temporary keys.
    pub keys: S3Keys,
    /// When they expire, if known.
    pub expires_at: Option<SystemTime>,
    /// The service's address.
    pub endpoint: Option<String>,
    /// The region to sign for.
    pub region: Option<String>,
    /// Whether the bucket is part of the path.
    pub path_style: Option<bool>,
}

impl VendedCredentials {
    /// The credentials for the object at that location, which begins with `s3://`.
    pub(crate) fn for_location(&self, location: &str) -> Option<&PrefixCredentials> {
        let fits = |one: &&PrefixCredentials| match one.prefix.strip_prefix("s3a://") {
            Some(prefix) => location.strip_prefix("s3://").is_some_and(|location| location.starts_with(prefix)),
            None => location.starts_with(&one.prefix),
        };
        self.by_prefix.iter().filter(fits).max_by_key(|one| one.prefix.len())
    }

    /// When the first of them expires; `None` if that is not known.
    fn expires_at(&self) -> Option<SystemTime> {
        self.by_prefix.iter().filter_map(|one| one.expires_at).min()
    }

    fn renew_at(&self) -> SystemTime {
        let end = self.expires_at().unwrap_or(self.asked_at + DEFAULT_LIFE);
        let life = end.duration_since(self.asked_at).unwrap_or_default();
        self.asked_at + life.saturating_sub(RENEW_AHEAD).max(life / 2)
    }

    fn have_expired(&self, now: SystemTime) -> bool {
        self.expires_at().is_some_and(|end| end <= now)
    }
}

/// The credentials of one table, renewed as needed.
#[derive(Debug)]
pub(crate) struct TableCredentials {
    table: VendedTable,
    vendor: Arc<dyn CredentialVendor>,
    known: Mutex<Option<Known>>,
    /// Held while credentials are requested.
    requesting: Arc<tokio::sync::Mutex<()>>,
    clock: Clock,
}

/// The system's clock, or in tests one that stands still.
#[derive(Debug, Default)]
struct Clock {
    #[cfg(test)]
    set: Option<Arc<Mutex<SystemTime>>>,
}

impl Clock {
    fn now(&self) -> SystemTime {
        #[cfg(test)]
        if let Some(time) = &self.set {
            return *time.lock().unwrap_or_else(PoisonError::into_inner);
        }
        SystemTime::now()
    }
}

#[derive(Debug, Clone)]
struct Known {
    credentials: Arc<VendedCredentials>,
    renew_at: SystemTime,
}

impl TableCredentials {
    pub(crate) fn new(table: VendedTable, vendor: Arc<dyn CredentialVendor>) -> Self {
        Self { table, vendor, known: Mutex::default(), requesting: Arc::default(), clock: Clock::default() }
    }

    pub(crate) fn table(&self) -> &VendedTable {
        &self.table
    }

    /// Stores credentials that were not requested here, such as those that come with a table.
    pub(crate) fn put(&self, credentials: VendedCredentials) {
        let renew_at = credentials.renew_at();
        *self.lock() = Some(Known { credentials: Arc::new(credentials), renew_at });
    }

    /// Credentials that have not expired. While they are valid, callers do not wait for new ones.
    pub(crate) async fn get(self: &Arc<Self>) -> Result<Arc<VendedCredentials>> {
        if let Some(known) = self.still_good() {
            if known.renew_at <= self.clock.now() {
                self.renew_ahead(&known);
            }
            return Ok(known.credentials);
        }
        let _requesting = self.requesting.lock().await;
        match self.still_good() {
            // Another caller has requested them meanwhile.
            Some(known) => Ok(known.credentials),
            None => self.request().await,
        }
    }

    /// Requests new ones in the background, unless another caller does or has done so.
    fn renew_ahead(self: &Arc<Self>, due: &Known) {
        let Ok(requesting) = Arc::clone(&self.requesting).try_lock_owned() else { return };
        let is_due = self.lock().as_ref().is_some_and(|known| known.renew_at == due.renew_at);
        if !is_due {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(e) = this.request().await {
                tracing::warn!("{e}; the present ones are used until they expire");
                this.retry_later();
            }
            drop(requesting);
        });
    }

    fn retry_later(&self) {
        let mut known = self.lock();
        if let Some(known) = known.as_mut() {
            known.renew_at = self.clock.now() + RETRY_AFTER;
        }
    }

    async fn request(&self) -> Result<Arc<VendedCredentials>> {
        let asked = self.vendor.vend(&self.table).await;
        let vended = asked.map_err(|e| {
            e.context(format_args!("requesting credentials for the files of table {}", self.table.full_name()))
        })?;
        tracing::debug!(table = self.table.full_name(), "the catalog has vended credentials");
        if vended.have_expired(self.clock.now()) {
            let what = format!(
                "the credentials that the catalog vends for the files of table {} have expired already; compare the clocks",
                self.table.full_name()
            );
            return Err(Error::new(ErrorKind::Unavailable, what));
        }
        let (renew_at, credentials) = (vended.renew_at(), Arc::new(vended));
        *self.lock() = Some(Known { credentials: Arc::clone(&credentials), renew_at });
        Ok(credentials)
    }

    fn still_good(&self) -> Option<Known> {
        self.lock().clone().filter(|known| !known.credentials.have_expired(self.clock.now()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "vended_tests.rs"]
mod tests;
