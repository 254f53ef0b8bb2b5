//! Clusters of several shapes over one warehouse, started with the binary as a user does.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::RecordBatch;
use bergmill_gateway::{Client, IngestMode, IngestTarget};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::future::try_join_all;
use tempfile::TempDir;

use crate::Answer;

/// Long enough for a debug binary on a busy machine.
const START: Duration = Duration::from_secs(60);
/// The probe after a query that did not end: a cluster that does not answer it in time is replaced.
const PROBE: &str = "SELECT 1";
const PROBE_TIME: Duration = Duration::from_secs(5);
/// The namespace of unqualified names.
const DEFAULT_NAMESPACE: &str = "raw";

/// A way in which a query can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Its name in reports and `--shape`.
    pub name: &'static str,
    arguments: &'static [&'static str],
}

/// In the scheduler's own process; whole on one executor; in stages on two and on three executors.
pub const SHAPES: [Shape; 4] = [
    Shape { name: "local", arguments: &["--executors", "1", "--local-query-bytes", "1000000000000"] },
    Shape { name: "whole", arguments: &["--executors", "1", "--vcores", "2", "--local-query-bytes", "0"] },
    Shape { name: "2x1", arguments: &["--executors", "2", "--vcores", "1", "--local-query-bytes", "0"] },
    Shape { name: "3x2", arguments: &["--executors", "3", "--vcores", "2", "--local-query-bytes", "0"] },
];

/// Memory for the queries of each cluster, in MiB: all of them run on one machine.
const MEMORY_MIB: &str = "1024";

impl Shape {
    /// The shapes with these names, separated by commas.
    ///
    /// # Errors
    /// When there is no shape of that name.
    pub fn named(names: &str) -> Result<Vec<Shape>> {
        let one = |name: &str| SHAPES.into_iter().find(|s| s.name == name);
        let known = || SHAPES.map(|s| s.name).join(", ");
        names
            .split(',')
            .map(|name| one(name.trim()).with_context(|| format!("there is no shape {name}; there are {}", known())))
            .collect()
    }
}

/// The outcome of a query.
#[derive(Debug)]
pub enum Outcome {
    /// It returned rows.
    Answer(Answer),
    /// It failed with this message.
    Failed(String),
    /// It did not end within the timeout.
    Hung,
}

/// Clusters over one warehouse, which are stopped when this is dropped.
#[derive(Debug)]
pub struct Clusters {
    clusters: Vec<Cluster>,
    folder: TempDir,
    timeout: Duration,
}

#[derive(Debug)]
struct Cluster {
    shape: Shape,
    client: Client,
    process: Process,
}

impl Clusters {
    /// Starts a cluster of each shape over a new warehouse. A query may run for `timeout`.
    ///
    /// # Errors
    /// When there is no binary, or when it does not start.
    pub async fn start(shapes: &[Shape], timeout: Duration) -> Result<Self> {
        ensure!(!shapes.is_empty(), "no shape is named");
        let folder = tempfile::Builder::new().prefix("bergmill-correctness.").tempdir()?;
        let mut clusters = Vec::new();
        for shape in shapes {
            clusters.push(Cluster::start(*shape, folder.path()).await?);
        }
        let mut clusters = Self { clusters, folder, timeout };
        if let Err(error) = clusters.change(&format!("CREATE SCHEMA IF NOT EXISTS {DEFAULT_NAMESPACE}")).await? {
            bail!("the default namespace cannot be created: {error}");
        }
        Ok(clusters)
    }

    /// The shapes of the clusters.
    pub fn shapes(&self) -> Vec<Shape> {
        self.clusters.iter().map(|c| c.shape).collect()
    }

    /// A connection to the cluster of this shape; statements that change tables can use any shape.
    pub fn client(&self, shape: usize) -> &Client {
        &self.clusters[shape].client
    }

    /// Runs a query on the cluster at this index of [`Self::shapes`], and replaces the cluster if it does not recover
    /// from it.
    ///
    /// # Errors
    /// When a cluster has to be replaced and the new one does not start.
    pub async fn run(&mut self, shape: usize, sql: &str) -> Result<Outcome> {
        self.clusters[shape].run(sql, self.folder.path(), self.timeout).await
    }

