//! Reading a table: the iceberg crate plans which files a query needs, DataFusion's Parquet source reads them.
mod predicate;
mod provider;
mod scan;
mod statistics;

pub use provider::{IcebergTable, TextType};
pub use scan::{ScanLog, ScanReport};
