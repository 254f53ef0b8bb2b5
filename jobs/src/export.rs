//! Exports: a table's partition as one Parquet file, for users without a catalog.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::JobError;
use crate::files::write_atomically;
use crate::interval::Interval;
use crate::table_name::TableName;

/// The export of one table to one folder.
#[derive(Debug, Clone)]
pub struct Export {
    /// One of the step's outputs.
    pub table: TableName,
    /// Folder below the date's folder.
    pub name: String,
    /// Columns to sort by, so that equal rows produce equal files.
    pub order_by: String,
}

impl Export {
    /// The SELECT of the rows to export.
    pub(crate) fn sql(&self, interval: Interval, partition: &str) -> String {
        let order = if self.order_by.is_empty() { String::new() } else { format!(" ORDER BY {}", self.order_by) };
        format!("SELECT * FROM {} WHERE {partition} = DATE '{interval}'{order}", self.table)
    }

    /// Writes the rows to `<exports>/2026/02/14/<name>/<table>.parquet`, replacing the file of an earlier run.
    pub(crate) async fn write(
        &self,
        exports: &Path,
        interval: Interval,
        rows: &[RecordBatch],
    ) -> Result<PathBuf, JobError> {
        let folder = exports.join(interval.folder()).join(&self.name);
        let path = folder.join(format!("{}.parquet", self.table.table()));
        let failed = |error: ParquetError| JobError::File { path: path.clone(), source: std::io::Error::other(error) };
        let bytes = parquet_file(rows).map_err(failed)?;
        write_atomically(&path, &bytes).await?;
        Ok(path)
    }
}

fn parquet_file(rows: &[RecordBatch]) -> Result<Vec<u8>, ParquetError> {
    // `Query::rows` returns a batch even for no rows; without a schema there is no file to write.
    let first = rows.first().ok_or_else(|| ParquetError::General("the answer has no schema to write".to_owned()))?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, first.schema(), Some(properties))?;
    for batch in rows {
        writer.write(batch)?;
    }
    writer.close()?;
    Ok(bytes)
}
