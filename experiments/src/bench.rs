//! Runs queries on both engines in turn.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bergmill_gateway::Client;
use futures::TryStreamExt;

use crate::baseline::Baseline;
use crate::compare::difference;
use crate::error::{Error, Result};
use crate::report::{Latency, Measured, Report};
use crate::suite::{Query, Suite};

/// Repetitions of the smallest query, for its latency.
const LATENCY_REPEATS: usize = 200;

/// Options of a run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Timed repetitions of each query, after one that warms up and is compared.
    pub repeat: usize,
    /// Partitions of plain DataFusion: as many as the cluster has vcores.
    pub partitions: usize,
}

/// Receives the progress of a run.
pub trait Progress {
    /// Called when a query has been measured.
    fn measured(&self, query: &Measured);
}

/// Runs a suite on the cluster behind `client` and on plain DataFusion over the same files.
///
/// # Errors
/// If an engine fails, or if the two results of a query differ, in which case the query is not timed.
pub async fn run(suite: &Suite, client: &Client, options: Options, progress: &dyn Progress) -> Result<Report> {
    let baseline = Baseline::open(client, options.partitions).await?;
    let mut queries = Vec::with_capacity(suite.queries.len());
    for query in &suite.queries {
        let measured = measure(query, client, &baseline, options.repeat.max(1)).await?;
        progress.measured(&measured);
        queries.push(measured);
    }
    let latency = latency(client).await?;
    Ok(Report { suite: suite.name.clone(), partitions: options.partitions, queries, latency })
}

async fn measure(query: &Query, client: &Client, baseline: &Baseline, repeat: usize) -> Result<Measured> {
    let (first, _) = on_cluster(query, client).await?;
    let (second, _) = on_baseline(query, baseline).await?;
    let differs = |difference: String| Error::Differs { query: query.name.clone(), difference };
    match difference(&first, &second) {
        Ok(None) => {}
        Ok(Some(what)) => return Err(differs(what)),
        Err(e) => return Err(differs(e.to_string())),
    }
    let rows = first.iter().map(RecordBatch::num_rows).sum();
    let (mut cluster, mut datafusion) = (Vec::with_capacity(repeat), Vec::with_capacity(repeat));
    for _ in 0..repeat {
        cluster.push(on_cluster(query, client).await?.1.as_secs_f64());
        datafusion.push(on_baseline(query, baseline).await?.1.as_secs_f64());
    }
    Ok(Measured { name: query.name.clone(), rows, cluster, datafusion })
}

async fn on_cluster(query: &Query, client: &Client) -> Result<(Vec<RecordBatch>, Duration)> {
    let failed = |source| Error::Cluster { what: query.name.clone(), source };
    let started = Instant::now();
    let rows = client.query(&query.sql).await.map_err(failed)?.try_collect().await.map_err(failed)?;
    Ok((rows, started.elapsed()))
}

async fn on_baseline(query: &Query, baseline: &Baseline) -> Result<(Vec<RecordBatch>, Duration)> {
    let failed = |source| Error::Baseline { what: query.name.clone(), source };
    let started = Instant::now();
    let rows = baseline.rows(&query.sql).await.map_err(failed)?;
    Ok((rows, started.elapsed()))
}

async fn latency(client: &Client) -> Result<Latency> {
    let query = Query { name: "SELECT 1".to_string(), sql: "SELECT 1".to_string() };
    let mut times = Vec::with_capacity(LATENCY_REPEATS);
    for _ in 0..LATENCY_REPEATS {
        times.push(on_cluster(&query, client).await?.1.as_secs_f64());
    }
    Ok(Latency::of(times))
}
