//! Plans that stop when their query is cancelled, inside a batch too.
//!
//! tokio cancels a task where it yields its thread, but a join may compute for hours before it does: its filter is
//! evaluated for all pairs of rows and may keep none of them, and a consumer such as an aggregate asks for the next
//! batch again and again. [`heeding`] prepares a plan to be executed: its joins yield after some batches, and neither
//! they nor their filters go on once the query is [`Cancelled`].
//!
//! The plan keeps the number, the order and the metrics of its operators, because Ballista's scheduler maps the metrics
//! of a task to operators by their position.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::{Stream, StreamExt};

use crate::task_context::with_config;

/// Whether a query was cancelled. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    /// Cancels the query.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Cancels the query when the result is dropped.
    pub fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(DataFusionError::Execution("the query was cancelled".to_string())),
            false => Ok(()),
        }
    }
}

/// The context of a task whose operators heed `cancelled`: [`crate::WholeQueryExec`] passes it to its plan.
pub fn with_cancelled(context: &TaskContext, cancelled: &Cancelled) -> TaskContext {
    let config = context.session_config().clone().with_extension(Arc::new(cancelled.clone()));
    with_config(context, config, context.runtime_env())
}

/// Cancels a query when it is dropped.
#[derive(Debug)]
pub struct CancelOnDrop(Cancelled);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// The plan, whose execution stops when the query is cancelled.
pub fn heeding(plan: Arc<dyn ExecutionPlan>, cancelled: &Cancelled) -> Result<Arc<dyn ExecutionPlan>> {
    let heed = |node: Arc<dyn ExecutionPlan>| {
        let join = with_heeding_filter(&node, cancelled)?;
        let returns_many_rows = join.is_some() || node.is::<CrossJoinExec>() || node.is::<UnnestExec>();
        if !returns_many_rows {
            return Ok(Transformed::no(node));
        }
        // The same properties let the operators above keep their state, such as the filter of a top-k sort.
        let properties = Arc::clone(node.properties());
        let heeding = Heeding { inner: join.unwrap_or(node), properties, cancelled: cancelled.clone() };
        Ok(Transformed::yes(Arc::new(heeding) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_up(heed).data()
}

/// The join with a filter that fails once the query is cancelled; `None` if the operator cannot have a filter.
fn with_heeding_filter(node: &Arc<dyn ExecutionPlan>, cancelled: &Cancelled) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let heeding = |filter: &JoinFilter| {
        let expr = HeedingExpr { inner: Arc::clone(filter.expression()), cancelled: cancelled.clone() };
        JoinFilter::new(Arc::new(expr), filter.column_indices().to_vec(), Arc::clone(filter.schema()))
    };
    let unchanged = || Ok(Some(Arc::clone(node)));
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        let Some(filter) = join.filter() else { return unchanged() };
        return HashJoinExecBuilder::from(join).with_filter(Some(heeding(filter))).build_exec().map(Some);
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        let Some(filter) = join.filter() else { return unchanged() };
        let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(heeding(filter))).build()?;
        return Ok(Some(Arc::new(join)));
    }
    if let Some(join) = node.downcast_ref::<SortMergeJoinExec>() {
        let Some(filter) = join.filter() else { return unchanged() };
        let join = SortMergeJoinExec::try_new(
            Arc::clone(join.left()),
            Arc::clone(join.right()),
            join.on().to_vec(),
            Some(heeding(filter)),
            join.join_type(),
            join.sort_options().to_vec(),
            join.null_equality(),
        )?;
        return Ok(Some(Arc::new(join)));
    }
    Ok(None)
}

/// An operator whose rows end with an error once the query is cancelled. In everything but its execution it is the
/// operator itself.
#[derive(Debug)]
struct Heeding {
    inner: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    cancelled: Cancelled,
}

impl DisplayAs for Heeding {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.inner.fmt_as(format, f)
    }
}

