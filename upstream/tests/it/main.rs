//! Upstream bugs, one file per bug, shown with the crates at fault only.
//!
//! A test here asserts the wrong behaviour, and fails when it is fixed. `../../README.md` says what to do then.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod aggregate_statistics;
mod avro_field_names;
mod bucket_nanoseconds;
mod cast_selectivity;
mod cluster;
mod constant_filter;
mod cross_join_keys;
mod cross_join_nulls;
mod days_before_1970;
mod distinct_from_operand;
mod empty_exchange;
mod empty_union_input;
mod equijoin_nulls;
mod filter_names;
mod grouping_sets_order;
mod join_constants;
mod join_never_yields;
mod lead_ignore_nulls;
mod lost_executor;
mod not_in_correlated;
mod not_in_null_literal;
mod offset_sort;
mod order_lost;
mod other_stage_rows;
mod outer_join_constants;
mod outer_join_tasks;
mod partition_nanoseconds;
mod partition_uuid;
mod partitioned;
mod repeated_report;
mod replanned_stage;
mod scalar_subquery;
mod single_distinct_decimal;
mod spill_two_files;
mod to_timestamp_formats;
mod to_timestamp_settings;
mod top_rows;
mod truncate_decimal;
mod truncate_prefix;
mod union_inputs;
mod union_task_metrics;
mod window_clauses;
mod window_constant_partition;
mod window_order;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};

/// Why a test of this crate fails.
const FIXED: &str = "fixed upstream: `upstream/README.md` says what can be removed";

/// Runs statements, and returns the rows of the last.
async fn rows(context: &SessionContext, statements: &[&str]) -> Result<Vec<RecordBatch>> {
    let mut last = Vec::new();
    for statement in statements {
        last = context.sql(statement).await?.collect().await?;
    }
    Ok(last)
}

fn count(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::num_rows).sum()
}

/// The values of the only column, in row order.
fn values(rows: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(rows).unwrap().to_string();
    // Three lines above, one below.
    let lines: Vec<_> = text.lines().map(|line| line.trim_matches(['|', ' ']).to_string()).skip(3).collect();
    lines[..lines.len().saturating_sub(1)].to_vec()
}

/// A plan as another process receives it, with the same functions.
fn sent(plan: &Arc<dyn ExecutionPlan>, context: &SessionContext) -> Arc<dyn ExecutionPlan> {
    let bytes = physical_plan_to_bytes(Arc::clone(plan)).unwrap();
    physical_plan_from_bytes(&bytes, &context.task_ctx()).unwrap()
}
