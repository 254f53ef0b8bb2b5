//! Compacts string views before a sort that keeps all its rows.
//!
//! An exchange collects strings in buffers of a megabyte and passes each on with the batch that started to fill it. A
//! sort that keeps such batches holds, and is charged for, several times the size of its rows, and spills that much
//! earlier.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;

/// Buffers may be this many times as large as their used part.
const TOLERATED: usize = 2;

/// Adds a [`StringViewGcExec`] below each sort that keeps all its rows and has view columns.
pub(crate) fn gc_string_views_before_sorts(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = |node: Arc<dyn ExecutionPlan>| {
        let Some(sort) = node.downcast_ref::<SortExec>().filter(|s| s.fetch().is_none()) else {
            return Ok(Transformed::no(node));
        };
        let input = Arc::clone(sort.input());
        let has_views = input.schema().fields().iter().any(|f| is_view(f.data_type()));
        if !has_views {
            return Ok(Transformed::no(node));
        }
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok(Transformed::yes(node.replace_children(vec![Arc::new(StringViewGcExec { input })], options)?))
    };
    plan.transform_up(wrapped).data()
}

fn is_view(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8View | DataType::BinaryView)
}

/// Copies the strings of columns that use little of their buffers.
#[derive(Debug)]
struct StringViewGcExec {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for StringViewGcExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("StringViewGcExec")
    }
}

impl ExecutionPlan for StringViewGcExec {
    bergmill_catalog::one_input!(input, |_, input| Ok(Self { input }));

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?.map(|batch| gc(&batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

fn gc(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(gc_column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

fn gc_column(column: &ArrayRef) -> ArrayRef {
    macro_rules! collected {
        ($views:expr) => {{
            let views = $views;
            let held: usize = views.data_buffers().iter().map(|b| b.capacity()).sum();
            match held > TOLERATED * views.total_buffer_bytes_used() {
                true => Arc::new(views.gc()),
                false => Arc::clone(column),
            }
        }};
    }
    match column.data_type() {
        DataType::Utf8View => collected!(column.as_string_view()),
        DataType::BinaryView => collected!(column.as_binary_view()),
        _ => Arc::clone(column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::StringViewArray;

    #[test]
    fn strings_of_few_rows_are_copied_out_of_large_buffers() {
        let word = |i: usize| (!i.is_multiple_of(3)).then(|| format!("a word of more than twelve bytes {i}"));
        let all = StringViewArray::from_iter((0..1_000).map(word));
        let few: ArrayRef = Arc::new(all.slice(10, 50));
        let numbers: ArrayRef = Arc::new(datafusion::arrow::array::Int64Array::from_iter_values(0..50));
        let batch = RecordBatch::try_from_iter([("few", few), ("n", numbers)]).unwrap();
        let collected = gc(&batch).unwrap();
        assert_eq!(collected, batch);
        assert!(collected.get_array_memory_size() < batch.get_array_memory_size() / 5);
        let again = gc(&collected).unwrap();
        let buffer = |b: &RecordBatch| b.column(0).as_string_view().data_buffers()[0].as_ptr();
        assert_eq!(buffer(&again), buffer(&collected), "a compact column is not copied");
    }
}
