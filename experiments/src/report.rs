//! The measurements, as a table for people and as JSON for programs.

use std::fmt;

use serde::Serialize;

/// Measurements of one query. Times are seconds from sending the SQL to receiving the last row.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The query.
    pub name: String,
    /// Rows of its result.
    pub rows: usize,
    /// Time of each repetition on the cluster.
    pub cluster: Vec<f64>,
    /// Time of each repetition in plain DataFusion.
    pub datafusion: Vec<f64>,
}

impl Measured {
    /// Median time on the cluster.
    pub fn cluster_median(&self) -> f64 {
        quantile(&self.cluster, 0.5)
    }

    /// Median time in plain DataFusion.
    pub fn datafusion_median(&self) -> f64 {
        quantile(&self.datafusion, 0.5)
    }
}

/// Latency of the smallest query, in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half of the queries take at most this.
    pub p50: f64,
    /// 99 of 100 queries take at most this.
    pub p99: f64,
}

impl Latency {
    pub(crate) fn of(times: Vec<f64>) -> Self {
        Self { p50: quantile(&times, 0.5), p99: quantile(&times, 0.99) }
    }
}

/// Measurements of a suite.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The suite.
    pub suite: String,
    /// Partitions of plain DataFusion, equal to the vcores of the cluster.
    pub partitions: usize,
    /// Its queries, in order.
    pub queries: Vec<Measured>,
    /// Latency of `SELECT 1` through the front door.
    pub latency: Latency,
}

impl Report {
    /// Sum of the medians on the cluster, in seconds.
    pub fn cluster_sum(&self) -> f64 {
        self.queries.iter().map(Measured::cluster_median).sum()
    }

    /// Sum of the medians in plain DataFusion, in seconds.
    pub fn datafusion_sum(&self) -> f64 {
        self.queries.iter().map(Measured::datafusion_median).sum()
    }

    /// Time of the cluster relative to plain DataFusion.
    pub fn ratio(&self) -> f64 {
        self.cluster_sum() / self.datafusion_sum()
    }
}

/// Formats the report as Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} | rows | cluster, s | plain DataFusion, s | ratio |", self.suite)?;
        writeln!(f, "|---|--:|--:|--:|--:|")?;
        for q in &self.queries {
            let (cluster, plain) = (q.cluster_median(), q.datafusion_median());
            writeln!(f, "| {} | {} | {cluster:.3} | {plain:.3} | {:.2} |", q.name, q.rows, cluster / plain)?;
        }
        let (cluster, plain) = (self.cluster_sum(), self.datafusion_sum());
        writeln!(f, "| **sum** | | **{cluster:.3}** | **{plain:.3}** | **{:.2}** |", self.ratio())?;
        let Latency { p50, p99 } = self.latency;
        writeln!(
            f,
            "\nMedians; all results equal; {} partitions each. SELECT 1: p50 {:.1} ms, p99 {:.1} ms.",
            self.partitions,
            p50 * 1000.0,
            p99 * 1000.0
        )
    }
}

fn quantile(times: &[f64], q: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    // Quantiles of a few hundred numbers: the index is small and not negative.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "see above"
    )]
    let at = (last as f64 * q).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_medians_and_print_as_a_table() {
        let q = |name: &str, cluster: &[f64], datafusion: &[f64]| Measured {
            name: name.to_string(),
            rows: 3,
            cluster: cluster.to_vec(),
            datafusion: datafusion.to_vec(),
        };
        let report = Report {
            suite: "some".to_string(),
            partitions: 2,
            queries: vec![q("a", &[1.0, 9.0, 2.0], &[1.0, 1.0, 1.0]), q("b", &[1.0], &[2.0])],
            latency: Latency::of(vec![0.003, 0.001, 0.002]),
        };
        assert!((report.ratio() - 1.0).abs() < 1e-12);
        let text = report.to_string();
        assert!(text.contains("| a | 3 | 2.000 | 1.000 | 2.00 |"), "{text}");
        assert!(text.contains("p50 2.0 ms, p99 3.0 ms"), "{text}");
    }
}
