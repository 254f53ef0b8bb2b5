//! The same queries on Bergmill and on other engines, over the same Iceberg tables.
//!
//! Each engine has processes of its own, which all run until the end, and those that are not measured are idle. A
//! query is timed on an engine only if its result there is that of Bergmill. An engine that is not installed, or that
//! refuses a query, is reported, and does not affect the others.

mod engine;
mod measurement;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

pub use self::engine::PeerEngine;
use self::engine::{Peer, Start};
pub use self::measurement::PeerMeasurement;
pub use self::report::PeersReport;
use crate::cluster::{ClusterSettings, count};
use crate::compare::{by_value, difference_by_value, fingerprint};
use crate::error::{Error, Result};
use crate::experiment::ExperimentProgress;
use crate::machine::{Load, Machine};
use crate::measurement::{append, now};
use crate::random::SplitMix64;
use crate::suite::Query;

/// The experiment's name in measurements.
pub(crate) const EXPERIMENT: &str = "peers";

/// Options of the experiment.
#[derive(Debug, Clone)]
pub struct PeersSettings {
    /// The engines to measure beside Bergmill, which is always measured.
    pub engines: Vec<PeerEngine>,
    /// Timed repetitions, after one that warms up and is checked.
    pub repeat: usize,
    /// Seed of the order of measurements.
    pub seed: u64,
    /// Cores that each engine uses.
    pub cores: usize,
    /// Memory that each engine is allowed, in MiB.
    pub memory_mib: u64,
    /// The Python with the packages of engines that are not ours.
    pub python: PathBuf,
}

/// Measures the queries on all engines, and adds each measurement to the file in `out`. The engines read the tables of
/// `cluster`, of which `tables` has the names and the locations of the metadata files.
///
/// # Errors
/// If Bergmill does not start, or fails. What other engines do is in the report.
pub async fn run_peers(
    settings: &PeersSettings,
    cluster: &ClusterSettings,
    tables: &BTreeMap<String, String>,
    queries: &[Query],
    out: &Path,
    progress: &dyn ExperimentProgress,
) -> Result<PeersReport> {
    let mut experiment = Experiment::start(settings, cluster, tables, progress).await?;
    experiment.warm_up(queries, progress).await?;
    let mut random = SplitMix64(settings.seed);
    for repetition in 1..=settings.repeat.max(1) {
        for query in queries.iter().enumerate() {
            let mut order: Vec<usize> = (0..experiment.peers.len()).collect();
            random.shuffle(&mut order);
            for n in order {
                if let Some(measured) = experiment.measure(query, n, repetition, progress).await? {
                    append(out, &measured)?;
                    progress.measured(&measured);
                    experiment.measurements.push(measured);
                }
            }
        }
    }
    Ok(PeersReport::new(experiment.measurements, experiment.problems))
}

struct Experiment<'a> {
    settings: &'a PeersSettings,
    cluster: &'a ClusterSettings,
    tables: &'a BTreeMap<String, String>,
    /// Those that have started, Bergmill first.
    peers: Vec<Peer>,
    machine: Machine,
    input_rows: u64,
    /// The rows that each query should return.
    references: Vec<Reference>,
    measurements: Vec<PeerMeasurement>,
    /// What was not measured, and why.
    problems: Vec<PeerProblem>,
}

/// Why an engine, or one query on it, was not measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerProblem {
    /// The engine.
    pub engine: PeerEngine,
    /// The query, or all.
    pub query: Option<String>,
    /// Whether the query returned other rows than Bergmill.
    pub differs: bool,
    /// The error, or the first difference.
    pub reason: String,
}

/// Formats the problem for reports.
impl fmt::Display for PeerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.engine)?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, ", {query}"))?;
        write!(f, ": {}{}", if self.differs { "other rows than Bergmill: " } else { "" }, self.reason)
    }
}

/// The rows of a query without its last `LIMIT`, and how many of them it returns. Which rows a limit leaves is up to
/// the engine if several are equal in the order of the query.
struct Reference {
    rows: Vec<RecordBatch>,
    limit: Option<usize>,
}

