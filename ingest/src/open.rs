//! What to read, and the checks that come before the first row.

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
    /// Values separated by commas, or what else is found to separate them, with a header line.
    Csv,
    /// The same with tabs.
    Tsv,
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format that a file's extension names.
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
    /// Of CSV.
    pub(crate) delimiter: u8,
}

/// Files to read as the rows of one table.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The files, read in this order.
    pub files: Vec<PathBuf>,
    /// Their format; without it, the extension of each says it.
    pub format: Option<Format>,
    /// What separates the fields of CSV files; without it, each file's first lines say it.
    pub delimiter: Option<u8>,
    /// The columns of the table. Those of a file are matched by name: an unknown one is an error, one that is missing
    /// is null where it may be. Without a schema the columns are inferred.
    pub schema: Option<SchemaRef>,
    /// A file to keep bad lines in, made anew; without it, a bad line stops the load.
    pub reject_to: Option<PathBuf>,
}

/// Files that are ready to be read.
pub struct Opened {
    /// CSV files with what was found to separate their fields, where it is no comma.
    pub delimiters: Vec<(PathBuf, String)>,
    /// The columns of every batch.
    pub schema: SchemaRef,
    /// How far reading is, and how many lines were rejected.
    pub progress: Progress,
    /// The batches of all files. Reading starts with the first poll, on a thread of its own, and ends with the stream,
    /// with its first error or when it is dropped. When it ended without an error, the reject file is complete.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("schema", &self.schema).field("progress", &self.progress).finish_non_exhaustive()
    }
}

/// Checks all files and settles the columns: no row is given out before every file was opened.
///
/// # Errors
/// When a file cannot be read, or its columns are not those of the table. Without a schema, also when a line of a text
/// file is no record, because inference reads them all.
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
            return Err(unusable(&file, "is named twice: its rows would be loaded twice"));
        }
        originals.push(original);
        let format = source.format.or_else(|| Format::of(&file)).ok_or_else(|| {
            unusable(
                &file,
                "has none of the extensions .csv, .tsv, .json, .jsonl, .ndjson and .parquet; name its format",
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
        return Err(unusable(path, "is to be read and cannot be the reject file"));
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

/// The size of a file that is there, is a file and can be read.
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
        // Inference reads twice, and so does the check before the first row; a pipe can be read once.
        return Err(unusable(file, "is not a regular file"));
    }
    fs::File::open(file).map_err(failed)?;
    Ok(metadata.len())
}

fn unusable(file: &Path, reason: &str) -> Error {
    Error::Unusable { file: file.to_owned(), reason: reason.to_owned() }
}
