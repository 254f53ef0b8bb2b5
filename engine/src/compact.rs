//! Copies rows out of larger buffers where they are kept.
//!
//! An aggregation returns its groups as slices of one large batch, and an exchange collects strings in buffers of a
//! megabyte that several batches share. An operator that keeps such batches is charged for the whole buffers once per
//! batch, many times the size of its rows: a sort then spills much earlier, and so does a shuffle, which writes all
//! rows twice.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, MutableArrayData, RecordBatch, RecordBatchOptions, make_array,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;

/// Buffers may be this many times as large as their used part.
const TOLERATED: usize = 2;
/// Bytes that are not worth a copy.
const SMALL: usize = 1024;

/// Returns the rows of its input in buffers of their own, unless they use most of those that they have.
#[derive(Debug)]
pub struct CompactExec {
    input: Arc<dyn ExecutionPlan>,
}

impl CompactExec {
    /// Compacts the batches of `input`.
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input }
    }
}

/// Adds a [`CompactExec`] below each sort that keeps all its rows.
pub(crate) fn compact_before_sorts(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = |node: Arc<dyn ExecutionPlan>| {
        let Some(sort) = node.downcast_ref::<SortExec>().filter(|s| s.fetch().is_none()) else {
            return Ok(Transformed::no(node));
        };
        let input: Arc<dyn ExecutionPlan> = Arc::new(CompactExec::new(Arc::clone(sort.input())));
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok(Transformed::yes(node.replace_children(vec![input], options)?))
    };
    plan.transform_up(wrapped).data()
}

impl DisplayAs for CompactExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("CompactExec")
    }
}

impl ExecutionPlan for CompactExec {
    bergmill_catalog::one_input!(input, |_, input| Ok(Self { input }));
    bergmill_catalog::same_rows!(input);

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?.map(|batch| compact(&batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

pub(crate) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(compact_column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

fn compact_column(column: &ArrayRef) -> ArrayRef {
    macro_rules! collected {
        ($views:expr) => {{
            let views = $views;
            let held: usize = views.data_buffers().iter().map(|b| b.capacity()).sum();
            match held > TOLERATED * views.total_buffer_bytes_used() {
                true => Arc::new(views.gc()) as ArrayRef,
                false => Arc::clone(column),
            }
        }};
    }
    let column = match column.data_type() {
        DataType::Utf8View => &collected!(column.as_string_view()),
        DataType::BinaryView => &collected!(column.as_binary_view()),
        _ => column,
    };
    // Strings are copied with their views above: what is left of a view column is the views themselves.
    let of_views: usize = match column.data_type() {
        DataType::Utf8View => column.as_string_view().data_buffers().iter().map(|b| b.capacity()).sum(),
        DataType::BinaryView => column.as_binary_view().data_buffers().iter().map(|b| b.capacity()).sum(),
        _ => 0,
    };
    let data = column.to_data();
    match data.get_slice_memory_size() {
        Ok(used) if column.get_array_memory_size().saturating_sub(of_views) > TOLERATED * used + SMALL => {
            let mut copy = MutableArrayData::new(vec![&data], false, data.len());
            match copy.try_extend(0, 0, data.len()) {
                Ok(()) => make_array(copy.freeze()),
                // No part of an array is too large for its offsets.
                Err(_) => Arc::clone(column),
            }
        }
        // Of nested values, or of a type whose size is not known: they are passed on.
        _ => Arc::clone(column),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{BooleanArray, Int64Array, StringArray, StringViewArray};

    use super::*;

    #[test]
    fn rows_are_copied_out_of_large_buffers() {
        let word = |i: usize| (!i.is_multiple_of(3)).then(|| format!("a word of more than twelve bytes {i}"));
        let columns: [(&str, ArrayRef); 4] = [
            ("views", Arc::new(StringViewArray::from_iter((0..10_000).map(word)))),
            ("strings", Arc::new(StringArray::from_iter((0..10_000).map(word)))),
            ("numbers", Arc::new(Int64Array::from_iter_values(0..10_000))),
            ("flags", Arc::new(BooleanArray::from_iter((0..10_000).map(|i| Some(i % 2 == 0))))),
        ];
        let all = RecordBatch::try_from_iter(columns).unwrap();
        let few = all.slice(1000, 500);
        let copied = compact(&few).unwrap();
        assert_eq!(copied, few);
        for (copied, few) in copied.columns().iter().zip(few.columns()) {
            let (after, before) = (copied.get_array_memory_size(), few.get_array_memory_size());
            assert!(after < before / 4, "{}: {before} to {after} bytes", few.data_type());
        }
        let again = compact(&copied).unwrap();
        let start = |batch: &RecordBatch, at: usize| batch.column(at).to_data().buffers()[0].as_ptr();
        for at in 0..all.num_columns() {
            assert_eq!(start(&again, at), start(&copied, at), "a compact column is not copied");
        }
    }
}
