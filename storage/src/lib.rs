//! Storage: where files are, on disks and in buckets, how they are reached, and what their failures mean.
//!
//! One stack for all files of tables. [`Stores`] opens an object store for each bucket that a [`Location`] names, by
//! one [`StorageConfig`]; DataFusion finds data files through it, and the iceberg crate metadata files. Buckets need
//! not be known in advance, and no credential is ever part of a location, a plan or a message. Nothing here knows what
//! is in the files.
//!
//! ```
//! use bergmill_storage::{ErrorKind, Location, Stores};
//!
//! let stores = Stores::local();
//! let at = Location::parse("s3://lake/raw/events/a.parquet")?;
//! let store = stores.get(at.store_url())?; // opened, and no request made
//! assert_eq!(at.path()?.as_ref(), "raw/events/a.parquet");
//!
//! let e = stores.get(Location::parse("hdfs://lake/raw")?.store_url()).unwrap_err();
//! assert_eq!(e.kind(), ErrorKind::Unsupported);
//! # Ok::<(), bergmill_storage::Error>(())
//! ```
mod config;
mod error;
mod exact_ranges;
mod failure;
mod location;
mod stores;
mod vended;
mod vended_store;

pub use config::{S3Config, S3Keys, Secret, StorageConfig};
pub use error::{Error, ErrorKind, Result};
pub use failure::{kind_of_unread, remedy};
pub use location::Location;
pub use stores::Stores;
pub use vended::{CredentialVendor, PrefixCredentials, VendedCredentials, VendedTable};
pub use vended_store::TableStores;
