//! The memory that queries may hold, and the most that this process has held.

use std::fmt;

use crate::cgroup;

/// Part of the machine's memory that queries may hold. The machine is shared: with other programs, or with other
/// executors.
const MACHINE_PART: u64 = 4;
/// What queries may hold where the system does not tell its memory.
const OTHERWISE: u64 = 1024 * 1024 * 1024;

/// Bytes that the queries of a process may hold before they spill: half of the limit of its container, or else a
/// quarter of the machine's memory.
pub fn for_queries() -> u64 {
    let of_machine = || Some(machine(&std::fs::read_to_string("/proc/meminfo").ok()?)? / MACHINE_PART);
    cgroup::task_memory().or_else(of_machine).unwrap_or(OTHERWISE)
}

/// Bytes of memory, from the text of `/proc/meminfo`.
fn machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// A number of bytes, for display.
pub struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0 / (1024 * 1024))
    }
}

/// The most memory that this process has held so far, where the system reports it (Linux).
pub fn peak_rss() -> Option<Bytes> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kib * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read_from_its_own_line() {
        let text = "MemFree:         1000 kB\nMemTotal:       24683128 kB\nMemAvailable:   1 kB\n";
        assert_eq!(machine(text), Some(24_683_128 * 1024));
        assert_eq!(machine("MemTotal: many kB\n"), None);
        assert!(for_queries() > 64 << 20);
    }
}
