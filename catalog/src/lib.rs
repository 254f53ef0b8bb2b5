//! Iceberg tables: the catalog that finds them, the provider that reads them, the plan node that writes them and the
//! commit that makes a write visible.
//!
//! This is the only crate that names `iceberg`, and `bridge` is the only module that names arrow 58 types.
mod address;
pub mod bridge;
mod commit;
mod conformance;
mod definition;
mod error;
mod files;
mod layout;
mod location;
mod metadata_tables;
mod namespaces;
mod read;
mod rest;
mod sql;
pub mod storage;
mod store;
mod table;
pub mod write;

pub use address::CatalogAddress;
pub use commit::{Base, COMMIT_KEY, Commit, CommitKey, Committed, Operation, Replaced, Tally, ancestors, find_commit};
pub use conformance::warehouse_conformance;
pub use definition::{Parsed, TableClauses, parse};
pub use error::{Error, ErrorKind, Result};
pub use files::{LiveFile, SnapshotFiles};
pub use iceberg::spec::DataFile;
pub use iceberg::table::Table;
pub use iceberg::{NamespaceIdent, TableIdent};
pub use namespaces::{CATALOG_NAME, NamespaceCatalog};
pub use read::{IcebergTable, ScanLog, ScanReport, TextType};
pub use rest::{RestAuth, RestCatalog, RestConfig};
pub use sql::SqlCatalog;
pub use store::{Catalog, Change, Found, conformance};
pub use table::{NewTable, Warehouse};
