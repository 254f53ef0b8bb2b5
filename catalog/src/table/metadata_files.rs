//! The iceberg crate's access to metadata files, in the same stores as data files.
//!
//! Local disks use the crate's own storage: it syncs a file when its writer is closed, and only removes files. All
//! other locations use [`Stores`].

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bergmill_storage::{Location, Stores, TableStores};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, LocalFsStorage, OutputFile, Storage,
    StorageConfig, StorageFactory,
};
use iceberg::{Error as IcebergError, ErrorKind as IcebergErrorKind};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use crate::error::Error;

type IcebergResult<T> = iceberg::Result<T>;

/// Number of concurrent deletes.
const CONCURRENT_DELETES: usize = 16;

/// Property of a table's `FileIO` for vended credentials: the table's [`VendedTable`](bergmill_storage::VendedTable).
const VENDED_TO: &str = "bergmill.vended-to";

/// A `FileIO` of the iceberg crate over `stores`.
pub(crate) fn file_io(stores: Arc<Stores>) -> FileIO {
    FileIOBuilder::new(Arc::new(Factory(MetadataFiles { stores, table: None }))).build()
}

/// A `FileIO` over `stores` for the files of a table with vended credentials.
pub(crate) fn file_io_of(stores: Arc<Stores>, table: Arc<TableStores>) -> FileIO {
    let vended_to = table.table().to_string();
    let factory = Factory(MetadataFiles { stores, table: Some(table) });
    FileIOBuilder::new(Arc::new(factory)).with_prop(VENDED_TO, vended_to).build()
}

/// The table as the user part of a store URL, if its files are accessed with vended credentials.
pub(crate) fn vended_to(files: &FileIO) -> Option<&str> {
    files.config().get(VENDED_TO).map(String::as_str)
}

/// The crate requires storages to be serialisable. Nothing here is serialised, because no executor reads metadata: a
/// deserialised storage has defaults, and credentials never leave the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MetadataFiles {
    #[serde(skip, default = "Stores::local")]
    stores: Arc<Stores>,
    /// The table whose vended credentials are used; `None` uses this process's credentials.
    #[serde(skip)]
    table: Option<Arc<TableStores>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Factory(MetadataFiles);

#[typetag::serde(name = "BergmillMetadataFilesFactory")]
impl StorageFactory for Factory {
    fn build(&self, _: &StorageConfig) -> IcebergResult<Arc<dyn Storage>> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// The backend that stores a file.
enum Backend {
    Disk(LocalFsStorage),
    Object(Arc<dyn ObjectStore>, Path),
}

impl MetadataFiles {
    fn backend(&self, location: &str) -> IcebergResult<Backend> {
        let at = Location::parse(location).map_err(|e| failed(location, e))?;
        if at.is_local() {
            return Ok(Backend::Disk(LocalFsStorage::new()));
        }
        let store = match (&self.table, at.store_url().strip_prefix("s3://")) {
            (Some(table), Some(bucket)) => table.bucket(bucket),
            _ => self.stores.get(at.store_url()).map_err(|e| failed(location, e))?,
        };
        Ok(Backend::Object(store, at.path().map_err(|e| failed(location, e))?))
    }
}

/// Keeps the cause as the source of the crate's error, for [`store_failure`](crate::error::store_failure).
fn failed(location: &str, e: impl Into<Error>) -> IcebergError {
    let with_context = e.into().context(location);
    IcebergError::new(IcebergErrorKind::Unexpected, "").with_source(with_context)
}

#[async_trait]
#[typetag::serde(name = "BergmillMetadataFiles")]
impl Storage for MetadataFiles {
    async fn exists(&self, path: &str) -> IcebergResult<bool> {
        match self.backend(path)? {
            Backend::Disk(disk) => disk.exists(path).await,
            Backend::Object(store, key) => match store.head(&key).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(e) => Err(failed(path, e)),
            },
        }
    }

    async fn metadata(&self, path: &str) -> IcebergResult<FileMetadata> {
        match self.backend(path)? {
            Backend::Disk(disk) => disk.metadata(path).await,
            Backend::Object(store, key) => {
                let head = store.head(&key).await.map_err(|e| failed(path, e))?;
                Ok(FileMetadata { size: head.size })
            }
        }
    }

    async fn read(&self, path: &str) -> IcebergResult<Bytes> {
        match self.backend(path)? {
            Backend::Disk(disk) => disk.read(path).await,
            Backend::Object(store, key) => {
                let found = store.get(&key).await.map_err(|e| failed(path, e))?;
                found.bytes().await.map_err(|e| failed(path, e))
            }
        }
    }

    async fn reader(&self, path: &str) -> IcebergResult<Box<dyn FileRead>> {
        match self.backend(path)? {
            Backend::Disk(disk) => disk.reader(path).await,
            Backend::Object(store, key) => Ok(Box::new(ObjectReader { store, key, location: path.to_string() })),
        }
    }

    async fn write(&self, path: &str, bytes: Bytes) -> IcebergResult<()> {
        match self.backend(path)? {
            Backend::Disk(disk) => disk.write(path, bytes).await,
            Backend::Object(store, key) => store.put(&key, bytes.into()).await.map(drop).map_err(|e| failed(path, e)),
        }
    }

