//! The catalog's error: a small kind that says what the caller can do, the table or file it is about, and the cause.

use std::fmt;

use datafusion::error::DataFusionError;

use crate::storage;

/// Result of the catalog crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The statement, name or value is wrong: mend it.
    Invalid,
    /// The namespace, table or column is not there.
    NotFound,
    /// Something of that name is there already.
    AlreadyExists,
    /// Another writer changed what this write relied on: run the statement again.
    Conflict,
    /// The table uses a feature of Iceberg that this release does not read or write.
    Unsupported,
    /// Storage or the catalog's database did not answer or refused.
    Storage,
    /// A metadata, manifest or data file does not say what it must.
    Corrupt,
    /// It cannot be known whether the commit happened; the message says how to find out.
    Unknown,
    /// Our fault.
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

    /// The same error, told in the frame of what was being done: `reading table raw.events: ...`.
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The catalog's error inside a DataFusion error, if there is one: kinds survive DataFusion's plans and streams.
    pub fn find(error: &DataFusionError) -> Option<&Error> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(e) = next {
            if let Some(found) = e.downcast_ref::<Error>() {
                return Some(found);
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

impl From<iceberg::Error> for Error {
    fn from(e: iceberg::Error) -> Self {
        if let Some(failure) = storage::store_failure(&e) {
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

impl From<object_store::Error> for Error {
    fn from(e: object_store::Error) -> Self {
        let (kind, what) = storage::explain(&e);
        Error::new(kind, what)
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        let (kind, what) = storage::inside(&e).unwrap_or_else(|| (ErrorKind::Storage, e.to_string()));
        Error::new(kind, what)
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(e: parquet::errors::ParquetError) -> Self {
        let (kind, what) = storage::inside(&e).unwrap_or_else(|| (ErrorKind::Storage, e.to_string()));
        Error::new(kind, what)
    }
}

impl From<Error> for DataFusionError {
    fn from(e: Error) -> Self {
        DataFusionError::External(Box::new(e))
    }
}
