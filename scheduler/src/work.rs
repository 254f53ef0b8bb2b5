//! Estimates the work of a plan before it runs.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::{ExecutionPlan, StatisticsArgs, StatisticsContext};

/// Rows that all operators of a query in the scheduler's process may read in total: about a second of one core.
const LOCAL_ROWS: usize = 50_000_000;

/// Whether the scheduler's own process runs a plan: it opens at most `bytes` of data files, and its operators are not
/// expected to read many rows.
pub(crate) fn is_small(plan: &Arc<dyn ExecutionPlan>, bytes: u64) -> bool {
    bytes_read(plan) <= bytes && rows_seen(plan).seen <= LOCAL_ROWS
}

/// Bytes of data files that a plan opens. Other sources count as 0.
fn bytes_read(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let mut bytes = 0u64;
    let counted = plan.apply(|node| {
        let scan = node.downcast_ref::<DataSourceExec>().and_then(|s| s.data_source().downcast_ref::<FileScanConfig>());
        if let Some(scan) = scan {
            let files = scan.file_groups.iter().flat_map(|g| g.iter());
            bytes = bytes.saturating_add(files.map(|f| f.effective_size()).sum());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if counted.is_ok() { bytes } else { u64::MAX }
}

/// Row counts of a plan.
struct Rows {
    /// Rows, or pairs of rows, that its operators read.
    seen: usize,
    /// Maximum number of rows that it returns; for equijoins a guess, that each row has one match.
    returned: usize,
}

fn rows_seen(plan: &Arc<dyn ExecutionPlan>) -> Rows {
    let inputs: Vec<Rows> = plan.children().into_iter().map(rows_seen).collect();
    let below = inputs.iter().fold(0usize, |sum, rows| sum.saturating_add(rows.seen));
    let rows = match inputs.as_slice() {
        [] => {
            let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
            let rows = statistics.ok().and_then(|known| known.num_rows.get_value().copied()).unwrap_or(1);
            Rows { seen: rows, returned: rows }
        }
        [left, right] if plan.is::<CrossJoinExec>() || plan.is::<NestedLoopJoinExec>() => {
            let pairs = left.returned.saturating_mul(right.returned);
            Rows { seen: below.saturating_add(pairs), returned: pairs }
        }
        [left, right] => Rows {
            seen: below.saturating_add(left.returned).saturating_add(right.returned),
            returned: left.returned.max(right.returned),
        },
        inputs => {
            let returned = inputs.iter().fold(0usize, |sum, rows| sum.saturating_add(rows.returned));
            Rows { seen: below.saturating_add(returned), returned }
        }
    };
    Rows { returned: plan.fetch().map_or(rows.returned, |fetch| rows.returned.min(fetch)), ..rows }
}

#[cfg(test)]
pub(crate) mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    /// A session with a table `t` of 1,000 numbers, and a view `v` of the same numbers.
    pub(crate) async fn context() -> SessionContext {
        let context = SessionContext::new();
        let rows = "CREATE TABLE t AS SELECT value AS n FROM unnest(range(0, 1000)) AS r (value)";
        context.sql(rows).await.unwrap().collect().await.unwrap();
        // Without the filter, a count of rows would be answered from statistics.
        context.sql("CREATE VIEW v AS SELECT n FROM t WHERE n % 2 < 9").await.unwrap();
        context
    }

    #[tokio::test]
    async fn pairs_of_rows_make_a_plan_large_however_few_bytes_it_reads() {
        let context = context().await;
        for (sql, small) in [
            ("SELECT sum(n) FROM t GROUP BY n % 10", true),
            ("SELECT count(*) FROM t a JOIN t b ON a.n = b.n JOIN t c ON b.n = c.n", true),
            ("SELECT count(*) FROM v a CROSS JOIN v b", true),
            ("SELECT count(*) FROM v a CROSS JOIN v b CROSS JOIN v c", false),
            ("SELECT count(*) FROM v a, v b, (SELECT * FROM v LIMIT 3) c", true),
            ("SELECT count(*) FROM t a JOIN t b ON a.n < b.n JOIN t c ON b.n + a.n < c.n", false),
            ("SELECT 1", true),
        ] {
            let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            assert_eq!(is_small(&plan, 0), small, "{sql}: {}", rows_seen(&plan).seen);
        }
    }
}
