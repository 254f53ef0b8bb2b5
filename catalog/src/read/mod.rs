//! Reading a table: manifests decide which files a query needs, DataFusion's Parquet source reads them.
mod data_file;
mod field_ids;
mod metadata_columns;
mod nested_cast;
mod provider;
mod row_position;
mod scan;
mod scan_name;
mod statistics;

pub use nested_cast::{NESTED_CAST_FUNCTION, nested_cast_udf};
pub use provider::{IcebergTable, TextType};
pub use row_position::RowPositionExec;
pub use scan::{ScanLog, ScanReport};
pub(crate) use scan_name::named;
