//! What operators measured, under the names that DataFusion, Ballista and Bergmill give it.

use datafusion::physical_plan::metrics::MetricsSet;

/// The metrics of a stage's or a task's operators. Sums are `None` if no operator measures them.
#[derive(Debug, Clone, Copy)]
pub struct OperatorMetrics<'a>(pub &'a [MetricsSet]);

impl OperatorMetrics<'_> {
    /// Bytes of data files read by scans.
    pub fn scanned_bytes(self) -> Option<u64> {
        self.sum(&["bytes_scanned"])
    }

    /// Bytes of other stages' rows, decoded.
    pub fn shuffle_read_bytes(self) -> Option<u64> {
        self.sum(&["decoded_bytes"])
    }

    /// Nanoseconds of waiting for other stages' rows, or decoding them.
    pub fn shuffle_read_nanoseconds(self) -> Option<u64> {
        self.sum(&["fetch_time", "local_read_time"])
    }

    /// Nanoseconds of distributing, encoding and writing rows for the next stage.
    pub fn shuffle_write_nanoseconds(self) -> Option<u64> {
        self.sum(&["repart_time", "write_time", "spill_time"])
    }

    /// Bytes written to disk because an operator's memory was used up.
    pub fn spilled_bytes(self) -> Option<u64> {
        self.sum(&["spilled_bytes", "spill_bytes"])
    }

    /// Nanoseconds that operators computed.
    pub fn compute_nanoseconds(self) -> Option<u64> {
        self.sum(&["elapsed_compute"])
    }

    fn sum(self, names: &[&str]) -> Option<u64> {
        let values = self.0.iter().flat_map(|metrics| names.iter().filter_map(|name| metrics.sum_by_name(name)));
        values.map(|value| value.as_usize() as u64).reduce(u64::saturating_add)
    }
}
