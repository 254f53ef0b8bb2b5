//! What the scans of a query read and skipped, from the metrics of DataFusion's Parquet source.

use std::ops::Add;

use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use serde::{Deserialize, Serialize};

/// Sums over the scans of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ScanMetrics {
    /// Bytes of data files read, without footers and page indexes.
    pub bytes: u64,
    /// Row groups in the files that were opened.
    pub row_groups: u64,
    /// Of them, those that bounds, bloom filters or a limit ruled out.
    pub row_groups_pruned: u64,
    /// Rows of the row groups that were left, as far as the bounds of pages were consulted. Rows, because the pages of
    /// two columns need not begin at the same rows, and DataFusion numbers them as if they did.
    pub page_rows: u64,
    /// Of them, those in pages whose bounds ruled them out.
    pub page_rows_pruned: u64,
}

impl ScanMetrics {
    /// The sums over operators with these metrics; `None` if none of them is a scan.
    pub(super) fn of<'a>(operators: impl IntoIterator<Item = &'a MetricsSet>) -> Option<Self> {
        let metrics = operators.into_iter().flat_map(MetricsSet::iter);
        metrics.filter_map(|metric| Self::of_one(metric.value())).reduce(Add::add)
    }

    fn of_one(value: &MetricValue) -> Option<Self> {
        let (name, none) = (value.name(), Self::default());
        if let MetricValue::PruningMetrics { pruning_metrics, .. } = value {
            let (pruned, matched) = (pruning_metrics.pruned() as u64, pruning_metrics.matched() as u64);
            return Some(match name {
                "row_groups_pruned_statistics" => {
                    Self { row_groups: pruned + matched, row_groups_pruned: pruned, ..none }
                }
                // Of row groups that were counted above.
                "row_groups_pruned_bloom_filter" | "limit_pruned_row_groups" => {
                    Self { row_groups_pruned: pruned, ..none }
                }
                "page_index_rows_pruned" => Self { page_rows: pruned + matched, page_rows_pruned: pruned, ..none },
                _ => return None,
            });
        }
        let count = value.as_usize() as u64;
        Some(match name {
            "bytes_scanned" => Self { bytes: count, ..none },
            "row_groups_pruned_dynamic_filter" => Self { row_groups_pruned: count, ..none },
            _ => return None,
        })
    }
}

impl Add for ScanMetrics {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            row_groups: self.row_groups + other.row_groups,
            row_groups_pruned: self.row_groups_pruned + other.row_groups_pruned,
            page_rows: self.page_rows + other.page_rows,
            page_rows_pruned: self.page_rows_pruned + other.page_rows_pruned,
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};

    use super::*;

    #[test]
    fn sums_are_over_all_files_and_scans() {
        let scan = |file: &str, bytes: usize| {
            let metrics = ExecutionPlanMetricsSet::new();
            let of_file = || MetricBuilder::new(&metrics).with_new_label("filename", file.to_string());
            of_file().counter("bytes_scanned", 0).add(bytes);
            let groups = of_file().pruning_metrics("row_groups_pruned_statistics", 0);
            groups.add_pruned(3);
            groups.add_matched(2);
            of_file().pruning_metrics("row_groups_pruned_bloom_filter", 0).add_pruned(1);
            let pages = of_file().pruning_metrics("page_index_rows_pruned", 0);
            pages.add_pruned(900);
            pages.add_matched(100);
            of_file().counter("output_rows", 0).add(7);
            metrics.clone_inner()
        };
        let expected =
            ScanMetrics { bytes: 30, row_groups: 10, row_groups_pruned: 8, page_rows: 2000, page_rows_pruned: 1800 };
        assert_eq!(ScanMetrics::of(&[scan("a", 10), scan("b", 20)]), Some(expected));
        let other = ExecutionPlanMetricsSet::new();
        MetricBuilder::new(&other).counter("decoded_bytes", 0).add(5);
        assert_eq!(ScanMetrics::of(&[other.clone_inner()]), None);
    }
}
