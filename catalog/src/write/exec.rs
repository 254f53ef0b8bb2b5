//! The plan node that writes data files.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements, PlanProperties,
};
use futures::StreamExt;

use super::cleanup::object_path;
use super::coerce::coerce;
use super::file::TaskWriter;
use super::plan::{distribution, ordering};
use super::written_file::{WrittenFile, output_schema, result_batch};
use super::{DistributionMode, WriteSpec};
use crate::bridge;
use crate::error::{Error, ErrorKind};

/// Writes the rows of each input partition to Parquet files of its own and returns one row per file.
///
/// The columns of the input are the table's, in order; [`plan_write`](super::plan_write) ensures that. The input should
/// have the [`required_input_ordering`](ExecutionPlan::required_input_ordering): rows that are not clustered by
/// partition are still written correctly, but into more files.
#[derive(Debug)]
pub struct IcebergWriteExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<WriteSpec>,
    /// The table's schema.
    schema: SchemaRef,
    ordering: Option<LexOrdering>,
    distribution: Distribution,
    /// Whether one task gets all rows, because they have an order.
    in_one_task: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl IcebergWriteExec {
    /// A write of `input`, whose columns are those of the table.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, spec: Arc<WriteSpec>) -> crate::error::Result<Self> {
        let schema = Arc::new(bridge::arrow_schema(&spec.schema)?);
        if input.schema().fields().len() != schema.fields().len() {
            return Err(Error::new(ErrorKind::Internal, "the input of a write does not have the table's columns"));
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output_schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self {
            ordering: ordering(&spec, &input.schema())?,
            in_one_task: false,
            distribution: match spec.distribution_mode()? {
                DistributionMode::Hash => distribution(&spec, &input.schema())?,
                DistributionMode::None => Distribution::UnspecifiedDistribution,
            },
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            input,
            spec,
            schema,
        })
    }

    /// The same write by one task, which writes all rows in the order of the input.
    pub(super) fn in_one_task(self) -> Self {
        Self { distribution: Distribution::SinglePartition, in_one_task: true, ..self }
    }

    /// The description of the write.
    pub fn spec(&self) -> &WriteSpec {
        &self.spec
    }

    /// The plan whose rows are written.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for IcebergWriteExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitions: Vec<_> = self.spec.partition_spec.fields().iter().map(|p| p.name.as_str()).collect();
        match format {
            DisplayFormatType::TreeRender => write!(f, "location={}", self.spec.data_location),
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(
                f,
                "IcebergWriteExec: location={}, partitioning=[{}]",
                self.spec.data_location,
                partitions.join(", ")
            ),
        }
    }
}

impl ExecutionPlan for IcebergWriteExec {
    crate::one_input!(input, |this, input| {
        let write = Self::try_new(input, Arc::clone(&this.spec))?;
        Ok(if this.in_one_task { write.in_one_task() } else { write })
    });

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![self.distribution.clone()])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.ordering.clone().map(OrderingRequirements::from)]
    }

    /// The rows of a file have the order of the input. Without this the optimizer would drop the `ORDER BY` of a query
    /// whose rows are written.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    /// More tasks than input partitions would mean more and smaller files.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let (store, _) = object_path(&self.spec.data_location, self.spec.vended_to.as_deref())?;
        let store = context.runtime_env().object_store(&store)?;
        let reservation = MemoryConsumer::new(format!("IcebergWriteExec[{partition}]")).register(context.memory_pool());
        let writer =
            TaskWriter::try_new(Arc::clone(&self.spec), Arc::clone(&self.schema), partition, store, reservation)?;
        let metrics = WriteMetrics::new(&self.metrics, partition);
        let input = self.input.execute(partition, context)?;
        let result = futures::stream::once(write(input, Arc::clone(&self.schema), writer, metrics));
        Ok(Box::pin(RecordBatchStreamAdapter::new(output_schema(), result)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Runs one task: consumes all rows, then returns one batch.
async fn write(
    input: SendableRecordBatchStream,
    schema: SchemaRef,
    mut writer: TaskWriter,
    metrics: WriteMetrics,
) -> DataFusionResult<RecordBatch> {
    match write_rows(input, &schema, &mut writer, &metrics).await {
        Ok(()) => {
            let timer = metrics.elapsed.timer();
            let files = writer.finish().await?;
            timer.done();
            metrics.count(&files);
            Ok(result_batch(&files)?)
        }
        Err(e) => {
            writer.discard().await;
            Err(e)
        }
    }
}

async fn write_rows(
    mut input: SendableRecordBatchStream,
    schema: &SchemaRef,
    writer: &mut TaskWriter,
    metrics: &WriteMetrics,
) -> DataFusionResult<()> {
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        let timer = metrics.elapsed.timer();
        writer.write(&coerce(&batch, schema)?).await?;
        timer.done();
        metrics.rows.add(batch.num_rows());
    }
    Ok(())
}

struct WriteMetrics {
    rows: Count,
    files: Count,
    bytes: Count,
    elapsed: Time,
}

impl WriteMetrics {
    fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            rows: MetricBuilder::new(set).counter("rows_written", partition),
            files: MetricBuilder::new(set).counter("files_written", partition),
            bytes: MetricBuilder::new(set).counter("bytes_written", partition),
            elapsed: MetricBuilder::new(set).elapsed_compute(partition),
        }
    }

    fn count(&self, files: &[WrittenFile]) {
        self.files.add(files.len());
        self.bytes.add(files.iter().map(|f| f.bytes as usize).sum());
    }
}