impl<'a> Experiment<'a> {
    async fn start(
        settings: &'a PeersSettings,
        cluster: &'a ClusterSettings,
        tables: &'a BTreeMap<String, String>,
        progress: &dyn ExperimentProgress,
    ) -> Result<Self> {
        progress.step("start bergmill");
        let start = Start { settings, cluster, tables, door: "" };
        let ours = Peer::start(PeerEngine::Bergmill, &start).await?;
        let client = ours.client().ok_or_else(|| Error::NoData("no cluster".to_string()))?;
        let mut input_rows = 0;
        for table in tables.keys() {
            input_rows +=
                u64::try_from(count(client, &format!("SELECT count(*) FROM \"{table}\"")).await?).unwrap_or(0);
        }
        let mut experiment = Self {
            settings,
            cluster,
            tables,
            peers: vec![ours],
            machine: Machine::here(),
            input_rows,
            references: Vec::new(),
            measurements: Vec::new(),
            problems: Vec::new(),
        };
        let others: BTreeSet<_> = settings.engines.iter().copied().filter(|e| *e != PeerEngine::Bergmill).collect();
        for engine in others {
            progress.step(&format!("start {engine}"));
            match experiment.start_peer(engine).await {
                Ok(peer) => experiment.peers.push(peer),
                Err(e) => experiment.note(engine, None, false, e.to_string(), progress),
            }
        }
        Ok(experiment)
    }

    async fn start_peer(&self, engine: PeerEngine) -> Result<Peer> {
        let Self { settings, cluster, tables, peers, .. } = self;
        let door = peers[0].door();
        Peer::start(engine, &Start { settings, cluster, tables, door }).await
    }

    fn note(
        &mut self,
        engine: PeerEngine,
        query: Option<&Query>,
        differs: bool,
        reason: String,
        progress: &dyn ExperimentProgress,
    ) {
        let problem = PeerProblem { engine, query: query.map(|query| query.name.clone()), differs, reason };
        progress.step(&format!("not measured: {problem}"));
        self.problems.push(problem);
    }

    /// Runs each query once on each engine, and compares the results.
    async fn warm_up(&mut self, queries: &[Query], progress: &dyn ExperimentProgress) -> Result<()> {
        for query in queries {
            progress.step(&format!("check {}", query.name));
            let (sql, limit) = last_limit(&query.sql).map_or((query.sql.as_str(), None), |(sql, n)| (sql, Some(n)));
            let rows = self.peers[0].run(&query.name, sql).await?.rows;
            for n in 1..self.peers.len() {
                let engine = self.peers[n].engine;
                match self.peers[n].run(&query.name, sql).await {
                    Ok(run) => {
                        if let Some(what) = differs(&rows, &run.rows) {
                            self.note(engine, Some(query), true, what, progress);
                        }
                    }
                    Err(e) => {
                        self.note(engine, Some(query), false, e.to_string(), progress);
                        self.restart(n, progress).await;
                    }
                }
            }
            self.references.push(Reference { rows, limit });
        }
        Ok(())
    }

    /// Replaces the processes of an engine that has failed, if they have ended.
    async fn restart(&mut self, n: usize, progress: &dyn ExperimentProgress) {
        if self.peers[n].is_running() {
            return;
        }
        let engine = self.peers[n].engine;
        progress.step(&format!("start {engine} again"));
        // Otherwise each further query reports that it does not run.
        if let Ok(peer) = self.start_peer(engine).await {
            self.peers[n] = peer;
        }
    }

