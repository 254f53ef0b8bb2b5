//! A measurement of this experiment.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// One repetition of a query of a table in some order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SortOrderMeasurement {
    /// The experiment: `sort-order`.
    pub experiment: String,
    /// Version of Bergmill.
    pub version: String,
    /// Where it ran.
    pub machine: Machine,
    /// When it began, in seconds since 1970.
    pub started_at: u64,
    /// Seed of the order of measurements.
    pub seed: u64,
    /// How the table is stored: `file`, or the scheme of an object store.
    pub storage: String,
    /// The order of the table's rows.
    pub layout: String,
    /// The table.
    pub table: TableSize,
    /// The query.
    pub query: String,
    /// Its text.
    pub sql: String,
    /// Number of the repetition, from 1.
    pub repetition: usize,
    /// Where it ran: `local` in the scheduler's process, `whole` on the executor, `stages`.
    pub execution: String,
    /// From sending the query to its last row.
    pub wall_seconds: f64,
    /// CPU time of all processes.
    pub cpu_seconds: f64,
    /// Data files that partition values or bounds in manifests ruled out.
    pub files_pruned: u64,
    /// Row groups in the other files.
    pub row_groups: u64,
    /// Of them, those that bounds ruled out.
    pub row_groups_pruned: u64,
    /// Rows of the row groups that were left, as far as the bounds of pages were consulted.
    pub page_rows: u64,
    /// Of them, those in pages that their bounds ruled out.
    pub page_rows_pruned: u64,
    /// Bytes read of data files.
    pub scanned_bytes: u64,
    /// A hash of the result.
    pub result_hash: String,
    /// Cores that other processes of the machine kept busy meanwhile.
    pub other_cores: Option<f64>,
}

/// What a table consists of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TableSize {
    /// Rows.
    pub rows: u64,
    /// Data files.
    pub files: u64,
    /// Row groups of these files.
    pub row_groups: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// How long the statement took that wrote them.
    pub write_seconds: f64,
}

impl SortOrderMeasurement {
    /// Data files that were read.
    pub fn files_read(&self) -> u64 {
        self.table.files.saturating_sub(self.files_pruned)
    }

    /// Row groups of which something was read.
    pub fn row_groups_read(&self) -> u64 {
        self.row_groups.saturating_sub(self.row_groups_pruned)
    }
}

/// Formats the measurement as a line of progress.
impl fmt::Display for SortOrderMeasurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { query, layout, repetition, .. } = self;
        let (milliseconds, mib) = (self.wall_seconds * 1000.0, self.scanned_bytes as f64 / f64::from(1 << 20));
        write!(f, "{query:24} {layout:12} repetition {repetition:>2}   {milliseconds:9.1} ms   {mib:9.2} MiB read")
    }
}