impl ExecutionPlan for Heeding {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(self.inner.as_ref())
    }

    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.inner.maintains_input_order()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inner.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let keeps_properties = options.children_properties == ChildrenPropertiesMode::Keep;
        let inner = Arc::clone(&self.inner).replace_children(children, options)?;
        let properties = if keeps_properties { &self.properties } else { inner.properties() };
        Ok(Arc::new(Self { properties: Arc::clone(properties), inner, cancelled: self.cancelled.clone() }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    /// A recursive query runs its part again and again: a join must then read its inputs anew.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = Arc::clone(&self.inner).reset_state()?;
        Ok(Arc::new(Self { properties: Arc::clone(&self.properties), inner, cancelled: self.cancelled.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = make_cooperative(self.inner.execute(partition, context)?);
        Ok(Box::pin(HeedingRows { rows, cancelled: self.cancelled.clone() }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.inner.metrics()
    }

    fn fetch(&self) -> Option<usize> {
        self.inner.fetch()
    }
}

struct HeedingRows {
    rows: SendableRecordBatchStream,
    cancelled: Cancelled,
}

impl Stream for HeedingRows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.cancelled.check() {
            Ok(()) => self.rows.poll_next_unpin(context),
            Err(e) => Poll::Ready(Some(Err(e))),
        }
    }
}

impl RecordBatchStream for HeedingRows {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

/// An expression that fails once the query is cancelled.
#[derive(Debug)]
struct HeedingExpr {
    inner: Arc<dyn PhysicalExpr>,
    cancelled: Cancelled,
}

impl fmt::Display for HeedingExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

impl PartialEq for HeedingExpr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for HeedingExpr {}

impl Hash for HeedingExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl PhysicalExpr for HeedingExpr {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.cancelled.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(inner) => Ok(Arc::new(Self { inner, cancelled: self.cancelled.clone() })),
            None => Err(DataFusionError::Internal("HeedingExpr needs an expression".to_string())),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use datafusion::physical_plan::{collect, displayable, execute_stream};
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// Joins that would take hours, with and without rows to return.
    const ENDLESS: [&str; 4] = [
        "SELECT sum(a.x + b.x + c.x) FROM t a, t b, t c",
        "SELECT count(*) FROM t a, t b, t c WHERE a.x + b.x + c.x < 0",
        "SELECT count(*) FROM t a JOIN t b ON a.x < b.x JOIN t c ON b.x + a.x < c.x - 1000000",
        "SELECT count(*) FROM u a JOIN u b ON a.k = b.k AND a.x + b.x < 0 JOIN u c ON c.k = b.k",
    ];

    async fn plan(sql: &str) -> (SessionContext, Arc<dyn ExecutionPlan>) {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        for table in [
            "CREATE TABLE t AS SELECT value AS x FROM generate_series(1, 300000)",
            "CREATE TABLE u AS SELECT value AS x, 1 AS k FROM generate_series(1, 300000)",
        ] {
            context.sql(table).await.unwrap().collect().await.unwrap();
        }
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        (context, plan)
    }

    #[tokio::test]
    async fn a_plan_keeps_its_operators() {
        for sql in ENDLESS.into_iter().chain(["SELECT x FROM t WHERE x > 1 ORDER BY x"]) {
            let (_, plan) = plan(sql).await;
            let heeding = heeding(Arc::clone(&plan), &Cancelled::default()).unwrap();
            let [before, after] = [&plan, &heeding].map(|plan| displayable(plan.as_ref()).indent(true).to_string());
            assert_eq!(before, after);
        }
    }

    #[tokio::test]
    async fn a_recursive_query_joins_the_rows_of_each_step() {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        context.sql("CREATE TABLE s (x INT) AS VALUES (1), (2), (3), (4)").await.unwrap().collect().await.unwrap();
        // Each step would return the rows of the first one, without an end.
        let sql = "WITH RECURSIVE c AS (SELECT 1 AS x UNION ALL SELECT c.x + 1 FROM c JOIN s ON c.x = s.x WHERE c.x < 4) \
                   SELECT x FROM c LIMIT 20";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let plan = heeding(plan, &Cancelled::default()).unwrap();
        let rows = collect(plan, context.task_ctx()).await.unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn joins_stop_when_they_are_cancelled_and_yield_before() {
        for sql in ENDLESS {
            let (context, plan) = plan(sql).await;
            let cancelled = Cancelled::default();
            let plan = heeding(plan, &cancelled).unwrap();
            let mut rows = execute_stream(plan, context.task_ctx()).unwrap();
            // On a task of its own: a poll may take until the query is cancelled.
            let running = tokio::spawn(async move { rows.next().await });
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(!running.is_finished(), "{sql}");
            let began = Instant::now();
            cancelled.set();
            let ended = running.await.unwrap();
            assert!(matches!(&ended, Some(Err(e)) if e.to_string().contains("cancelled")), "{sql}: {ended:?}");
            assert!(began.elapsed() < Duration::from_secs(1), "{sql}: {:?}", began.elapsed());
        }
    }
}
