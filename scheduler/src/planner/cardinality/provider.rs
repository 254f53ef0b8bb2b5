//! Estimates as statistics, by which DataFusion chooses the side of a join that is hashed, and whether it is shared.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::operator_statistics::{
    DefaultStatisticsProvider, ExtendedStatistics, StatisticsProvider, StatisticsRegistry, StatisticsResult,
};

use super::{Estimate, of_inputs};

/// Bytes of a value that is not of fixed width, such as text.
const VARIABLE_BYTES: usize = 32;

/// Statistics for a session that has `use_statistics_registry`.
pub(crate) fn registry() -> StatisticsRegistry {
    StatisticsRegistry::with_providers(vec![Arc::new(Estimates), Arc::new(DefaultStatisticsProvider)])
}

/// An estimate of rows with these columns as statistics.
pub(crate) fn statistics(estimate: &Estimate, schema: &Schema) -> Statistics {
    let width = |ty: &DataType| ty.primitive_width().unwrap_or(VARIABLE_BYTES);
    let bytes: usize = schema.fields().iter().map(|field| width(field.data_type())).sum();
    Statistics {
        num_rows: Precision::Inexact(estimate.rows as usize),
        total_byte_size: Precision::Inexact((estimate.rows * bytes as f64) as usize),
        column_statistics: Statistics::unknown_column(schema),
    }
}

#[derive(Debug)]
struct Estimates;

impl StatisticsProvider for Estimates {
    fn compute_statistics(&self, plan: &dyn ExecutionPlan, inputs: &[ExtendedStatistics]) -> Result<StatisticsResult> {
        let inputs: Option<Vec<&Estimate>> = inputs.iter().map(ExtendedStatistics::get_extension).collect();
        let Some(estimate) = of_inputs(plan, inputs.as_deref()) else { return Ok(StatisticsResult::Delegate) };
        let mut statistics = ExtendedStatistics::new(statistics(&estimate, &plan.schema()));
        statistics.set_extension(estimate);
        Ok(StatisticsResult::Computed(statistics))
    }
}