    async fn writer(&self, path: &str) -> IcebergResult<Box<dyn FileWrite>> {
        match self.backend(path)? {
            Backend::Disk(disk) => disk.writer(path).await,
            Backend::Object(store, key) => {
                Ok(Box::new(ObjectWriter { buffer: BufWriter::new(store, key), location: path.to_string() }))
            }
        }
    }

    async fn delete(&self, path: &str) -> IcebergResult<()> {
        match self.backend(path)? {
            Backend::Disk(disk) => disk.delete(path).await,
            Backend::Object(store, key) => match store.delete(&key).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(e) => Err(failed(path, e)),
            },
        }
    }

    async fn delete_prefix(&self, path: &str) -> IcebergResult<()> {
        match self.backend(path)? {
            Backend::Disk(disk) => disk.delete_prefix(path).await,
            Backend::Object(store, key) => {
                let found = store.list(Some(&key)).map(|object| object.map(|o| o.location)).boxed();
                let mut deleted = store.delete_stream(found);
                while let Some(one) = deleted.next().await {
                    one.map_err(|e| failed(path, e))?;
                }
                Ok(())
            }
        }
    }

    async fn delete_stream(&self, paths: BoxStream<'static, String>) -> IcebergResult<()> {
        let delete = |path: String| async move { self.delete(&path).await };
        let mut deletes = paths.map(delete).buffer_unordered(CONCURRENT_DELETES);
        while let Some(one) = deletes.next().await {
            one?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> IcebergResult<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_string()))
    }

    fn new_output(&self, path: &str) -> IcebergResult<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_string()))
    }
}

struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    key: Path,
    location: String,
}

#[async_trait]
impl FileRead for ObjectReader {
    async fn read(&self, range: Range<u64>) -> IcebergResult<Bytes> {
        self.store.get_range(&self.key, range).await.map_err(|e| failed(&self.location, e))
    }
}

/// The object does not exist before `close`; a large file is uploaded in parts.
struct ObjectWriter {
    buffer: BufWriter,
    location: String,
}

#[async_trait]
impl FileWrite for ObjectWriter {
    async fn write(&mut self, bytes: Bytes) -> IcebergResult<()> {
        self.buffer.put(bytes).await.map_err(|e| failed(&self.location, e))
    }

    async fn close(&mut self) -> IcebergResult<()> {
        self.buffer.shutdown().await.map_err(|e| failed(&self.location, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use object_store::memory::InMemory;

    fn files() -> (FileIO, Arc<InMemory>) {
        let (stores, bucket) = (Stores::local(), Arc::new(InMemory::new()));
        stores.register(&"s3://raw/".parse().unwrap(), Arc::clone(&bucket) as _);
        (file_io(stores), bucket)
    }

    #[tokio::test]
    async fn objects_are_read_and_written_like_files() {
        let (io, bucket) = files();
        let at = "s3a://raw/t/metadata/v%201.json";
        assert!(!io.exists(at).await.unwrap());
        let mut writer = io.new_output(at).unwrap().writer().await.unwrap();
        writer.write("some ".into()).await.unwrap();
        writer.write("text".into()).await.unwrap();
        assert!(!io.exists(at).await.unwrap(), "the object does not exist before close");
        writer.close().await.unwrap();
        // The key is the text of the location.
        bucket.head(&Path::parse("t/metadata/v%201.json").unwrap()).await.unwrap();
        let input = io.new_input(at).unwrap();
        assert_eq!(input.metadata().await.unwrap().size, 9);
        assert_eq!(input.read().await.unwrap(), "some text");
        assert_eq!(input.reader().await.unwrap().read(5..9).await.unwrap(), "text");
        io.delete(at).await.unwrap();
        io.delete(at).await.unwrap();
        assert!(!io.exists(at).await.unwrap());
    }

    #[tokio::test]
    async fn folders_are_deleted_with_their_contents() {
        let (io, bucket) = files();
        for name in ["t/a", "t/b/c", "tt/d"] {
            io.new_output(format!("s3://raw/{name}")).unwrap().write("x".into()).await.unwrap();
        }
        io.delete_prefix("s3://raw/t").await.unwrap();
        let remaining: Vec<_> = bucket.list(None).map(|o| o.unwrap().location.to_string()).collect().await;
        assert_eq!(remaining, ["tt/d"]);
    }

    #[tokio::test]
    async fn causes_keep_their_kind() {
        let (io, _) = files();
        let e = Error::from(io.new_input("s3://raw/none").unwrap().read().await.unwrap_err());
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.to_string().starts_with("s3://raw/none: "), "{e}");
        let e = Error::from(io.new_input("hdfs://raw/none").unwrap().read().await.unwrap_err());
        assert_eq!(e.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn no_credential_is_serialised() {
        let keys =
            bergmill_storage::S3Keys { id: "id".into(), secret: "hidden".to_string().into(), session_token: None };
        let mut config = bergmill_storage::StorageConfig::default();
        config.s3.keys = Some(keys);
        let files: Box<dyn Storage> = Box::new(MetadataFiles { stores: Stores::new(config), table: None });
        let text = serde_json::to_string(&files).unwrap();
        assert!(!text.contains("hidden"), "{text}");
        let _: Box<dyn Storage> = serde_json::from_str(&text).unwrap();
    }
}
