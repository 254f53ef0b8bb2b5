//! Storage: where the files of tables are, on disks and in buckets.
//!
//! One stack for all files. [`Stores`] opens an object store for each bucket that a location names, by one
//! [`StorageConfig`]; DataFusion finds data files through it, and `file_io` lets the iceberg crate read and write metadata
//! through it. Buckets need not be known in advance, and no credential is ever part of a location, a plan or a message.
mod config;
mod exact_ranges;
mod failure;
mod metadata_files;
#[cfg(test)]
mod server_tests;
mod stores;
mod vended;
mod vended_store;

pub use config::{S3Config, S3Keys, Secret, StorageConfig};
pub use failure::{kind_of_unread, remedy};
pub use stores::Stores;
pub use vended::{CredentialVendor, PrefixCredentials, VendedCredentials, VendedTable};

pub(crate) use failure::{explain, inside};
pub(crate) use metadata_files::{file_io, file_io_of, store_failure, vended_to};
#[cfg(test)]
pub(crate) use server_tests::config as server_config;
