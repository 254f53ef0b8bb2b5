//! DuckDB in a Python process that lives as long as this value, because its crate is not among our dependencies.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Answer;

/// The script that Python runs.
const SCRIPT: &str = include_str!("duckdb.py");

/// A DuckDB with tables in memory.
#[derive(Debug)]
pub(crate) struct DuckDb {
    _process: Child,
    requests: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

/// The Python of `correctness/run`, which has the packages.
pub(crate) fn default_python() -> PathBuf {
    let tools = std::env::var_os("BERGMILL_CI_TOOLS").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    tools.unwrap_or_else(|| home().join(".cache/bergmill/tools")).join("correctness-venv/bin/python")
}

impl DuckDb {
    /// Starts DuckDB with this Python.
    pub(crate) async fn start(python: &Path) -> Result<Self> {
        let mut command = Command::new(python);
        command.args(["-u", "-B", "-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| {
            format!("{} does not start: run correctness/run, or name a Python with --python", python.display())
        })?;
        let requests = process.stdin.take().context("DuckDB has no input")?;
        let replies = BufReader::new(process.stdout.take().context("DuckDB has no output")?).lines();
        let mut duckdb = Self { _process: process, requests, replies, folder: tempfile::tempdir()? };
        let one = duckdb.query("SELECT 1", Duration::from_secs(60)).await?;
        ensure!(one.is_ok(), "DuckDB does not answer: {}", one.err().unwrap_or_default());
        Ok(duckdb)
    }

    /// Creates or replaces a table.
    pub(crate) async fn load(&mut self, name: &str, rows: &RecordBatch) -> Result<()> {
        let path = self.folder.path().join("in.arrow");
        let mut writer = FileWriter::try_new(File::create(&path)?, &rows.schema())?;
        writer.write(rows)?;
        writer.finish()?;
        let reply = self.send(&json!({"load": name, "path": path})).await?;
        ensure!(reply.is_none(), "DuckDB cannot load table {name}: {}", reply.unwrap_or_default());
        Ok(())
    }

    /// The rows of a query, or the reason why there are none.
    pub(crate) async fn query(&mut self, sql: &str, timeout: Duration) -> Result<std::result::Result<Answer, String>> {
        self.run(sql, timeout, true).await
    }

    /// The same, of a plan that DuckDB does not optimize.
    pub(crate) async fn query_unoptimized(
        &mut self,
        sql: &str,
        timeout: Duration,
    ) -> Result<std::result::Result<Answer, String>> {
        self.run(sql, timeout, false).await
    }

    async fn run(
        &mut self,
        sql: &str,
        timeout: Duration,
        optimized: bool,
    ) -> Result<std::result::Result<Answer, String>> {
        let path = self.folder.path().join("out.arrow");
        let request = json!({"query": sql, "path": path, "seconds": timeout.as_secs_f64(), "optimized": optimized});
        if let Some(error) = self.send(&request).await? {
            return Ok(Err(error));
        }
        let reader = FileReader::try_new(File::open(&path)?, None)?;
        let schema = reader.schema();
        Ok(Ok(Answer { schema, batches: reader.collect::<Result<_, _>>()? }))
    }

    /// The error of a request, or none.
    async fn send(&mut self, request: &Value) -> Result<Option<String>> {
        self.requests.write_all(format!("{request}\n").as_bytes()).await?;
        self.requests.flush().await?;
        let reply = self.replies.next_line().await?.context("DuckDB has ended")?;
        let reply: Value = serde_json::from_str(&reply)?;
        Ok(reply.get("error").and_then(Value::as_str).map(ToString::to_string))
    }
}
