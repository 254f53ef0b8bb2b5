//! Plain DataFusion in a process of its own, which may use as much CPU as a number of workers.
//!
//! The process runs queries that it reads from its standard input, one line of JSON each, and answers with a line each.

use std::time::Instant;

use arrow::array::RecordBatch;
use bergmill_gateway::Client;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::baseline::Baseline;
use crate::cluster::{ClusterSettings, Process, Quotas};
use crate::compare::fingerprint;
use crate::error::{Error, Result};

/// The line that says that the tables are open.
const READY: &str = "plain DataFusion is ready";
/// How an answer begins.
const ANSWER: &str = "answer ";

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    name: String,
    sql: String,
}

/// What a query took, and a fingerprint of its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PlainRun {
    pub seconds: f64,
    pub rows: u64,
    pub hash: String,
}

/// A process with plain DataFusion.
#[derive(Debug)]
pub(super) struct PlainDataFusion {
    pub process: Process,
    pub workers: usize,
}

impl PlainDataFusion {
    /// Starts the process over the tables behind `door`, with the CPU of `workers`, and a partition for each.
    pub(super) fn start(
        settings: &ClusterSettings,
        door: &str,
        workers: usize,
        quotas: Option<&Quotas>,
    ) -> Result<Self> {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let cores = settings.share * workers as f64;
        let share = quotas.map(|quotas| quotas.share(&format!("{workers}-workers-plain"), cores)).transpose()?;
        let partitions = workers.to_string();
        let arguments = ["experiment", "plain-datafusion", "--connect", door, "--partitions", &partitions];
        let arguments = arguments.map(ToString::to_string);
        let log = settings.logs.join("plain-datafusion.log");
        // The number of cores of a share is rounded down, but a partition needs a thread of its own.
        let process = Process::start(&settings.binary, &arguments, share, Some(workers), &log)?;
        process.announced(READY)?;
        Ok(Self { process, workers })
    }

    /// Runs a query.
    pub(super) fn run(&mut self, name: &str, sql: &str) -> Result<PlainRun> {
        let request = Request { name: name.to_string(), sql: sql.to_string() };
        self.process.send(&json(name, &request)?)?;
        let answer = self.process.announced(ANSWER)?;
        let answer: std::result::Result<PlainRun, String> = parse(name, &answer)?;
        answer.map_err(|e| Error::NoData(format!("{name}, in plain DataFusion: {e}")))
    }
}

/// Runs queries from the standard input on plain DataFusion, over the data files of the tables behind `client`, until
/// there are no more.
///
/// # Errors
/// If the tables cannot be opened, or a line is not a query.
pub async fn serve_plain_datafusion(client: &Client, partitions: usize) -> Result<()> {
    let baseline = Baseline::open(client, partitions).await?;
    println!("{READY}");
    let failed = |source| Error::Io { what: "standard input".to_string(), source };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.map_err(failed)? {
        let Request { name, sql } = parse("a query", &line)?;
        let began = Instant::now();
        let answer = match baseline.rows(&sql).await {
            Ok(batches) => {
                let seconds = began.elapsed().as_secs_f64();
                let rows = batches.iter().map(|batch: &RecordBatch| batch.num_rows() as u64).sum();
                fingerprint(&batches).map(|hash| PlainRun { seconds, rows, hash }).map_err(|e| e.to_string())
            }
            Err(e) => Err(e.to_string()),
        };
        println!("{ANSWER}{}", json(&name, &answer)?);
    }
    Ok(())
}

fn json(what: &str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::NoData(format!("{what}: {e}")))
}

fn parse<T: for<'a> Deserialize<'a>>(what: &str, line: &str) -> Result<T> {
    serde_json::from_str(line).map_err(|e| Error::NoData(format!("{what}: {line}: {e}")))
}
