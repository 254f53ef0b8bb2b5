//! The SQL syntax: parses statements without any knowledge of the tables.
//!
//! [`parse`] tokenizes a text once and returns a [`Statement`]: a tree of this crate for Bergmill's own statements, and
//! one of sqlparser for those that DataFusion plans. Errors have positions in the text. Nothing here names a type of
//! Iceberg or DataFusion; the crates that run a statement interpret it.
//!
//! ```
//! use bergmill_statement::{Statement, parse, split};
//!
//! let (statements, is_complete) = split("ALTER TABLE raw.t CREATE BRANCH audit; SELECT ';' FROM raw.t");
//! assert_eq!((statements.len(), is_complete), (2, false));
//! assert!(matches!(parse(&statements[0])?, Statement::References(_)));
//! assert!(matches!(parse(&statements[1])?, Statement::Sql(_)));
//!
//! let e = parse("ALTER TABLE raw.t CREATE BRANCH audit RETAIN 7 WEEKS").unwrap_err();
//! assert_eq!(e.to_string(), "SQL: Expected: DAYS, HOURS or MINUTES, found: WEEKS (line 1, column 48)");
//! # Ok::<(), bergmill_statement::Error>(())
//! ```
mod alter_table;
mod assignments;
mod create_table;
mod ddl;
mod default_values;
mod delete_alias;
mod distinct_from;
mod error;
mod explain;
mod grants;
mod kill;
mod metadata_columns;
mod names;
mod nearest;
mod options;
mod parameters;
mod parse;
mod partitions;
mod position;
mod procedures;
mod references;
mod show;
mod split;
mod syntax;
mod table_refs;
mod terms;
mod token_reader;
mod users;
mod versions;
mod views;

pub use alter_table::{Alteration, ColumnPath, ColumnPosition, PartitionChange, SchemaChange};
pub use create_table::TableClauses;
pub use ddl::Ddl;
pub use delete_alias::AliasedDelete;
pub use error::{Error, ErrorKind, Result};
pub use explain::{Explain, ExplainOptions};
pub use grants::{GrantStatement, Granted, Grantee, GranteeKind, Privilege, Securable};
pub use metadata_columns::{
    FILE_COLUMN, METADATA_COLUMNS, MODIFIED_COLUMN, PARTITION_COLUMN, PATH_COLUMN, POSITION_COLUMN, SNAPSHOT_COLUMN,
    wants_metadata_columns,
};
pub use names::{CATALOG, TableName, folded, identifier, quoted};
pub use nearest::nearest;
pub use options::{NAMESPACE_OPTION, SetOption, TIME_ZONE_OPTION};
pub use parse::{Sql, Statement, parse};
pub use partitions::PartitionValue;
pub use position::Position;
pub use references::{ReferenceChange, ReferenceKind, ReferenceStatement, Retention, SnapshotName};
pub use show::Show;
pub use split::split;
pub use syntax::{Syntax, syntax};
pub use table_refs::tables_read;
pub use terms::{NullOrder, SortDirection, SortTerm, Term, Transform};
pub use users::{Password, UserStatement, without_passwords};
pub use versions::TABLE_CHANGES;
pub use views::{CreateView, ViewColumn};
