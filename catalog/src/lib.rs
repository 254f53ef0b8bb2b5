//! Iceberg tables: the catalog that finds them, the provider that reads them, the plan node that writes them and the
//! commit that makes a write visible.
//!
//! Its folders are layers: `pointers`, above it `table`, then `write` and `read`, `row_level` and `metadata_tables`,
//! `time_travel`, and `namespaces` on top. No file names a layer above its own.
//!
//! This is the only crate that names `iceberg`, and `bridge` is the only module that names arrow 58 types.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bergmill_catalog::write::{WriteSpec, data_files, plan_write};
//! use bergmill_catalog::{Commit, CommitKey, IcebergTable, MAIN_BRANCH, NewTable, Operation, QualifiedName, Warehouse};
//! use bergmill_statement::{CATALOG, TableClauses};
//! use datafusion::physical_plan::collect;
//! use datafusion::prelude::SessionContext;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let warehouse = Warehouse::open_local(folder.path(), CATALOG).await?;
//! warehouse.create_namespace("raw", None).await?;
//!
//! let session = SessionContext::new();
//! let rows = session.sql("SELECT * FROM (VALUES (1, 'view'), (2, 'cart')) AS t (id, kind)").await?;
//! let name = QualifiedName::new("raw", "events");
//! let new = NewTable::define(rows.schema().as_arrow(), &TableClauses::default())?;
//! let table = warehouse.create(&name, new).await?;
//!
//! // Tasks write files that nobody sees ...
//! let (input, spec) = (rows.create_physical_plan().await?, WriteSpec::of(&table)?);
//! let write = plan_write(input, &spec, session.state().config_options())?;
//! let written = collect(write, session.task_ctx()).await?;
//! // ... until one commit makes them part of the table.
//! let commit = Commit::new(&table, MAIN_BRANCH, Operation::Append, CommitKey::unique());
//! warehouse.commit(Commit { added: data_files(&written, &table)?, ..commit }).await?;
//!
//! let table = IcebergTable::current(warehouse.load(&name).await?)?;
//! assert_eq!(session.read_table(Arc::new(table))?.count().await?, 2);
//! # Ok(())
//! # }
//! ```
pub mod bridge;
mod deferred;
mod definition;
pub mod describe;
mod description;
mod error;
#[cfg(test)]
mod layers;
mod metadata_tables;
mod names;
mod namespaces;
mod one_input;
mod pointers;
mod qualified_name;
mod read;
mod row_level;
mod statement_types;
mod table;
mod time_travel;
mod unreadable;
pub mod write;

pub use description::TableDescription;
pub use error::{Error, ErrorKind, Result};
// For implementations of `Catalog` elsewhere.
pub use iceberg::{NamespaceIdent, TableIdent};
pub use namespaces::views::is_missing_table;
pub use namespaces::{Guard, Names, NamespaceCatalog, ViewPlanner};
pub use pointers::address::{CatalogAddress, RestOptions};
pub use pointers::rest::{RestAuth, RestCatalog, RestConfig};
pub use pointers::sql::SqlCatalog;
pub use pointers::store::{Catalog, Change, Draft, NewTable, TableEntry, ViewChange, ViewEntry, conformance};
pub use qualified_name::QualifiedName;
pub use read::{IcebergTable, NESTED_CAST_FUNCTION, RowPositionExec, ScanLog, ScanReport, TextType, nested_cast_udf};
pub use row_level::{FoundFiles, RowChange};
pub use table::commit::{
    Base, COMMIT_KEY, CherryPick, Commit, CommitCounts, CommitKey, Committed, Destination, Isolation, MAIN_BRANCH,
    Operation, Overwrite, ReadFilter, Replaced, Tally, ancestors, ancestors_of, find_commit, head,
};
pub use table::conformance::warehouse_conformance;
pub use table::evolve::COMMENT;
pub use table::files::SnapshotFiles;
pub use table::live_file::LiveFile;
pub use table::version::Version;
pub use table::views::{NewView, View};
pub use table::{Warehouse, vended_address};
pub use time_travel::VersionedTables;
pub use unreadable::check_readable;
