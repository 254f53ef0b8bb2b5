//! Measuring Bergmill, through the public front door alone.
//!
//! A [`Suite`] is a list of queries. [`run`] asks each of the cluster and of plain DataFusion over the very same
//! Parquet files, compares the two answers first, and only then times them, in turn, in one process and one run. So a
//! ratio in its [`Report`] is a ratio of two engines that had the same files, the same cores and the same minute of the
//! machine.

mod baseline;
mod bench;
mod compare;
mod error;
mod report;
mod suite;
mod tpch;

pub use bench::{Options, Progress, run};
pub use error::{Error, Result};
pub use report::{Latency, Measured, Report};
pub use suite::{Query, Suite};
pub use tpch::{TPCH_TABLES, TpchTable, tpch_table};
