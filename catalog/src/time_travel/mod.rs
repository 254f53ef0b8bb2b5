//! Versions of tables in SQL: how they are written, and how they are planned.

mod changes;
mod hidden_names;
mod planner;
mod syntax;

pub use planner::VersionedTables;
pub(crate) use syntax::{mark_versions, settle_versions, table_name};

pub use crate::table::version::Version;
