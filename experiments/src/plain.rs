//! Plain DataFusion in a process of its own.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::writer::FileWriter;
use bergmill_gateway::Client;
use datafusion::error::DataFusionError;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::baseline::Baseline;
use crate::cluster::{ClusterSettings, Process, Share};
use crate::engine::{Answer, Engine, Request};
use crate::error::{Error, Result};

/// Starts plain DataFusion over the tables behind `door`, in a share of the CPU if there is one, with as many
/// partitions and threads.
pub(crate) fn start_plain(
    settings: &ClusterSettings,
    door: &str,
    partitions: usize,
    share: Option<Share>,
) -> Result<Engine> {
    let number = partitions.to_string();
    let arguments = ["experiment", "plain-datafusion", "--connect", door, "--partitions", &number];
    let arguments = arguments.map(ToString::to_string);
    let log = settings.logs.join("plain-datafusion.log");
    // The number of cores of a share is rounded down, but a partition needs a thread of its own.
    Engine::start(Process::start(&settings.binary, &arguments, share, Some(partitions), &log)?)
}

/// Runs queries from the standard input on plain DataFusion, over the data files of the tables behind `client`, until
/// there are no more.
///
/// # Errors
/// If the tables cannot be opened, or a line is not a query.
pub async fn serve_plain_datafusion(client: &Client, partitions: usize) -> Result<()> {
    let baseline = Baseline::open(client, partitions).await?;
    Answer::Ready { version: datafusion::DATAFUSION_VERSION.to_string() }.print()?;
    let failed = |source| Error::Io { what: "standard input".to_string(), source };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.map_err(failed)? {
        let request: Request =
            serde_json::from_str(&line).map_err(|e| Error::NoData(format!("standard input: {line}: {e}")))?;
        let answer = run(&baseline, &request).await;
        answer.unwrap_or_else(|e| Answer::Failed(e.to_string())).print()?;
    }
    Ok(())
}

async fn run(baseline: &Baseline, request: &Request) -> Result<Answer, DataFusionError> {
    let began = Instant::now();
    let rows = baseline.rows(&request.sql).await?;
    let seconds = began.elapsed().as_secs_f64();
    write(&request.result, &rows)?;
    Ok(Answer::Ran { seconds })
}

/// Writes rows to a file in the format of Arrow. No rows have no columns there.
fn write(path: &Path, rows: &[RecordBatch]) -> Result<(), DataFusionError> {
    let schema = rows.first().map_or_else(|| Schema::empty().into(), RecordBatch::schema);
    let mut file = FileWriter::try_new(File::create(path)?, &schema)?;
    for batch in rows {
        file.write(batch)?;
    }
    Ok(file.finish()?)
}
