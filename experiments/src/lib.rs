//! Measures Bergmill through its public front door.
//!
//! A [`Suite`] is a list of queries. [`run`] sends each to the cluster and to plain DataFusion over the same Parquet
//! files, compares the two results, and only then times the engines, in turn, in one process and one run. So both sides
//! of a ratio in its [`Report`] had the same files, the same cores and the same minute of the machine.

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
