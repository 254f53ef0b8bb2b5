//! The catalog's error: a small kind that says what the caller can do, the table or file it is about, and the cause.

use std::fmt;

use bergmill_storage as storage;
use datafusion::error::DataFusionError;

/// Result of the catalog crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The statement, name or value is wrong: fix it.
    Invalid,
    /// The namespace, table or column does not exist.
    NotFound,
    /// Something of that name exists already.
    AlreadyExists,
    /// The user may not do that: ask an administrator.
    Forbidden,
    /// Another writer changed what this write relied on: run the statement again.
    Conflict,
    /// The table uses a feature of Iceberg that this release does not read or write.
    Unsupported,
    /// Storage or the catalog's database did not answer or refused.
    Storage,
    /// A metadata, manifest or data file is not what it must be.
    Corrupt,
    /// It cannot be known whether the commit happened; the message says how to find out.
    Unknown,
    /// A bug in Bergmill.
    Internal,
}

/// An error of the catalog.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with its cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with the context of what was being done: `reading table raw.events: ...`.
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The catalog's or storage's error inside a DataFusion error, if there is one, without its cause as a value: kinds
    /// survive DataFusion's plans and streams.
    pub fn find(error: &DataFusionError) -> Option<Self> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(e) = next {
            if let Some(found) = e.downcast_ref::<Self>() {
                return Some(Self::new(found.kind, found.to_string()));
            }
            if let Some(found) = e.downcast_ref::<storage::Error>() {
                return Some(found.clone().into());
            }
            next = match e.downcast_ref::<DataFusionError>() {
                Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
                _ => e.source(),
            };
        }
        None
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// Our own error inside one of the iceberg crate, if it came from the storage that the crate reads and writes through.
pub(crate) fn store_failure(e: &iceberg::Error) -> Option<&Error> {
    std::error::Error::source(e)?.downcast_ref()
}

impl From<iceberg::Error> for Error {
    fn from(e: iceberg::Error) -> Self {
        if let Some(failure) = store_failure(&e) {
            return Error::new(failure.kind(), failure.to_string());
        }
        let kind = match e.kind() {
            iceberg::ErrorKind::FeatureUnsupported => ErrorKind::Unsupported,
            iceberg::ErrorKind::DataInvalid => ErrorKind::Corrupt,
            iceberg::ErrorKind::TableNotFound | iceberg::ErrorKind::NamespaceNotFound => ErrorKind::NotFound,
            iceberg::ErrorKind::TableAlreadyExists | iceberg::ErrorKind::NamespaceAlreadyExists => {
                ErrorKind::AlreadyExists
            }
            iceberg::ErrorKind::PreconditionFailed | iceberg::ErrorKind::CatalogCommitConflicts => ErrorKind::Conflict,
            _ => ErrorKind::Storage,
        };
        Error::new(kind, e.to_string())
    }
}

impl From<storage::Error> for Error {
    fn from(e: storage::Error) -> Self {
        let kind = match e.kind() {
            storage::ErrorKind::Invalid => ErrorKind::Invalid,
            storage::ErrorKind::NotFound => ErrorKind::NotFound,
            storage::ErrorKind::Conflict => ErrorKind::Conflict,
            storage::ErrorKind::Unsupported => ErrorKind::Unsupported,
            storage::ErrorKind::Unavailable => ErrorKind::Storage,
            storage::ErrorKind::Corrupt => ErrorKind::Corrupt,
            storage::ErrorKind::Internal => ErrorKind::Internal,
        };
        Error::new(kind, e.to_string())
    }
}

/// For catalogs that vend credentials.
impl From<Error> for storage::Error {
    fn from(e: Error) -> Self {
        let kind = match e.kind {
            ErrorKind::Invalid | ErrorKind::Forbidden => storage::ErrorKind::Invalid,
            ErrorKind::NotFound => storage::ErrorKind::NotFound,
            ErrorKind::AlreadyExists | ErrorKind::Conflict => storage::ErrorKind::Conflict,
            ErrorKind::Unsupported => storage::ErrorKind::Unsupported,
            ErrorKind::Storage | ErrorKind::Unknown => storage::ErrorKind::Unavailable,
            ErrorKind::Corrupt => storage::ErrorKind::Corrupt,
            ErrorKind::Internal => storage::ErrorKind::Internal,
        };
        storage::Error::new(kind, e.to_string())
    }
}

impl From<object_store::Error> for Error {
    fn from(e: object_store::Error) -> Self {
        storage::Error::from(e).into()
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        store_or_other(&e)
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(e: parquet::errors::ParquetError) -> Self {
        store_or_other(&e)
    }
}

/// The error of a store, if there is one, or else that of the library that read or wrote.
fn store_or_other(e: &(impl std::error::Error + 'static)) -> Error {
    storage::Error::find(e).map_or_else(|| Error::new(ErrorKind::Storage, e.to_string()), Error::from)
}

impl From<Error> for DataFusionError {
    fn from(e: Error) -> Self {
        DataFusionError::External(Box::new(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_store_is_found_inside_its_wrappers() {
        let failure = object_store::Error::Generic { store: "S3", source: "<Code>AccessDenied</Code>".into() };
        let parquet = parquet::errors::ParquetError::External(Box::new(std::io::Error::other(failure)));
        let e = Error::from(parquet);
        assert_eq!(e.kind(), ErrorKind::Storage);
        assert!(e.to_string().starts_with("the access key has no right"), "{e}");
        let vendor_error = storage::Error::new(storage::ErrorKind::Conflict, "another table");
        let store = object_store::Error::Generic { store: "S3", source: Box::new(vendor_error) };
        let e = Error::find(&DataFusionError::ObjectStore(Box::new(store))).unwrap();
        assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Conflict, "another table"));
    }
}
