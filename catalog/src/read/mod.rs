//! Reading a table: manifests tell which files a query needs, DataFusion's Parquet source reads them.
mod data_file;
mod evolved;
mod hidden;
mod provider;
mod relabel;
mod row_position;
mod scan;
mod scan_name;
mod statistics;

pub use provider::{IcebergTable, TextType};
pub use relabel::{RELABEL_FUNCTION, relabel_udf};
pub use row_position::RowPositionExec;
pub use scan::{ScanLog, ScanReport};
pub(crate) use scan_name::named;
