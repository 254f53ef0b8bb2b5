//! Versions of tables in SQL: how they are planned.

mod changes;
mod planner;

pub use crate::table::version::Version;
pub use planner::VersionedTables;