    /// A repetition; `None` of what is not measured.
    async fn measure(
        &mut self,
        (query_index, query): (usize, &Query),
        n: usize,
        repetition: usize,
        progress: &dyn ExperimentProgress,
    ) -> Result<Option<PeerMeasurement>> {
        let peer = &mut self.peers[n];
        let engine = peer.engine;
        let of_query = |problem: &&PeerProblem| problem.query.as_ref().is_none_or(|name| *name == query.name);
        if self.problems.iter().filter(of_query).any(|problem| problem.engine == engine) {
            return Ok(None);
        }
        peer.forget_peak();
        let (before, started_at, load) = (peer.usage(), now(), Load::begin());
        let run = peer.run(&query.name, &query.sql).await;
        let after = peer.usage();
        let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
        let other_cores = load.other_cores(cpu_seconds);
        let run = match run {
            Ok(run) => run,
            Err(e) if engine == PeerEngine::Bergmill => return Err(e),
            Err(e) => {
                self.note(engine, Some(query), false, format!("in repetition {repetition}: {e}"), progress);
                self.restart(n, progress).await;
                return Ok(None);
            }
        };
        if let Some(what) = self.references[query_index].differs(&run.rows) {
            self.note(engine, Some(query), true, format!("in repetition {repetition}: {what}"), progress);
            return Ok(None);
        }
        let hash = by_value(&run.rows).and_then(|rows| fingerprint(&rows));
        Ok(Some(PeerMeasurement {
            experiment: EXPERIMENT.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            machine: self.machine.clone(),
            started_at,
            seed: self.settings.seed,
            engine: engine.name().to_string(),
            engine_version: self.peers[n].version().to_string(),
            cores: self.settings.cores,
            memory_mib: self.settings.memory_mib,
            query: query.name.clone(),
            repetition,
            input_rows: self.input_rows,
            wall_seconds: run.seconds,
            cpu_seconds,
            peak_rss: after.peak_rss,
            result_rows: count_rows(&run.rows) as u64,
            result_hash: hash.map_err(|e| Error::Engine(format!("{engine}, {}: {e}", query.name)))?,
            other_cores,
        }))
    }
}

impl Reference {
    /// How the rows of a repetition differ from those of the query.
    fn differs(&self, rows: &[RecordBatch]) -> Option<String> {
        let Some(limit) = self.limit else { return differs(&self.rows, rows) };
        let (expected, got) = (count_rows(&self.rows).min(limit), count_rows(rows));
        (expected != got).then(|| format!("{expected} rows and {got}"))
    }
}

fn differs(expected: &[RecordBatch], rows: &[RecordBatch]) -> Option<String> {
    difference_by_value(expected, rows).unwrap_or_else(|e| Some(e.to_string()))
}

fn count_rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// A query without the `LIMIT n` at its end, and n.
fn last_limit(sql: &str) -> Option<(&str, usize)> {
    let (rest, number) = sql.trim_end().rsplit_once(char::is_whitespace)?;
    let rest = rest.trim_end();
    let (query, word) = rest.split_at_checked(rest.len().checked_sub("limit".len())?)?;
    if !word.eq_ignore_ascii_case("limit") || !query.ends_with(char::is_whitespace) {
        return None;
    }
    Some((query, number.parse().ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::machine::tests::machine;

    pub(crate) fn measurement(
        engine: PeerEngine,
        query: &str,
        repetition: usize,
        wall_seconds: f64,
    ) -> PeerMeasurement {
        PeerMeasurement {
            experiment: EXPERIMENT.to_string(),
            version: "0.0.0".to_string(),
            machine: machine(),
            started_at: 1_790_000_000,
            seed: 42,
            engine: engine.name().to_string(),
            engine_version: "1.2.3".to_string(),
            cores: 2,
            memory_mib: 4096,
            query: query.to_string(),
            repetition,
            input_rows: 1_000_000,
            wall_seconds,
            cpu_seconds: 2.0 * wall_seconds,
            peak_rss: 100 << 20,
            result_rows: 3,
            result_hash: "00ff".to_string(),
            other_cores: Some(0.0),
        }
    }

    #[test]
    fn a_limit_at_the_end_is_left_out_of_comparisons() {
        let check = |sql: &str, expected: Option<(&str, usize)>| assert_eq!(last_limit(sql), expected, "{sql}");
        check("SELECT a FROM t ORDER BY a LIMIT 10", Some(("SELECT a FROM t ORDER BY a ", 10)));
        check("SELECT 1\nlimit\n 7\n", Some(("SELECT 1\n", 7)));
        check("SELECT a FROM (SELECT a FROM t LIMIT 10)", None);
        check("SELECT 1 LIMIT 10 OFFSET 5", None);
        check("SELECT a AS nolimit 10", None);
        check("10", None);
        check("é 10", None);
    }
}
