//! The object stores of one table's files, accessed with vended credentials.
//!
//! A wrapper, because the catalog may vend different credentials for different prefixes of a bucket: the path of a
//! request decides which it needs. Behind it is one S3 client per prefix, which gets credentials at each request, so
//! that multipart uploads outlive the credentials that they started with.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AwsCredential;
use object_store::path::Path;
use object_store::{
    CopyOptions, CredentialProvider, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
};

use crate::config::S3Config;
use crate::error::{Error, ErrorKind};
use crate::vended::{PrefixCredentials, TableCredentials, VendedTable};

type Result<T> = std::result::Result<T, StoreError>;

/// Deletes in flight at once.
const CONCURRENT_DELETES: usize = 16;

/// The credentials for one table's files, and the clients that use them.
#[derive(Debug)]
pub struct TableStores {
    credentials: Arc<TableCredentials>,
    config: S3Config,
    /// By bucket and prefix.
    opened: Mutex<BTreeMap<(String, String), Arc<dyn ObjectStore>>>,
}

impl TableStores {
    pub(crate) fn new(credentials: TableCredentials, config: S3Config) -> Self {
        Self { credentials: Arc::new(credentials), config, opened: Mutex::default() }
    }

    pub(crate) fn credentials(&self) -> &TableCredentials {
        &self.credentials
    }

    /// The table.
    pub fn table(&self) -> &VendedTable {
        self.credentials.table()
    }

    /// The store of a bucket. No request is made.
    pub fn bucket(self: &Arc<Self>, bucket: &str) -> Arc<dyn ObjectStore> {
        Arc::new(VendedStore { bucket: bucket.to_string(), stores: Arc::clone(self) })
    }

    fn open(&self, bucket: &str, with: &PrefixCredentials) -> Result<Arc<dyn ObjectStore>> {
        let key = (bucket.to_string(), with.prefix.clone());
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(&key) {
            return Ok(Arc::clone(store));
        }
        let own = &self.config;
        let config = S3Config {
            endpoint: with.endpoint.clone().or(own.endpoint.clone()),
            region: with.region.clone().or(own.region.clone()),
            path_style: with.path_style.or(own.path_style),
            keys: None,
            ..own.clone()
        };
        let keys = VendedKeys { credentials: Arc::clone(&self.credentials), prefix: with.prefix.clone() };
        let store = config.open_with(bucket, Arc::new(keys)).map_err(failed)?;
        opened.insert(key, Arc::clone(&store));
        Ok(store)
    }
}

/// The credentials of one prefix, looked up at each request.
#[derive(Debug)]
struct VendedKeys {
    credentials: Arc<TableCredentials>,
    prefix: String,
}

#[async_trait]
impl CredentialProvider for VendedKeys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let now = self.credentials.get().await.map_err(failed)?;
        let of_prefix = now.by_prefix.iter().find(|one| one.prefix == self.prefix);
        let Some(one) = of_prefix.or_else(|| now.for_location(&self.prefix)) else {
            return Err(not_vended(&self.credentials, &self.prefix));
        };
        let keys = &one.keys;
        Ok(Arc::new(AwsCredential {
            key_id: keys.id.clone(),
            secret_key: keys.secret.expose().to_string(),
            token: keys.session_token.as_ref().map(|token| token.expose().to_string()),
        }))
    }
}

/// The cause stays a value, and is found again in [`Error::from`].
fn failed(e: Error) -> StoreError {
    StoreError::Generic { store: "S3", source: Box::new(e) }
}

fn not_vended(credentials: &TableCredentials, location: &str) -> StoreError {
    let what = format!(
        "the catalog vends credentials for files of table {}, but none for {location}",
        credentials.table().full_name()
    );
    failed(Error::new(ErrorKind::Unavailable, what))
}

/// A bucket, accessed with one table's credentials.
#[derive(Debug)]
struct VendedStore {
    bucket: String,
    stores: Arc<TableStores>,
}

impl VendedStore {
    /// The store whose credentials are for the object, or for the prefix `path`.
    async fn at(&self, path: &Path) -> Result<Arc<dyn ObjectStore>> {
        let location = format!("s3://{}/{path}", self.bucket);
        let credentials = self.stores.credentials.get().await.map_err(failed)?;
        match credentials.for_location(&location) {
            Some(one) => self.stores.open(&self.bucket, one),
            None => Err(not_vended(&self.stores.credentials, &location)),
        }
    }

    async fn of_prefix(&self, prefix: Option<&Path>) -> Result<Arc<dyn ObjectStore>> {
        self.at(prefix.unwrap_or(&Path::default())).await
    }

    fn another(&self) -> Self {
        Self { bucket: self.bucket.clone(), stores: Arc::clone(&self.stores) }
    }
}

impl fmt::Display for VendedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {} with credentials for table {}", self.bucket, self.stores.credentials.table().full_name())
    }
}

#[async_trait]
impl ObjectStore for VendedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.at(location).await?.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.at(location).await?.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.at(location).await?.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.at(location).await?.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = Arc::new(self.another());
        let delete = move |location: Result<Path>| {
            let this = Arc::clone(&this);
            async move {
                let location = location?;
                this.at(&location).await?.delete(&location).await?;
                Ok(location)
            }
        };
        locations.map(delete).buffered(CONCURRENT_DELETES).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.another(), prefix.cloned());
        let listing = async move { this.of_prefix(prefix.as_ref()).await.map(|store| store.list(prefix.as_ref())) };
        futures::stream::once(listing).try_flatten().boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix, offset) = (self.another(), prefix.cloned(), offset.clone());
        let listing = async move {
            let store = this.of_prefix(prefix.as_ref()).await?;
            Ok::<_, StoreError>(store.list_with_offset(prefix.as_ref(), &offset))
        };
        futures::stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.of_prefix(prefix).await?.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.at(to).await?.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.at(to).await?.rename_opts(from, to, options).await
    }
}
