//! Object stores by location, each opened when it is first named.
//!
//! A bucket's address may have a table as its user (`s3://raw~events~<uuid>@bucket`): the bucket is then accessed with
//! the credentials that a catalog vends for this table's files. The address itself holds no credentials.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use crate::config::StorageConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::NO_VENDOR;
use crate::vended::{CredentialVendor, TableCredentials, VendedCredentials, VendedTable};
use crate::vended_store::TableStores;

/// The store of a disk.
const LOCAL: &str = "file://";

/// How many unused tables with vended credentials are remembered.
const IDLE_TABLES: usize = 64;

/// The object stores of a process. Share one: each store holds its connections.
pub struct Stores {
    config: StorageConfig,
    /// By address: `file://`, `s3://bucket`.
    opened: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
    vendor: OnceLock<Arc<dyn CredentialVendor>>,
    /// Most recently used last.
    tables: Mutex<VecDeque<Arc<TableStores>>>,
}

impl Stores {
    /// Stores that are reached with `config`.
    pub fn new(config: StorageConfig) -> Arc<Self> {
        let local: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        let opened = Mutex::new(BTreeMap::from([(LOCAL.to_string(), local)]));
        Arc::new(Self { config, opened, vendor: OnceLock::new(), tables: Mutex::default() })
    }

    /// Sets the vendor of the credentials of tables. The first one stays.
    pub fn set_vendor(&self, vendor: Arc<dyn CredentialVendor>) {
        let _ = self.vendor.set(vendor);
    }

    /// Stores credentials that the catalog has vended for a table.
    pub fn put_vended(&self, table: &VendedTable, credentials: VendedCredentials) {
        self.of_table(table).credentials().put(credentials);
    }

    /// The stores of a table for whose files this process was vended credentials; `None` when its own keys are used.
    pub fn known_table(&self, table: &VendedTable) -> Option<Arc<TableStores>> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.iter().find(|t| t.credentials().table() == table).cloned()
    }

    fn of_table(&self, table: &VendedTable) -> Arc<TableStores> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tables.iter().position(|t| t.credentials().table() == table);
        let stores = match known.and_then(|at| tables.remove(at)) {
            Some(stores) => stores,
            None => {
                let vendor = self.vendor.get().cloned().unwrap_or_else(|| Arc::new(NoVendor));
                let credentials = TableCredentials::new(table.clone(), vendor);
                Arc::new(TableStores::new(credentials, self.config.s3.clone()))
            }
        };
        tables.push_back(Arc::clone(&stores));
        // Tables in use stay: credentials that came with a draft table could not be requested again.
        let is_idle = |t: &Arc<TableStores>| Arc::strong_count(t) == 1;
        let mut surplus = tables.iter().filter(|t| is_idle(t)).count().saturating_sub(IDLE_TABLES);
        tables.retain(|t| {
            let goes = surplus > 0 && is_idle(t);
            surplus -= usize::from(goes);
            !goes
        });
        stores
    }

    /// The disks of this machine, and buckets with default settings.
    pub fn local() -> Arc<Self> {
        Self::new(StorageConfig::default())
    }

    /// The store at `address`: `file://`, `s3://bucket` or `s3://<table>@bucket`.
    pub fn get(&self, address: &str) -> Result<Arc<dyn ObjectStore>> {
        if let Some((table, bucket)) = address.strip_prefix("s3://").and_then(|rest| rest.split_once('@')) {
            let wrong = || Error::new(ErrorKind::Invalid, format!("{address} names no table"));
            return Ok(self.of_table(&VendedTable::parse(table).ok_or_else(wrong)?).bucket(bucket));
        }
        let mut opened = self.lock();
        if let Some(store) = opened.get(address) {
            return Ok(Arc::clone(store));
        }
        let store = match address.split_once("://") {
            Some(("s3", bucket)) if !bucket.is_empty() => self.config.s3.open(bucket)?,
            Some(("s3", _)) => return Err(Error::new(ErrorKind::Invalid, format!("{address} has no bucket"))),
            _ => {
                let what = format!("storage {address} is not supported; use file:// or s3://");
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
        };
        opened.insert(address.to_string(), Arc::clone(&store));
        Ok(store)
    }

    /// The store at the address that `url` begins with; the rest of the URL is ignored.
    pub fn at(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.get(&address(url))
    }

    /// Uses `store` for the address that `url` begins with, and returns the previous store, if any.
    pub fn register(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.lock().insert(address(url), store)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<dyn ObjectStore>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opened: Vec<String> = self.lock().keys().cloned().collect();
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let tables: Vec<String> = tables.iter().map(|t| t.credentials().table().to_string()).collect();
        f.debug_struct("Stores")
            .field("config", &self.config)
            .field("opened", &opened)
            .field("vendor", &self.vendor.get())
            .field("tables", &tables)
            .finish()
    }
}

/// `scheme://host:port`, with the user if it is a table, and without a password.
fn address(url: &Url) -> String {
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    match VendedTable::parse(url.username()) {
        Some(table) => format!("{}://{table}@{host}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Reports what an executor lacks, at the first request: Ballista does not pass on earlier errors, from the preparation
/// of a task.
#[derive(Debug)]
struct NoVendor;

#[async_trait]
impl CredentialVendor for NoVendor {
    async fn vend(&self, _: &VendedTable) -> Result<VendedCredentials> {
        Err(Error::new(ErrorKind::Unavailable, NO_VENDOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_opened_when_they_are_named() {
        let stores = Stores::local();
        let get = |url: &str| stores.at(&Url::parse(url).unwrap());
        get("file:///").unwrap();
        let raw = get("s3://raw/").unwrap();
        assert!(Arc::ptr_eq(&raw, &stores.get("s3://raw").unwrap()), "opened once");
        assert!(!Arc::ptr_eq(&raw, &get("s3://Raw_2/").unwrap()));
        assert_eq!(stores.get("s3://").unwrap_err().kind(), ErrorKind::Invalid);
        let e = get("gs://raw/").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
    }
}
