//! Numbers the rows of each data file as they are read.
//!
//! DataFusion's Parquet source can do this with a virtual column of its schema, but its wire format cannot encode such
//! a column. So the scan is encoded without it, under [`RowPositionExec`], which adds the column when it runs.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use bergmill_statement::POSITION_COLUMN;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions::core::file_row_index;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::StreamExt;

use super::metadata_columns::position_field;

/// The rows of a scan of Parquet files, with the position of each row in its file as the last column.
#[derive(Debug)]
pub struct RowPositionExec {
    scan: Arc<dyn ExecutionPlan>,
    /// The same scan with the column. One for all partitions, because a scan divides its files among its partitions.
    numbered: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl RowPositionExec {
    /// Numbers the rows of `scan`, which is a `DataSourceExec` over Parquet files.
    pub fn try_new(scan: Arc<dyn ExecutionPlan>) -> DataFusionResult<Self> {
        let columns = scan.schema();
        let mut with_position: Vec<_> = columns
            .fields()
            .iter()
            .enumerate()
            .map(|(at, f)| ProjectionExpr::new(Arc::new(Column::new(f.name(), at)), f.name().clone()))
            .collect();
        let position =
            ScalarFunctionExpr::try_new(file_row_index(), vec![], &columns, Arc::new(ConfigOptions::default()))?;
        with_position.push(ProjectionExpr::new(Arc::new(position), POSITION_COLUMN.to_string()));
        let source = scan.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
        let numbered = match source {
            Some(source) => source.try_swapping_with_projection(&ProjectionExprs::new(with_position))?,
            None => None,
        };
        let Some(numbered) = numbered else {
            return Err(DataFusionError::Internal("only a scan of files can number its rows".to_string()));
        };
        let fields = columns.fields().iter().cloned().chain([position_field()]).collect::<Vec<_>>();
        let schema = Arc::new(Schema::new(fields));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            scan.output_partitioning().clone(),
            scan.properties().emission_type,
            scan.properties().boundedness,
        );
        let numbered = Arc::new(DataSourceExec::new(numbered));
        Ok(Self { scan, numbered, properties: Arc::new(properties) })
    }
}

impl DisplayAs for RowPositionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for RowPositionExec {
    crate::one_input!(scan, |_, scan| Self::try_new(scan));

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        // The source declares the column nullable, but it never has a NULL.
        let schema = self.schema();
        let batch_schema = Arc::clone(&schema);
        let rows = self.numbered.execute(partition, context)?;
        let rows = rows.map(move |batch| {
            let (_, columns, count) = batch?.into_parts();
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&batch_schema), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.numbered.metrics()
    }

    /// Filters on the table's columns prune row groups as without row numbers.
    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> DataFusionResult<FilterDescription> {
        FilterDescription::from_children(filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> DataFusionResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
