//! Whether a stage reads the rows of other stages as they were written.
//!
//! Ballista's adaptive planner runs DataFusion's optimizer over the whole plan whenever a stage has ended, over stages
//! that have ended as well. If the new plan of such a stage has other partitions, its readers expect those, and not the
//! ones that were written: rows are left out, or joined with the wrong partition.

use std::collections::HashMap;
use std::sync::Arc;

use ballista_core::execution_plans::ShuffleReaderExec;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_expr::expressions::UnKnownColumn;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// What the plan of a stage expects of another stage that is not so, if there is anything.
pub(super) fn mismatch(
    plan: &Arc<dyn ExecutionPlan>,
    stages: &HashMap<usize, ExecutionStage>,
) -> Result<Option<String>> {
    let mut found = None;
    plan.apply(|node| {
        let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() else { return Ok(TreeNodeRecursion::Continue) };
        let what = match stages.get(&reader.stage_id) {
            Some(ExecutionStage::Successful(stage)) => misread(reader, stage.plan.output_partitioning()),
            _ => Some("which has not ended".to_owned()),
        };
        found = what.map(|what| format!("it reads stage {}, {what}", reader.stage_id));
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// What a reader expects of rows in these partitions that is not so.
fn misread(reader: &ShuffleReaderExec, written: &Partitioning) -> Option<String> {
    // A broadcast is read whole.
    if reader.broadcast {
        return None;
    }
    let (read, returned) = (reader.upstream_partition_count, &reader.properties().partitioning);
    if read != written.partition_count() || reader.partition.len() != returned.partition_count() {
        return Some(format!("whose rows are in {written}, as {returned}"));
    }
    match (returned, written) {
        (Partitioning::Hash(expected, _), Partitioning::Hash(keys, _)) if expected == keys => None,
        // Keys that are no columns of the rows satisfy no requirement, and do not even equal themselves.
        (Partitioning::Hash(expected, _), _) if expected.iter().any(|key| key.is::<UnKnownColumn>()) => None,
        (Partitioning::UnknownPartitioning(_) | Partitioning::RoundRobinBatch(_), _) => None,
        // A single partition has all rows, whatever the keys.
        _ if written.partition_count() == 1 => None,
        _ => Some(format!("whose rows are in {written}, as {returned}")),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_expr::PhysicalExpr;
    use datafusion::physical_expr::expressions::col;

    use super::*;

    #[test]
    fn a_reader_has_all_partitions_that_were_written_and_no_other_keys() {
        let schema =
            Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Int32, true)]));
        let hash = |name: &str, n| {
            let key: Arc<dyn PhysicalExpr> = col(name, &schema).unwrap();
            Partitioning::Hash(vec![key], n)
        };
        let unknown = Partitioning::UnknownPartitioning;
        for (lists, returned, written, right) in [
            (2, unknown(2), unknown(2), true),
            (2, unknown(2), hash("a", 2), true),
            (2, hash("a", 2), hash("a", 2), true),
            // Fewer or more than were written.
            (2, unknown(1), unknown(2), false),
            (1, unknown(1), unknown(2), false),
            (2, unknown(2), unknown(1), false),
            // Other keys, or none.
            (2, hash("b", 2), hash("a", 2), false),
            (2, hash("a", 2), unknown(2), false),
            (1, hash("b", 1), hash("a", 1), true),
        ] {
            let text = format!("{lists} lists, {returned}, {written}");
            let partitions = vec![Vec::new(); lists];
            let reader = ShuffleReaderExec::try_new(7, partitions, Arc::clone(&schema), returned).unwrap();
            assert_eq!(misread(&reader, &written).is_none(), right, "{text}");
        }
        let broadcast = ShuffleReaderExec::try_new_broadcast(7, Vec::new(), Arc::clone(&schema), 2).unwrap();
        assert_eq!(misread(&broadcast, &unknown(2)), None);
    }
}
