//! Object stores by the location of what they hold, each opened when it is first named.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use super::StorageConfig;
use crate::error::{Error, ErrorKind, Result};

/// The store of a disk.
const LOCAL: &str = "file://";

/// The object stores of a process. Share one: each store holds its connections.
pub struct Stores {
    config: StorageConfig,
    /// By address: `file://`, `s3://bucket`.
    opened: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

impl Stores {
    /// Stores that are reached as `config` says.
    pub fn new(config: StorageConfig) -> Arc<Self> {
        let local: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        Arc::new(Self { config, opened: Mutex::new(BTreeMap::from([(LOCAL.to_string(), local)])) })
    }

    /// The disks of this machine, and buckets with nothing but defaults.
    pub fn local() -> Arc<Self> {
        Self::new(StorageConfig::default())
    }

    /// The store at `address`: `file://` or `s3://bucket`.
    pub(crate) fn get(&self, address: &str) -> Result<Arc<dyn ObjectStore>> {
        let mut opened = self.lock();
        if let Some(store) = opened.get(address) {
            return Ok(Arc::clone(store));
        }
        let store = match address.split_once("://") {
            Some(("s3", bucket)) if !bucket.is_empty() => self.config.s3.open(bucket)?,
            Some(("s3", _)) => return Err(Error::new(ErrorKind::Invalid, format!("{address} lacks its bucket"))),
            _ => {
                let what = format!("storage {address} is not supported; there are file:// and s3://");
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
        };
        opened.insert(address.to_string(), Arc::clone(&store));
        Ok(store)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<dyn ObjectStore>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opened: Vec<String> = self.lock().keys().cloned().collect();
        f.debug_struct("Stores").field("config", &self.config).field("opened", &opened).finish()
    }
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.lock().insert(address(url), store)
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        Ok(self.get(&address(url))?)
    }
}

/// `scheme://host:port`, without credentials.
fn address(url: &Url) -> String {
    format!("{}://{}", url.scheme(), &url[url::Position::BeforeHost..url::Position::AfterPort])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_opened_when_they_are_named() {
        let stores = Stores::local();
        let get = |url: &str| ObjectStoreRegistry::get_store(stores.as_ref(), &Url::parse(url).unwrap());
        get("file:///").unwrap();
        let raw = get("s3://raw/").unwrap();
        assert!(Arc::ptr_eq(&raw, &stores.get("s3://raw").unwrap()), "opened once");
        assert!(!Arc::ptr_eq(&raw, &get("s3://Raw_2/").unwrap()));
        assert_eq!(stores.get("s3://").unwrap_err().kind(), ErrorKind::Invalid);
        let e = get("gs://raw/").unwrap_err();
        assert_eq!(Error::find(&e).unwrap().kind(), ErrorKind::Unsupported);
    }
}
