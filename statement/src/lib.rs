//! The SQL syntax: parses statements without any knowledge of the tables.
//!
//! [`parse`] tokenizes a text once and returns a [`Statement`]: a tree of this crate for Bergmill's own statements, and
//! one of sqlparser for those that DataFusion plans. Errors have positions in the text. Nothing here names a type of
//! Iceberg or DataFusion; the crates that run a statement interpret it.
mod alter_table;
mod assignments;
mod create_table;
mod ddl;
mod default_values;
mod delete_alias;
mod error;
mod explain;
mod metadata_columns;
mod names;
mod nearest;
mod parse;
mod partitions;
mod position;
mod procedures;
mod references;
mod show;
mod split;
mod table_refs;
mod terms;
mod token_reader;
mod versions;
mod views;

pub use alter_table::{Alteration, ColumnPath, ColumnPosition, PartitionChange, SchemaChange};
pub use create_table::TableClauses;
pub use ddl::Ddl;
pub use delete_alias::AliasedDelete;
pub use error::{Error, ErrorKind, Result};
pub use explain::{Explain, ExplainOptions};
pub use metadata_columns::{
    FILE_COLUMN, METADATA_COLUMNS, MODIFIED_COLUMN, PARTITION_COLUMN, PATH_COLUMN, POSITION_COLUMN, SNAPSHOT_COLUMN,
    wants_metadata_columns,
};
pub use names::{CATALOG, TableName, folded, identifier, quoted};
pub use nearest::nearest;
pub use parse::{Sql, Statement, parse};
pub use partitions::PartitionValue;
pub use position::Position;
pub use references::{ReferenceChange, ReferenceKind, ReferenceStatement, Retention, SnapshotName};
pub use show::Show;
pub use split::split;
pub use table_refs::tables_read;
pub use terms::{NullOrder, SortDirection, SortTerm, Term, Transform};
pub use versions::TABLE_CHANGES;
pub use views::{CreateView, ViewColumn};
