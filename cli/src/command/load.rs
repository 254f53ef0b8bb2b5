//! `bergmill load`: files into a table, in one commit.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bergmill_gateway::{Client, IngestMode, IngestTarget};
use bergmill_ingest::{Progress, Source, open};
use bergmill_statement::CATALOG;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;
use indicatif::ProgressBar;

use crate::cluster::Target;
use crate::progress::Display;

/// Arguments of `load`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// CSV (.csv, .tsv), JSON lines (.json, .jsonl, .ndjson) or Parquet files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Table to load into; created with the files' columns if it does not exist
    #[arg(long, value_name = "NAMESPACE.TABLE")]
    into: String,
    /// Write unreadable lines to this file and load the others; without it, such a line fails the load
    #[arg(long, value_name = "FILE")]
    reject_to: Option<PathBuf>,
    /// Field separator of CSV files [default: detected from their first lines: , ; | or tab]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Replace the table's rows instead of appending
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    target: Target,
}

/// Loads the files: all of their rows, or nothing.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let (namespace, table) = match arguments.into.split('.').collect::<Vec<_>>().as_slice() {
        [table] => ("raw".to_string(), (*table).to_string()),
        [namespace, table] | [CATALOG, namespace, table] => ((*namespace).to_string(), (*table).to_string()),
        _ => bail!("--into {} is not namespace.table", arguments.into),
    };
    let display = Display::new();
    let connected = arguments.target.open().await?;
    let client = &connected.client;
    let reading = display.begin("inspect the files", 0);
    let schema = table_schema(client, &namespace, &table).await?;
    let exists = schema.is_some();
    let Arguments { files, delimiter, reject_to, .. } = arguments;
    let opened = open(Source { files, format: None, delimiter, schema, reject_to }).await?;
    let mut found = format!("{} columns", opened.schema.fields().len());
    for (file, delimiter) in &opened.delimiters {
        found.push_str(&format!(", {} separated by {delimiter:?}", file.display()));
    }
    reading.done(&found);
    if !exists {
        client.update(&format!("CREATE SCHEMA IF NOT EXISTS \"{namespace}\""), None).await?;
    }

    let progress = opened.progress.clone();
    let task = display.begin(&format!("{namespace}.{table}"), progress.bytes_total());
    let watching = tokio::spawn(watch(progress.clone(), task.counter()));
    let batches = opened.batches.map_err(|e| DataFusionError::External(Box::new(e)));
    let input = Box::pin(RecordBatchStreamAdapter::new(opened.schema, batches));
    let mode = if arguments.replace { IngestMode::Replace } else { IngestMode::CreateAppend };
    let into = format!("{namespace}.{table}");
    let target = IngestTarget { namespace: Some(namespace), table, mode, tag: None };
    let loaded = client.ingest(&target, input).await;
    watching.abort();
    let rows = loaded.with_context(|| format!("nothing was loaded into {into}"))?;
    let rejected = match progress.rejected() {
        0 => String::new(),
        1 => ", 1 line rejected".to_string(),
        n => format!(", {n} lines rejected"),
    };
    task.done(&format!("{rows} rows{rejected}"));
    Ok(ExitCode::SUCCESS)
}

/// An ASCII character, or `tab`.
fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [b'"' | b'\n' | b'\r'] => Err("quotes and line breaks cannot separate fields".to_string()),
        [one] if one.is_ascii() => Ok(*one),
        _ => Err("give an ASCII character, or tab".to_string()),
    }
}

/// The columns of the table, if it exists.
async fn table_schema(client: &Client, namespace: &str, table: &str) -> Result<Option<arrow::datatypes::SchemaRef>> {
    let tables = client.tables().await?;
    Ok(tables.into_iter().find(|t| t.namespace == namespace && t.name == table).map(|t| t.schema))
}

/// Shows the progress of the reader, ten times a second.
async fn watch(progress: Progress, bar: ProgressBar) {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        bar.set_position(progress.bytes_read());
        bar.set_message(format!("bytes, {} rows", progress.rows()));
    }
}
