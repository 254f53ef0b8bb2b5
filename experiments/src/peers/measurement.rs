//! A measurement of this experiment.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// One repetition of a query on an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerMeasurement {
    /// The experiment: `peers`.
    pub experiment: String,
    /// Version of Bergmill.
    pub version: String,
    /// Where it ran.
    pub machine: Machine,
    /// When it began, in seconds since 1970.
    pub started_at: u64,
    /// Seed of the order of measurements.
    pub seed: u64,
    /// The engine.
    pub engine: String,
    /// Its version.
    pub engine_version: String,
    /// Cores that it uses.
    pub cores: usize,
    /// Memory that it is allowed, in MiB.
    pub memory_mib: u64,
    /// The query.
    pub query: String,
    /// Number of the repetition, from 1.
    pub repetition: usize,
    /// Rows of all tables.
    pub input_rows: u64,
    /// From sending the query to its last row.
    pub wall_seconds: f64,
    /// CPU time of all processes of the engine.
    pub cpu_seconds: f64,
    /// Most memory held by these processes, in bytes.
    pub peak_rss: u64,
    /// Rows of the result.
    pub result_rows: u64,
    /// A hash of these rows, in any order and with six digits of each number.
    pub result_hash: String,
    /// Cores that other processes of the machine kept busy meanwhile.
    pub other_cores: Option<f64>,
}

/// Formats the measurement as a line of progress.
impl fmt::Display for PeerMeasurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, query, repetition, wall_seconds, cpu_seconds, .. } = self;
        let line = format!("{query:18} {engine:16} repetition {repetition:>2}   {wall_seconds:8.3} s");
        write!(f, "{line}   {cpu_seconds:8.2} CPU s   {:6} MiB", self.peak_rss >> 20)
    }
}
