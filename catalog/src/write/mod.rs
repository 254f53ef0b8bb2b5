//! Writing: from a plan's rows to Parquet data files that a commit can make visible.
//!
//! [`plan_write`] puts the rows where they belong (cast to the table's columns, clustered by partition, in the table's
//! sort order) and ends the plan with an [`IcebergWriteExec`]. It runs in every task of the last stage, writes data
//! files with fresh names and returns one row per file; [`data_files`] turns those rows back into what a commit takes.
//! Nobody sees a file before the commit names it: a task that fails or is cancelled deletes what it wrote, and
//! [`delete_leftovers`] removes the files of attempts that were lost with their executor.
mod cleanup;
mod codec;
mod conform;
mod exec;
mod file;
mod location;
mod metrics;
mod partition;
mod partition_function;
mod plan;
mod result;
mod settings;
mod spec;

#[cfg(test)]
mod tests;

pub use cleanup::{delete_files, delete_leftovers, remove_leftovers};
pub use codec::{decode, encode};
pub use exec::IcebergWriteExec;
pub use location::HashedPaths;
pub use partition_function::{PARTITION_FUNCTION, partition_udf};
pub use plan::plan_write;
pub use result::{DATA_FILE_COLUMN, data_files, output_schema};
pub use spec::{DistributionMode, WriteSpec};
