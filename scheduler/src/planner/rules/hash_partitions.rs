//! More partitions for large hash tables, in plans for a single process.
//!
//! Each of `target_partitions` hash tables over millions of keys is much larger than the caches of its core, so nearly
//! every row waits for memory. The rows of such tables are exchanged in any case; with more partitions each table is
//! small, and the batch of a partition finds its table in the cache. (Manegold, Boncz, Kersten, "Optimizing Main-Memory
//! Join on Modern Hardware", TKDE 14 (4), 2002.)

use std::sync::Arc;

use bergmill_engine::FirstRowExec;
use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

use crate::planner::cardinality::estimate;

/// Keys that a partition should have at most: their entries and values take a few MiB.
const KEYS: f64 = 128.0 * 1024.0;
/// Most partitions. Each input partition keeps a batch for each, and some operators reserve memory for sorting each.
const MAX_PARTITIONS: usize = 16;

/// Raises the number of partitions of exchanges below large hash tables.
#[derive(Debug)]
pub(super) struct HashPartitions;

impl PhysicalOptimizerRule for HashPartitions {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        with_partitions(plan, false)
    }

    fn name(&self) -> &'static str {
        "hash_partitions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `any_number` is whether the operators above take any number of partitions.
fn with_partitions(node: Arc<dyn ExecutionPlan>, any_number: bool) -> Result<Arc<dyn ExecutionPlan>> {
    let any_number = merges(&node) || any_number && works_by_partition(&node);
    let inputs: Result<Vec<_>> =
        node.children().into_iter().map(|input| with_partitions(Arc::clone(input), any_number)).collect();
    let node = replace_children_if_necessary(node, inputs?)?;
    if !any_number {
        return Ok(node);
    }
    let Some(exchange) = hashed_input(&node) else { return Ok(node) };
    let Partitioning::Hash(keys, present) = exchange.partitioning() else { return Ok(node) };
    let wanted = hash_tables(&node).unwrap_or(0).min(MAX_PARTITIONS);
    if wanted <= *present || exchange.preserve_order() {
        return Ok(node);
    }
    let more = RepartitionExec::try_new(Arc::clone(exchange.input()), Partitioning::Hash(keys.clone(), wanted))?;
    replace_children_if_necessary(node, vec![Arc::new(more)])
}

fn merges(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<CoalescePartitionsExec>() || node.is::<SortPreservingMergeExec>() || node.is::<RepartitionExec>()
}

/// Whether the operator does the same with any number of partitions.
fn works_by_partition(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<ProjectionExec>()
        || node.is::<FilterExec>()
        || node.is::<AggregateExec>()
        || node.is::<FirstRowExec>()
        || node.downcast_ref::<SortExec>().is_some_and(SortExec::preserve_partitioning)
}

/// The exchange below an operator that has a hash table for each partition.
fn hashed_input(node: &Arc<dyn ExecutionPlan>) -> Option<&RepartitionExec> {
    let is_final = |aggregate: &AggregateExec| *aggregate.mode() == AggregateMode::FinalPartitioned;
    let is_hashed = node.is::<FirstRowExec>() || node.downcast_ref().is_some_and(is_final);
    node.children().first().filter(|_| is_hashed)?.downcast_ref()
}

/// The number of tables into which the keys of an operator should be divided. The keys of a [`FirstRowExec`] are taken
/// to be nearly unique; of groups, their number must be known, since most have few.
fn hash_tables(node: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let keys = match node.downcast_ref::<AggregateExec>() {
        Some(aggregate) => {
            let estimate = estimate(aggregate)?;
            let groups = &estimate.columns[..aggregate.group_expr().num_group_exprs()];
            groups.iter().all(|column| column.distinct.is_some()).then_some(estimate.rows)?
        }
        None => estimate(node.children().first()?.as_ref())?.rows,
    };
    Some((keys / KEYS).ceil() as usize)
}
