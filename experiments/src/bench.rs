//! Asking both engines in turn.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bergmill_gateway::Client;
use futures::TryStreamExt;

use crate::answer::difference;
use crate::error::{Error, Result};
use crate::plain::Plain;
use crate::report::{Latency, Measured, Report};
use crate::suite::{Question, Suite};

/// Times that the smallest query is asked for its latency.
const LATENCY_REPEATS: usize = 200;

/// How a suite is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Timed repetitions of each question, after one that warms up and is compared.
    pub repeat: usize,
    /// Partitions of plain DataFusion: as many as the cluster has vcores.
    pub partitions: usize,
}

/// Told what is under way.
pub trait Progress {
    /// A question has been measured.
    fn measured(&self, question: &Measured);
}

/// Runs a suite on the cluster behind `client` and on plain DataFusion over the same files.
///
/// # Errors
/// When an engine fails, or when the two answers to a question differ: then nothing is timed.
pub async fn run(suite: &Suite, client: &Client, options: Options, progress: &dyn Progress) -> Result<Report> {
    let plain = Plain::open(client, options.partitions).await?;
    let mut questions = Vec::with_capacity(suite.questions.len());
    for question in &suite.questions {
        let measured = measure(question, client, &plain, options.repeat.max(1)).await?;
        progress.measured(&measured);
        questions.push(measured);
    }
    let latency = latency(client).await?;
    Ok(Report { suite: suite.name.clone(), partitions: options.partitions, questions, latency })
}

async fn measure(question: &Question, client: &Client, plain: &Plain, repeat: usize) -> Result<Measured> {
    let (first, _) = on_cluster(question, client).await?;
    let (second, _) = on_plain(question, plain).await?;
    let differs = |difference: String| Error::Differs { question: question.name.clone(), difference };
    match difference(&first, &second) {
        Ok(None) => {}
        Ok(Some(what)) => return Err(differs(what)),
        Err(e) => return Err(differs(e.to_string())),
    }
    let rows = first.iter().map(RecordBatch::num_rows).sum();
    let (mut cluster, mut datafusion) = (Vec::with_capacity(repeat), Vec::with_capacity(repeat));
    for _ in 0..repeat {
        cluster.push(on_cluster(question, client).await?.1.as_secs_f64());
        datafusion.push(on_plain(question, plain).await?.1.as_secs_f64());
    }
    Ok(Measured { name: question.name.clone(), rows, cluster, datafusion })
}

async fn on_cluster(question: &Question, client: &Client) -> Result<(Vec<RecordBatch>, Duration)> {
    let failed = |source| Error::Cluster { what: question.name.clone(), source };
    let started = Instant::now();
    let rows = client.query(&question.sql).await.map_err(failed)?.try_collect().await.map_err(failed)?;
    Ok((rows, started.elapsed()))
}

async fn on_plain(question: &Question, plain: &Plain) -> Result<(Vec<RecordBatch>, Duration)> {
    let failed = |source| Error::Plain { what: question.name.clone(), source };
    let started = Instant::now();
    let rows = plain.rows(&question.sql).await.map_err(failed)?;
    Ok((rows, started.elapsed()))
}

async fn latency(client: &Client) -> Result<Latency> {
    let question = Question { name: "SELECT 1".to_string(), sql: "SELECT 1".to_string() };
    let mut times = Vec::with_capacity(LATENCY_REPEATS);
    for _ in 0..LATENCY_REPEATS {
        times.push(on_cluster(&question, client).await?.1.as_secs_f64());
    }
    Ok(Latency::of(times))
}
