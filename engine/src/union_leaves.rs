//! A way round a fault of Ballista 55: a UNION of a table and of rows that a statement spells out could wait for ever.
//!
//! When the inputs of a `UnionExec` go to different tasks, Ballista's `restrict_plan_to_partitions` gives a task that does
//! not run the literal row an empty `DataSourceExec` in its place. That node has metrics and `PlaceholderRowExec` has none,
//! so the two tasks report a different number of metrics, the scheduler refuses the second report ("task metrics array
//! size 7 does not equal with the stage metrics array size 8") and the query never ends. Leaves that have metrics from the
//! start keep the numbers equal. `tests/slt/types.slt` has such a UNION. Upstream has no issue of it that we know;
//! apache/datafusion-ballista#763 told of the same message with another cause.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};

/// The same plan, with leaves under its unions that report metrics.
pub(crate) fn with_metrics(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_down(|node| {
        if !node.is::<UnionExec>() && !node.is::<InterleaveExec>() {
            return Ok(Transformed::no(node));
        }
        node.map_children(|child| child.transform_up(leaf))
    })
    .data()
}

fn leaf(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let rows = if node.is::<PlaceholderRowExec>() {
        1
    } else if node.is::<EmptyExec>() {
        0
    } else {
        return Ok(Transformed::no(node));
    };
    // A placeholder's columns hold NULL whatever its schema says of them; nothing above it reads them.
    let fields = node.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    let columns = schema.fields().iter().map(|f| new_null_array(f.data_type(), rows)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
    let source = MemorySourceConfig::try_new(&[vec![batch]], schema, None)?;
    Ok(Transformed::yes(DataSourceExec::from_data_source(source)))
}
