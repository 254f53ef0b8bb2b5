//! Writing: from a plan's rows to Parquet data files that a commit can make visible.
//!
//! [`plan_write`] arranges the rows (cast to the table's columns, clustered by partition, in the table's sort order)
//! and ends the plan with an [`IcebergWriteExec`]. It runs in every task of the last stage, writes data files with
//! fresh names and returns one row per file; [`data_files`] converts those rows to the data files of a commit. A file
//! is invisible before the commit: a task that fails or is cancelled deletes its files, and [`delete_orphan_files`]
//! removes the files of attempts that were lost with their executor.
mod cleanup;
mod codec;
mod coerce;
mod exec;
mod file;
mod location;
mod metrics;
mod metrics_mode;
mod partition;
mod partition_function;
mod plan;
mod write_spec;
mod writer_properties;
mod written_file;

#[cfg(test)]
mod tests;

pub use cleanup::{delete_files, delete_orphan_files, remove_orphan_files};
pub use codec::{decode, encode};
pub use exec::IcebergWriteExec;
pub use location::HashedPaths;
pub use partition_function::{PARTITION_FUNCTION, partition_udf};
pub use plan::plan_write;
pub use write_spec::{DistributionMode, WriteSpec};
pub use written_file::{DATA_FILE_COLUMN, data_files, output_schema};
