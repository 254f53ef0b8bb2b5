//! Iceberg tables: the catalog that finds them, the provider that reads them, the plan node that writes them and the
//! commit that makes a write visible.
//!
//! This is the only crate that names `iceberg`, and `bridge` is the only module that names arrow 58 types.
mod address;
pub mod bridge;
mod commit;
mod conformance;
mod ddl;
mod definition;
pub mod describe;
mod error;
mod evolve;
mod files;
mod layout;
mod metadata_files;
mod metadata_paths;
mod metadata_tables;
mod names;
mod namespaces;
mod pruning;
mod read;
mod recent;
mod references;
mod rest;
mod row_level;
#[cfg(test)]
mod server_tests;
mod sql;
mod store;
mod table;
mod time_travel;
mod view_plan;
mod views;
pub mod write;

pub use address::{CatalogAddress, RestOptions};
pub use commit::{
    Base, COMMIT_KEY, CherryPick, Commit, CommitKey, Committed, Isolation, MAIN_BRANCH, Operation, Overwrite,
    ReadFilter, Replaced, Tally, ancestors, ancestors_of, find_commit, head,
};
pub use conformance::warehouse_conformance;
pub use ddl::{CreateView, Ddl, Show, ViewColumn};
pub use definition::{Parsed, TableClauses, parse};
pub use error::{Error, ErrorKind, Result};
pub use evolve::{Alteration, COMMENT, ColumnPath, PartitionChange, Place, SchemaChange, Term};
pub use files::{LiveFile, SnapshotFiles};
pub use iceberg::spec::DataFile;
pub use iceberg::table::Table;
pub use iceberg::{NamespaceIdent, TableIdent};
pub use names::folded;
pub use namespaces::{CATALOG_NAME, Names, NamespaceCatalog};
pub use read::{
    FILE_COLUMN, IcebergTable, MODIFIED_COLUMN, PATH_COLUMN, POSITION_COLUMN, RELABEL_FUNCTION, RowPositionExec,
    SNAPSHOT_COLUMN, ScanLog, ScanReport, TextType, relabel_udf,
};
pub use references::{ReferenceChange, ReferenceKind, ReferenceStatement, Retention, parse_reference_statement};
pub use rest::{RestAuth, RestCatalog, RestConfig};
pub use row_level::{FoundFiles, RowChange};
pub use sql::SqlCatalog;
pub use store::{Catalog, Change, Draft, Found, FoundView, ViewChange, conformance};
pub use table::{NewTable, Warehouse, vended_address};
pub use time_travel::{Version, VersionedTables};
pub use view_plan::{ViewPlanner, check_views, is_missing_table};
pub use views::{NewView, View};
