//! The sources of a load, and the checks before the first row.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;

use crate::delimiter;
use crate::error::{Error, Result};
use crate::infer;
use crate::progress::Progress;
use crate::rejects::Rejects;
use crate::stream::{self, Job, Reader};

/// The formats of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Values separated by commas or another detected delimiter, with a header line.
    Csv,
    /// Values separated by tabs, with a header line.
    Tsv,
    /// One JSON object per line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format of a file's extension.
    pub fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "json" | "jsonl" | "ndjson" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    pub(crate) fn is_csv(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv)
    }
}

/// A file to read.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) file: PathBuf,
    pub(crate) format: Format,
    /// The delimiter, for CSV.
    pub(crate) delimiter: u8,
}

/// Files to read as the rows of one table.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The files, read in this order.
    pub files: Vec<PathBuf>,
    /// Their format; if `None`, it is determined by the extension of each.
    pub format: Option<Format>,
    /// The delimiter of CSV files; if `None`, it is detected from the first lines of each.
    pub delimiter: Option<u8>,
    /// The columns of the table. The columns of a file are matched by name: an unknown one is an error, a missing one
    /// is null if it is nullable. If `None`, the columns are inferred.
    pub schema: Option<SchemaRef>,
    /// A file for bad lines, which is overwritten; if `None`, a bad line stops the load.
    pub reject_to: Option<PathBuf>,
}

/// Files that are ready to be read.
pub struct Opened {
    /// CSV files with their detected delimiters, if not a comma.
    pub delimiters: Vec<(PathBuf, String)>,
    /// The columns of every batch.
    pub schema: SchemaRef,
    /// The progress of reading, and the number of rejected lines.
    pub progress: Progress,
    /// The batches of all files. Reading starts with the first poll, on its own thread, and stops at the end of the
    /// stream, at its first error or when it is dropped. After an end without an error, the reject file is complete.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("schema", &self.schema).field("progress", &self.progress).finish_non_exhaustive()
    }
}

/// Checks all files and determines the columns. Every file is opened before the first row is returned.
///
/// # Errors
/// If a file cannot be read, or its columns do not match those of the table. Without a schema, also if a line of a text
/// file is not a record, because inference reads all lines.
pub async fn open(source: Source) -> Result<Opened> {
    let job = tokio::task::spawn_blocking(move || prepare(source)).await.map_err(stream::internal)??;
    let found = job.inputs.iter().filter(|input| input.format == Format::Csv && input.delimiter != b',');
    let delimiters = found.map(|input| (input.file.clone(), delimiter::name(input.delimiter))).collect();
    let (schema, progress) = (Arc::clone(&job.schema), job.progress.clone());
    Ok(Opened { delimiters, schema, progress, batches: stream::batches(job) })
}

fn prepare(source: Source) -> Result<Job> {
    if source.files.is_empty() {
        return Err(Error::NoFiles);
    }
    let mut bytes = 0;
    let mut inputs = Vec::with_capacity(source.files.len());
    let mut originals: Vec<PathBuf> = Vec::with_capacity(source.files.len());
    for file in source.files {
        bytes += size(&file)?;
        let original = fs::canonicalize(&file).map_err(|cause| Error::Read { file: file.clone(), cause })?;
        if originals.contains(&original) {
            return Err(unusable(&file, "is given twice: its rows would be loaded twice"));
        }
        originals.push(original);
        let format = source.format.or_else(|| Format::of(&file)).ok_or_else(|| {
            unusable(
                &file,
                "has none of the extensions .csv, .tsv, .json, .jsonl, .ndjson and .parquet; specify its format",
            )
        })?;
        let delimiter = match (format, source.delimiter) {
            (Format::Csv | Format::Tsv, Some(delimiter)) => delimiter,
            (Format::Csv, None) => delimiter::of(&file)?,
            _ => b'\t',
        };
        inputs.push(Input { file, format, delimiter });
    }
    if let Some(path) = &source.reject_to
        && fs::canonicalize(path).is_ok_and(|path| originals.contains(&path))
    {
        return Err(unusable(path, "is an input and cannot be the reject file"));
    }
    let progress = Progress::new(bytes);
    let rejecting = source.reject_to.is_some();
    let schema = match source.schema {
        Some(schema) => schema,
        None => Arc::new(infer::schema(&inputs, rejecting)?),
    };
    for input in &inputs {
        Reader::open(input, Arc::clone(&schema))?;
    }
    let rejects = Rejects::create(source.reject_to, progress.clone())?;
    Ok(Job { inputs, schema, rejects, progress })
}

/// The size of a file; an error if it does not exist, is not a regular file or cannot be read.
fn size(file: &Path) -> Result<u64> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => Error::Missing { file: file.to_owned() },
        _ => Error::Read { file: file.to_owned(), cause },
    };
    let metadata = fs::metadata(file).map_err(failed)?;
    if metadata.is_dir() {
        return Err(unusable(file, "is a directory"));
    }
    if !metadata.is_file() {
        // Inference and the check before the first row read the file too; a pipe can be read only once.
        return Err(unusable(file, "is not a regular file"));
    }
    fs::File::open(file).map_err(failed)?;
    Ok(metadata.len())
}

fn unusable(file: &Path, reason: &str) -> Error {
    Error::Unusable { file: file.to_owned(), reason: reason.to_owned() }
}
