//! What the operators of a statement measured, added up.

use std::ops::Add;
use std::sync::Arc;

use bergmill_engine::OperatorMetrics;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use serde::{Deserialize, Serialize};

use super::scans::ScanMetrics;
use super::stages::StageRun;

/// Sums over operators; `None` if none of them measures it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    pub scans: Option<ScanMetrics>,
    /// Bytes that executors wrote for other stages.
    pub shuffle_bytes: Option<u64>,
    pub spilled_bytes: Option<u64>,
    pub compute_seconds: Option<f64>,
}

impl Sums {
    /// Those of a plan that has run in this process.
    pub(super) fn of_plan(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut operators = Vec::new();
        // The closure never fails.
        let _ = plan.apply(|node| {
            operators.extend(node.metrics());
            Ok(TreeNodeRecursion::Continue)
        });
        Self::of(&operators)
    }

    /// Those of a stage with these metrics of its operators.
    pub(super) fn of(operators: &[MetricsSet]) -> Self {
        let measured = OperatorMetrics(operators);
        Self {
            scans: ScanMetrics::of(operators),
            shuffle_bytes: None,
            spilled_bytes: measured.spilled_bytes(),
            compute_seconds: seconds(measured.compute_nanoseconds()),
        }
    }

    /// Those of a stage, with what it wrote for others.
    pub(super) fn of_stage(stage: &StageRun) -> Self {
        let written = stage.tasks.iter().map(|task| task.bytes).sum();
        Self { shuffle_bytes: Some(written), ..stage.sums }
    }
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds for display")]
pub(super) fn seconds(nanoseconds: Option<u64>) -> Option<f64> {
    nanoseconds.map(|n| n as f64 / 1e9)
}

impl Add for Sums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            scans: sum(self.scans, other.scans),
            shuffle_bytes: sum(self.shuffle_bytes, other.shuffle_bytes),
            spilled_bytes: sum(self.spilled_bytes, other.spilled_bytes),
            compute_seconds: sum(self.compute_seconds, other.compute_seconds),
        }
    }
}

fn sum<T: Add<Output = T>>(a: Option<T>, b: Option<T>) -> Option<T> {
    a.into_iter().chain(b).reduce(Add::add)
}
