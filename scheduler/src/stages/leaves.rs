//! Leaves that can be divided among tasks, and report metrics.
//!
//! If a task has no partition of an `EmptyExec` or `PlaceholderRowExec`, Ballista replaces it by an empty
//! `DataSourceExec`, which has metrics while they have none: the tasks of the stage then report different numbers of
//! metrics, the scheduler refuses the second report ("task metrics array size 7 does not equal with the stage metrics
//! array size 8"), and the query hangs. A task that has some of their partitions gets all of them. Rows in memory have
//! neither bug.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Replaces leaves that would not be divided by rows in memory.
pub(super) fn in_memory(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(leaf).data()
}

fn leaf(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let rows = if node.is::<PlaceholderRowExec>() {
        1
    } else if node.is::<EmptyExec>() {
        0
    } else {
        return Ok(Transformed::no(node));
    };
    // The columns of a placeholder are NULL whatever its schema says; no operator above reads them.
    let is_nullable = |f: &Arc<Field>| f.is_nullable() || rows > 0;
    let fields: Vec<_> =
        node.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(is_nullable(f))).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = schema.fields().iter().map(|f| new_null_array(f.data_type(), rows)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let partition = match rows {
        0 => Vec::new(),
        _ => vec![RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?],
    };
    let partitions = vec![partition; node.output_partitioning().partition_count()];
    let source = MemorySourceConfig::try_new(&partitions, schema, None)?;
    Ok(Transformed::yes(DataSourceExec::from_data_source(source)))
}
