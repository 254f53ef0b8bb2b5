//! The machine of a measurement, and what else runs on it.

use std::time::Instant;
use std::{fmt, fs};

use serde::{Deserialize, Serialize};

use crate::cluster::process::cpu_seconds;

/// More cores than this of other processes make times useless.
pub(crate) const QUIET: f64 = 0.1;
/// Clock ticks per second in `/proc`: `USER_HZ`, which is 100 on all architectures that we build for. See proc(5).
pub(crate) const TICKS: f64 = 100.0;

/// The machine of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores available to this process.
    pub cores: usize,
    /// The processor's name, as the system has it.
    pub processor: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The operating system and its version.
    pub system: String,
}

impl Machine {
    /// This machine. What the system does not tell is empty.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_string())
        };
        let kibibytes = value(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            memory_bytes: kibibytes.unwrap_or_default() * 1024,
            system: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        }
    }
}

/// Formats the machine for a report.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gibibytes = self.memory_bytes as f64 / f64::from(1 << 30);
        write!(f, "{} cores of {}, {gibibytes:.0} GiB, {}", self.cores, self.processor, self.system)
    }
}

/// The work of all processes of the machine since a moment.
#[derive(Debug)]
pub struct Load {
    began: Instant,
    /// Of all cores, less those of this process.
    busy: Option<f64>,
}

impl Load {
    /// Begins now.
    pub fn begin() -> Self {
        Self { began: Instant::now(), busy: others() }
    }

    /// Cores that processes other than ours kept busy on average, if those that are measured used `cpu_seconds`. `None`
    /// if the system does not tell.
    pub fn other_cores(&self, cpu_seconds: f64) -> Option<f64> {
        let busy = others()? - self.busy?;
        Some(((busy - cpu_seconds) / self.began.elapsed().as_secs_f64()).max(0.0))
    }
}

/// Seconds in which cores were busy, apart from those of this process.
fn others() -> Option<f64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    Some(busy_seconds(&read("/proc/stat")?)? - cpu_seconds(&read("/proc/self/stat")?)?)
}

/// Seconds in which cores ran processes or the kernel, from the first line of `/proc/stat`: user, nice, system, idle,
/// iowait, irq, softirq, and others that are idle or counted already.
fn busy_seconds(stat: &str) -> Option<f64> {
    let times: Vec<f64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|n| n.parse().ok()).collect();
    let [user, nice, system, _, _, irq, softirq, ..] = times.as_slice() else { return None };
    Some((user + nice + system + irq + softirq) / TICKS)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine, for tests of reports.
    pub(crate) fn machine() -> Machine {
        Machine {
            cores: 2,
            processor: "a processor".to_string(),
            memory_bytes: 24 << 30,
            system: "Linux 6".to_string(),
        }
    }

    #[test]
    fn busy_time_leaves_out_idle_and_waiting() {
        assert_eq!(busy_seconds("cpu  100 200 300 9999 8888 40 60 7 0 0\ncpu0 1\n"), Some(7.0));
        assert_eq!(busy_seconds("nothing"), None);
        assert!(Machine::here().cores > 0);
    }
}
