//! Tables: their metadata, files, versions and changes. Nothing here plans a query.
pub(crate) mod commit;
pub(crate) mod conformance;
pub(crate) mod evolve;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod live_file;
pub(crate) mod metadata_files;
pub(crate) mod metadata_paths;
pub(crate) mod metadata_text;
pub(crate) mod namespaces;
pub(crate) mod partition_value;
pub(crate) mod pruning;
pub(crate) mod recent;
pub(crate) mod references;
#[cfg(test)]
pub(crate) mod server_tests;
pub(crate) mod transform;
pub(crate) mod version;
pub(crate) mod views;
mod warehouse;

pub use crate::pointers::store::NewTable;
pub(crate) use warehouse::{LISTINGS_IN_FLIGHT, discard};
pub use warehouse::{Warehouse, vended_address};
