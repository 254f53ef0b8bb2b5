//! A query that one executor runs alone, in one task.
//!
//! Ballista cuts a plan wherever rows change partitions, and rows that cross a cut are written to disk. In a cluster of
//! one executor no other process needs those rows, so the plan stays whole: its exchanges are DataFusion's own, in
//! memory, and features that need a single process work, such as the filters that a join or a top-k pushes down to a
//! scan at run time. To the planner the query is one opaque operator.

use std::fmt;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryLimit, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{Metric, MetricValue, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, EmptyRecordBatchStream, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, SendableRecordBatchStream, execute_stream,
};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::{DeduplicatingProtoConverter, PhysicalExtensionCodec};
use futures::{StreamExt, TryStreamExt};

use crate::cancel::{Cancelled, heeding};
use crate::compact::compact_before_sorts;
use crate::runtime::NAMED_CONSUMERS;
use crate::shared::connected;
use crate::sort_memory::{count_sorts, with_runtime};
use crate::string_view::{plain_text, without_views};

/// A whole plan as one operator. Its first partition has all rows; the others are empty. There is one partition per
/// vcore of the plan, because Ballista gives a task the memory and the slots of its partitions.
///
/// The input marks the first partition: Ballista may distribute the partitions over several tasks, and removes other
/// tasks' partitions from the leaves of a task. One row in the first partition of the input represents the query and
/// stays with that partition.
#[derive(Debug)]
pub struct WholeQueryExec {
    plan: Arc<dyn ExecutionPlan>,
    /// The plan as it is executed, which has the metrics.
    executed: Arc<OnceLock<Arc<dyn ExecutionPlan>>>,
    slots: Arc<dyn ExecutionPlan>,
    /// The plan's schema without views.
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl WholeQueryExec {
    /// `plan`, to be run by one executor on `vcores` of its task slots.
    ///
    /// # Errors
    /// None that a caller can cause: the marker row could not be built.
    pub fn try_new(plan: Arc<dyn ExecutionPlan>, vcores: usize) -> Result<Self> {
        let query: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        let query = RecordBatch::try_from_iter([("query", query)])?;
        let (schema, mut slots) = (query.schema(), vec![Vec::new(); vcores.max(1)]);
        slots[0].push(query);
        Ok(Self::over(plan, DataSourceExec::from_data_source(MemorySourceConfig::try_new(&slots, schema, None)?)))
    }

    fn over(plan: Arc<dyn ExecutionPlan>, slots: Arc<dyn ExecutionPlan>) -> Self {
        let schema = without_views(&plan.schema());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(slots.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { plan, executed: Arc::default(), slots, schema, properties: Arc::new(properties) }
    }

    pub(crate) fn encode(&self, codec: &dyn PhysicalExtensionCodec) -> Result<Vec<u8>> {
        // Both ends of a filter that is pushed down at run time must stay connected.
        let converter = DeduplicatingProtoConverter {};
        Ok(physical_plan_to_bytes_with_proto_converter(Arc::clone(&self.plan), codec, &converter)?.to_vec())
    }

    pub(crate) fn decode(
        bytes: &[u8],
        slots: Arc<dyn ExecutionPlan>,
        context: &TaskContext,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<Self> {
        let converter = DeduplicatingProtoConverter {};
        let plan = physical_plan_from_bytes_with_proto_converter(bytes, context, codec, &converter)?;
        let plan = compact_before_sorts(connected(with_footer_cache(plan, context)?)?)?;
        Ok(Self::over(plan, slots))
    }
}

/// Puts the task's memory into one pool for all operators of the plan. Ballista's pool gives each operator that can
/// spill an equal share from the start: right for the few operators of a stage, but a whole plan has many, not all of
/// them active at the same time.
fn with_shared_memory(context: &TaskContext, sorts: usize) -> Result<TaskContext> {
    let runtime = context.runtime_env();
    let runtime = match runtime.memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => {
            let pool = TrackConsumersPool::new(GreedyMemoryPool::new(bytes), NAMED_CONSUMERS);
            RuntimeEnvBuilder::from_runtime_env(&runtime).with_memory_pool(Arc::new(pool)).build_arc()?
        }
        _ => runtime,
    };
    Ok(with_runtime(context, sorts, runtime))
}

/// Lets scans use the footers that earlier queries of this process have read: the cache is not part of an encoded plan.
fn with_footer_cache(plan: Arc<dyn ExecutionPlan>, context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let runtime = context.runtime_env();
    let cached = |node: Arc<dyn ExecutionPlan>| {
        let Some(config) =
            node.downcast_ref::<DataSourceExec>().and_then(|s| s.data_source().downcast_ref::<FileScanConfig>())
        else {
            return Ok(Transformed::no(node));
        };
        let Some(parquet) = config.file_source().downcast_ref::<ParquetSource>() else {
            return Ok(Transformed::no(node));
        };
        let store = runtime.object_store(&config.object_store_url)?;
        let cache = runtime.cache_manager.get_file_metadata_cache();
        let factory = Arc::new(CachedParquetFileReaderFactory::new(store, cache));
        let source = parquet.clone().with_parquet_file_reader_factory(factory);
        let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_up(cached).data()
}

impl DisplayAs for WholeQueryExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "WholeQueryExec: vcores={}", self.properties.partitioning.partition_count())
    }
}

impl ExecutionPlan for WholeQueryExec {
    bergmill_catalog::one_input!(slots, |this, slots| Ok(Self::over(Arc::clone(&this.plan), slots)));

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let mut slot = self.slots.execute(partition, Arc::clone(&context))?;
        let (plan, fields) = (Arc::clone(&self.plan), Arc::clone(&schema));
        let executed = Arc::clone(&self.executed);
        let rows = async move {
            if slot.try_next().await?.is_none_or(|batch| batch.num_rows() == 0) {
                let empty: SendableRecordBatchStream = Box::pin(EmptyRecordBatchStream::new(fields));
                return Ok::<_, DataFusionError>(empty);
            }
            let context = with_shared_memory(&context, count_sorts(&plan))?;
            let plan = match context.session_config().get_extension::<Cancelled>() {
                Some(cancelled) => heeding(plan, &cancelled)?,
                None => plan,
            };
            let rows = execute_stream(Arc::clone(executed.get_or_init(|| plan)), Arc::new(context))?;
            let schema = Arc::clone(&fields);
            let rows = rows.map(move |batch| plain_text(&schema, &batch?));
            Ok(Box::pin(RecordBatchStreamAdapter::new(fields, rows)))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::once(rows).try_flatten())))
    }

    /// What the scans of the plan read and skipped, what its operators spilled, and how long they computed. Other
    /// metrics would be mistaken for those of a stage's operators.
    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = MetricsSet::new();
        let visited = self.executed.get().unwrap_or(&self.plan).apply(|node| {
            let is_scan = node.is::<DataSourceExec>();
            let of_node = node.metrics().unwrap_or_default();
            let reported = |metric: &&Arc<Metric>| {
                is_scan || matches!(metric.value(), MetricValue::SpilledBytes(_) | MetricValue::ElapsedCompute(_))
            };
            of_node.iter().filter(reported).for_each(|metric| metrics.push(Arc::clone(metric)));
            Ok(TreeNodeRecursion::Continue)
        });
        // A metric per file and partition would make a large message.
        visited.ok().map(|_| metrics.aggregate_by_name())
    }
}
