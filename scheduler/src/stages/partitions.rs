//! The number of partitions of a query in stages.
//!
//! A task of Ballista 55 reads its part of another stage whole, into memory that is in no pool
//! (`fetch_partition_buffered`), and keeps hash tables over its partition, not all of which can spill at any time. So
//! partitions are sized by the bytes that the scans, or a cross join, are expected to return.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::joins::CrossJoinExec;
use datafusion::physical_plan::{ExecutionPlan, StatisticsArgs, StatisticsContext};

/// Target size of the rows of a partition, by the estimate of the scans.
const PARTITION_BYTES: usize = 256 * 1024 * 1024;
/// Maximum number of tasks that a vcore runs for one stage.
const MAX_ROUNDS: usize = 8;

/// Bytes of the rows that a plan's scans return, as far as statistics are known, or that a cross join returns if these
/// are more. The results of other joins are not known well enough.
pub(crate) fn estimated_bytes(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let (mut scanned, mut crossed) = (0usize, 0usize);
    let counted = plan.apply(|node| {
        let bytes = || -> datafusion::error::Result<usize> {
            let statistics = StatisticsContext::new().compute(node.as_ref(), &StatisticsArgs::new())?;
            Ok(statistics.total_byte_size.get_value().copied().unwrap_or(0))
        };
        if node.is::<DataSourceExec>() {
            scanned = scanned.saturating_add(bytes()?);
        } else if node.is::<CrossJoinExec>() {
            crossed = crossed.max(bytes()?);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if counted.is_ok() { scanned.max(crossed) } else { 0 }
}

/// The number of partitions of a query: one per vcore, or a multiple of that if a partition would be large. Each task
/// then needs less memory for its hash tables.
pub(crate) fn partitions(bytes: usize, vcores: usize) -> usize {
    let vcores = vcores.max(1);
    bytes.div_ceil(PARTITION_BYTES).div_ceil(vcores).clamp(1, MAX_ROUNDS) * vcores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::tests::context;

    #[tokio::test]
    async fn the_rows_of_a_cross_join_count_and_those_of_other_operators_do_not() {
        let context = context().await;
        let estimate = async |sql: &str| {
            let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            estimated_bytes(&plan)
        };
        let scanned = estimate("SELECT n FROM t").await;
        assert!(scanned >= 8000, "{scanned}");
        assert_eq!(estimate("SELECT sum(n) FROM t GROUP BY n % 10").await, scanned);
        assert_eq!(estimate("SELECT a.n FROM t a JOIN t b ON a.n = b.n").await, 2 * scanned);
        assert_eq!(estimate("SELECT a.n, b.n FROM t a CROSS JOIN t b").await, 2000 * scanned);
        assert_eq!([0, 1, 600, 60_000].map(|mib| partitions(mib << 20, 2)), [2, 2, 4, 16]);
    }
}
