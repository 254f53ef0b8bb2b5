//! Reading a table: the iceberg crate plans which files a query needs, DataFusion's Parquet source reads them.
mod evolved;
mod predicate;
mod provider;
mod relabel;
mod scan;
mod statistics;

pub use provider::{IcebergTable, TextType};
pub use relabel::{RELABEL_FUNCTION, relabel_udf};
pub use scan::{ScanLog, ScanReport};