    /// Runs a query on all clusters concurrently.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_everywhere(&mut self, sql: &str) -> Result<Vec<(Shape, Outcome)>> {
        let (folder, timeout) = (self.folder.path(), self.timeout);
        let run = async |cluster: &mut Cluster| Ok((cluster.shape, cluster.run(sql, folder, timeout).await?));
        try_join_all(self.clusters.iter_mut().map(run)).await
    }

    /// The rows of a query on the first cluster, or the reason why there are none.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn read(&mut self, sql: &str) -> Result<std::result::Result<Answer, String>> {
        Ok(match self.run(0, sql).await? {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Failed(error) => Err(error),
            Outcome::Hung => Err(format!("not ended after {} s", self.timeout.as_secs())),
        })
    }

    /// Runs a statement that changes tables, on the first cluster.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn change(&mut self, sql: &str) -> Result<std::result::Result<(), String>> {
        Ok(self.read(sql).await?.map(|_| ()))
    }

    /// Creates or replaces a table of the default namespace.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn ingest(&mut self, table: &str, rows: RecordBatch) -> Result<std::result::Result<(), String>> {
        let schema = rows.schema();
        let rows = RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(rows)]));
        let written = tokio::time::timeout(self.timeout, self.ingest_stream(table, Box::pin(rows))).await;
        written.unwrap_or_else(|_| Ok(Err("not written in time".to_string())))
    }

    /// Creates or replaces a table from a stream, without a timeout.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn ingest_stream(
        &mut self,
        table: &str,
        rows: SendableRecordBatchStream,
    ) -> Result<std::result::Result<(), String>> {
        let quoted = table.replace('"', "\"\"");
        if let Err(error) = self.change(&format!("DROP TABLE IF EXISTS \"{quoted}\"")).await? {
            return Ok(Err(error));
        }
        let (namespace, table) = (None, table.to_string());
        let target = IngestTarget { namespace, table, mode: IngestMode::Create, tag: None };
        Ok(self.client(0).ingest(&target, rows).await.map(|_| ()).map_err(|e| e.to_string()))
    }

    /// Drops all tables and views of the default namespace.
    ///
    /// # Errors
    /// As [`Self::run`], and when something cannot be dropped.
    pub async fn clear(&mut self) -> Result<()> {
        let tables = self.client(0).tables().await?;
        for table in tables.iter().filter(|t| t.namespace == DEFAULT_NAMESPACE) {
            let sql = format!("DROP {} \"{}\"", table.kind, table.name.replace('"', "\"\""));
            if let Err(error) = self.change(&sql).await? {
                bail!("{sql}: {error}");
            }
        }
        Ok(())
    }
}

impl Cluster {
    async fn start(shape: Shape, folder: &Path) -> Result<Self> {
        let process = Process::start(&shape, folder)?;
        let client = Client::connect(&process.door).await?;
        Ok(Self { shape, client, process })
    }

    async fn run(&mut self, sql: &str, folder: &Path, timeout: Duration) -> Result<Outcome> {
        let outcome = match tokio::time::timeout(timeout, self.query(sql)).await {
            Ok(Ok(answer)) => Outcome::Answer(answer),
            Ok(Err(error)) => Outcome::Failed(format!("{error:#}")),
            Err(_) => Outcome::Hung,
        };
        let is_suspect = matches!(outcome, Outcome::Hung) || !self.process.is_running();
        if is_suspect && !self.answers().await {
            *self = Self::start(self.shape, folder).await?;
        }
        Ok(outcome)
    }

    async fn query(&self, sql: &str) -> Result<Answer> {
        Answer::read(self.client.query(sql).await?).await
    }

    async fn answers(&self) -> bool {
        matches!(tokio::time::timeout(PROBE_TIME, self.query(PROBE)).await, Ok(Ok(_)))
    }
}

/// The binary: `BERGMILL_BIN`, or the one that was built with this program.
///
/// # Errors
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("BERGMILL_BIN") {
        return Ok(path.into());
    }
    // target/<profile>/bergmill-correctness, or target/<profile>/deps/<test>
    let program = std::env::current_exe()?;
    let built = program.ancestors().skip(1).take(2).map(|folder| folder.join("bergmill")).find(|path| path.is_file());
    built.with_context(|| format!("no bergmill beside {}: build it, or set BERGMILL_BIN", program.display()))
}

/// A process of ours, killed when it goes out of scope.
#[derive(Debug)]
struct Process {
    child: Child,
    door: String,
    /// For its temporary files, which a killed process leaves behind.
    _temporary: TempDir,
}

impl Process {
    /// Starts a cluster and waits until its door is open.
    fn start(shape: &Shape, folder: &Path) -> Result<Self> {
        let temporary = tempfile::tempdir()?;
        let mut command = Command::new(binary()?);
        command.arg("serve").arg("--data").arg(folder).args(["--listen", "127.0.0.1:0"]).args(shape.arguments);
        command.args(["--memory-mib", MEMORY_MIB]);
        // The user's settings must not reach this cluster.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BERGMILL_") {
                command.env_remove(name);
            }
        }
        let log = std::fs::File::create(folder.join(format!("{}.log", shape.name)))?;
        command.env("TMPDIR", temporary.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().context("bergmill does not start")?;
        let lines = lines(&mut child);
        let mut process = Self { child, door: String::new(), _temporary: temporary };
        loop {
            match lines.recv_timeout(START) {
                Ok(line) => {
                    if let Some(door) = line.strip_prefix("front door ") {
                        process.door = door.trim().to_string();
                        return Ok(process);
                    }
                }
                Err(_) => bail!("a cluster of shape {} has not opened its front door", shape.name),
            }
        }
    }

    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// The lines that it prints. They are read even if unused, so that the pipe does not fill.
fn lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    lines
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
