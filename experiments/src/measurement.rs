//! A measurement, as a line of JSON that describes itself.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::timeline::Breakdown;

/// Name of the file in an experiment's folder.
pub(crate) const FILE: &str = "measurements.jsonl";

/// How much work clusters of several sizes do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkersScaling {
    /// All do the same work, so that more workers should take less time.
    #[default]
    Strong,
    /// The work grows with the number of workers, so that all should take the same time.
    Weak,
}

impl FromStr for WorkersScaling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "strong" => Ok(Self::Strong),
            "weak" => Ok(Self::Weak),
            _ => Err(Error::Setting(format!("there is no scaling {text}; choose strong or weak"))),
        }
    }
}

/// One repetition of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The experiment, for example `workers`.
    pub experiment: String,
    /// Version of Bergmill.
    pub version: String,
    /// Where it ran.
    pub machine: Machine,
    /// When it began, in seconds since 1970.
    pub started_at: u64,
    /// Seed of the order of measurements.
    pub seed: u64,
    /// How the work depends on the number of workers.
    #[serde(default)]
    pub scaling: WorkersScaling,
    /// The workload.
    pub workload: String,
    /// `bergmill`, or `datafusion` for plain DataFusion in one process with the CPU of the workers.
    pub engine: String,
    /// Number of executors. Those that were started for the experiment have one vcore each.
    pub workers: usize,
    /// Cores that each executor may use; none if there were no quotas.
    pub share_cores: Option<f64>,
    /// Number of the repetition, from 1.
    pub repetition: usize,
    /// Rows of the tables that the workload reads.
    pub input_rows: u64,
    /// From sending the first statement to the last row of the last one.
    pub wall_seconds: f64,
    /// CPU time of the scheduler. None of plain DataFusion, and of a cluster whose processes are not ours.
    pub scheduler_cpu_seconds: Option<f64>,
    /// CPU time of each executor, or of plain DataFusion; empty if their processes are not ours.
    pub executor_cpu_seconds: Vec<f64>,
    /// Most memory held by the scheduler, and by each executor, in bytes; empty likewise.
    pub peak_rss: Vec<u64>,
    /// Periods in which each executor had used up its share; empty likewise.
    pub throttled_periods: Vec<u64>,
    /// Bytes of data files that scans read.
    pub scanned_bytes: u64,
    /// Bytes read from other stages, decoded.
    pub shuffle_read_bytes: u64,
    /// Bytes written for other stages, and for the client.
    pub shuffle_write_bytes: u64,
    /// Bytes that operators wrote to disk because their memory was used up.
    pub spilled_bytes: u64,
    /// Where the wall time went.
    pub breakdown: Breakdown,
    /// Slowest task relative to the median task, of the stage where this is largest.
    pub skew: Option<f64>,
    /// Rows of the result.
    pub result_rows: u64,
    /// A hash of these rows, in any order and with six digits of each float.
    pub result_hash: String,
    /// Cores that other processes of the machine kept busy meanwhile.
    pub other_cores: Option<f64>,
}

impl Measurement {
    /// CPU time of all processes of the cluster, unless they are not ours.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let seconds = || self.scheduler_cpu_seconds.iter().chain(&self.executor_cpu_seconds);
        (seconds().count() > 0).then(|| seconds().sum())
    }
}

/// Formats the measurement as a line of progress.
impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, workload, workers, repetition, wall_seconds, .. } = self;
        write!(
            f,
            "{engine:10} {workload:18} {workers:>2} workers   repetition {repetition:>2}   {wall_seconds:8.2} s"
        )?;
        self.cpu_seconds().map_or(Ok(()), |cpu| write!(f, "   {cpu:8.2} CPU s"))
    }
}

/// Adds a measurement to the file in `folder`.
pub(crate) fn append(folder: &Path, measurement: &impl Serialize) -> Result<()> {
    let path = folder.join(FILE);
    let failed = |source| Error::Io { what: path.display().to_string(), source };
    let line = serde_json::to_string(measurement).map_err(|e| failed(e.into()))?;
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    writeln!(file, "{line}").map_err(failed)
}

/// The measurements in `folder`, in the order in which they were made.
///
/// # Errors
/// If there is no file, or a line of it is not such a measurement.
pub(crate) fn read<M: DeserializeOwned>(folder: &Path) -> Result<Vec<M>> {
    let path = folder.join(FILE);
    let failed = |source| Error::Io { what: path.display().to_string(), source };
    let mut all = Vec::new();
    for (number, line) in BufReader::new(File::open(&path).map_err(failed)?).lines().enumerate() {
        let line = line.map_err(failed)?;
        let measurement = serde_json::from_str(&line);
        all.push(measurement.map_err(|e| {
            Error::NoData(format!("{} line {}: not a measurement of this version: {e}", path.display(), number + 1))
        })?);
    }
    Ok(all)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::machine::tests::machine;

    pub(crate) fn measurement(workload: &str, workers: usize, repetition: usize, wall_seconds: f64) -> Measurement {
        Measurement {
            experiment: "workers".to_string(),
            version: "0.0.0".to_string(),
            machine: machine(),
            started_at: 1_790_000_000,
            seed: 42,
            scaling: WorkersScaling::Strong,
            workload: workload.to_string(),
            engine: "bergmill".to_string(),
            workers,
            share_cores: Some(0.2),
            repetition,
            input_rows: 1_000_000,
            wall_seconds,
            scheduler_cpu_seconds: Some(0.1),
            executor_cpu_seconds: vec![0.5; workers],
            peak_rss: vec![100 << 20; workers + 1],
            throttled_periods: vec![3; workers],
            scanned_bytes: 10_000_000,
            shuffle_read_bytes: 2_000_000,
            shuffle_write_bytes: 1_000_000,
            spilled_bytes: 0,
            breakdown: Breakdown { planning: 0.01, compute: wall_seconds - 0.01, ..Breakdown::default() },
            skew: Some(1.1),
            result_rows: 3,
            result_hash: "00ff".to_string(),
            other_cores: Some(0.01),
        }
    }

    #[test]
    fn measurements_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let written = [measurement("a", 1, 1, 2.0), measurement("a", 2, 1, 1.0)];
        written.iter().for_each(|m| append(folder.path(), m).unwrap());
        assert_eq!(read::<Measurement>(folder.path()).unwrap(), written);
        std::fs::write(folder.path().join(FILE), "{}\n").unwrap();
        let e = read::<Measurement>(folder.path()).unwrap_err().to_string();
        assert!(e.contains("line 1"), "{e}");
        assert!(read::<Measurement>(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn cpu_seconds_of_processes_that_are_not_ours_are_unknown() {
        let ours = measurement("a", 2, 1, 2.0);
        assert_eq!(ours.cpu_seconds(), Some(1.1));
        let running = Measurement { scheduler_cpu_seconds: None, executor_cpu_seconds: Vec::new(), ..ours };
        assert_eq!(running.cpu_seconds(), None);
        assert!(!running.to_string().contains("CPU"), "{running}");
    }

    /// Files that were written before there was weak scaling can still be compared.
    #[test]
    fn measurements_without_a_scaling_are_of_strong_scaling() {
        let mut line = serde_json::to_value(measurement("a", 1, 1, 2.0)).unwrap();
        line.as_object_mut().unwrap().remove("scaling").unwrap();
        assert_eq!(serde_json::from_value::<Measurement>(line).unwrap().scaling, WorkersScaling::Strong);
    }
}
