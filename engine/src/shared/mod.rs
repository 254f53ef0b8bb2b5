//! A part of a plan that several operators read, and that runs once.
//!
//! SQL names such a part by `WITH`, and DataFusion plans it again wherever it is read. Here all readers get the batches
//! of one run. It goes on when a reader needs a batch that it has not returned yet; batches that others have not read
//! are kept for them, on disk if memory is short.

mod feed;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, SendableRecordBatchStream};
use serde::{Deserialize, Serialize};

use feed::{Feed, Reader, Room};

/// Returns the rows of its input to each of several readers. The readers of one input are as many nodes with the same
/// id, whose inputs are the same plan: that of the node which is executed first runs.
#[derive(Debug)]
pub struct SharedExec {
    input: Arc<dyn ExecutionPlan>,
    wire: Wire,
    feeds: Arc<Feeds>,
    metrics: ExecutionPlanMetricsSet,
}

/// Encoded form of the operator, without its input.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Wire {
    /// Which nodes of a plan share one run.
    id: usize,
    /// The number of them that are executed.
    readers: usize,
}

#[derive(Debug, Default)]
struct Feeds(Mutex<Begun>);

#[derive(Debug, Default)]
struct Begun {
    /// That of the node which was executed first. Parts of it may be in the inputs of others too, and may not run
    /// twice; an exchange runs for all partitions.
    input: Option<Arc<dyn ExecutionPlan>>,
    /// The runs of partitions that not all readers have begun to read, with the number of those that have.
    feeds: HashMap<usize, (Arc<Feed>, usize)>,
}

impl SharedExec {
    /// A part of a plan, `input`, with an id in the plan, which is read `readers` times. All readers must have clones
    /// of this node.
    pub fn new(input: Arc<dyn ExecutionPlan>, id: usize, readers: usize) -> Self {
        Self::over(input, Wire { id, readers }, Arc::default())
    }

    fn over(input: Arc<dyn ExecutionPlan>, wire: Wire, feeds: Arc<Feeds>) -> Self {
        Self { input, wire, feeds, metrics: ExecutionPlanMetricsSet::new() }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.wire).map_err(|e| DataFusionError::External(Box::new(e)))
    }

    /// The readers of a plan that was decoded must be [connected](connected).
    pub(crate) fn decode(bytes: &[u8], input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let wire = serde_json::from_slice(bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(Self::over(input, wire, Arc::default()))
    }
}

/// Lets the nodes of a plan that have the same id share one run.
pub(crate) fn connected(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut known: HashMap<usize, Arc<Feeds>> = HashMap::new();
    plan.transform_up(|node| {
        Ok(match node.downcast_ref::<SharedExec>() {
            Some(SharedExec { input, wire, feeds, .. }) => {
                let feeds = known.entry(wire.id).or_insert_with(|| Arc::clone(feeds));
                Transformed::yes(Arc::new(SharedExec::over(Arc::clone(input), *wire, Arc::clone(feeds))))
            }
            None => Transformed::no(node),
        })
    })
    .data()
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedExec: id={}, readers={}", self.wire.id, self.wire.readers)
    }
}

impl ExecutionPlan for SharedExec {
    bergmill_catalog::one_input!(input, |this, input| Ok(Self::over(input, this.wire, Arc::clone(&this.feeds))));
    bergmill_catalog::same_rows!(input);

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut begun = self.feeds.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (feed, readers) = match begun.feeds.remove(&partition) {
            Some(known) => known,
            None => {
                let input = begun.input.get_or_insert_with(|| Arc::clone(&self.input));
                let input = input.execute(partition, Arc::clone(&context))?;
                let partitions = self.properties().partitioning.partition_count();
                let spills = SpillMetrics::new(&self.metrics, partition);
                let room = Room::new(format!("SharedExec[{partition}]"), partitions, self.schema(), spills, &context);
                (Arc::new(Feed::new(input, self.wire.readers, room)), 0)
            }
        };
        let reader = Reader::new(Arc::clone(&feed), readers);
        if readers + 1 < self.wire.readers {
            begun.feeds.insert(partition, (feed, readers + 1));
        }
        Ok(Box::pin(reader))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::RecordBatch;
    use datafusion::arrow::compute::concat_batches;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_plan::union::UnionExec;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use futures::{StreamExt, TryStreamExt};

    use super::*;

    const ROWS: usize = 100_000;

    /// The readers of a query's rows, with `bytes` of memory.
    async fn readers(
        sql: &str,
        number: usize,
        bytes: usize,
    ) -> (SharedExec, Vec<SendableRecordBatchStream>, SessionContext) {
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(bytes)));
        let config = SessionConfig::new().with_target_partitions(1).with_batch_size(1_000);
        let session = SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap());
        let plan = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let shared = SharedExec::new(plan, 0, number);
        let streams = (0..number).map(|_| shared.execute(0, session.task_ctx()).unwrap()).collect();
        (shared, streams, session)
    }

    async fn numbers(number: usize, bytes: usize) -> (SharedExec, Vec<SendableRecordBatchStream>, SessionContext) {
        readers(&format!("SELECT value AS n, random() AS r FROM generate_series(1, {ROWS})"), number, bytes).await
    }

    fn all(batches: &[RecordBatch]) -> RecordBatch {
        concat_batches(&batches[0].schema(), batches).unwrap()
    }

    #[tokio::test]
    async fn all_readers_get_the_rows_of_one_run() {
        for (bytes, spills) in [(1 << 30, false), (256 << 10, true)] {
            let (shared, mut streams, session) = numbers(3, bytes).await;
            // They read alternately, then one after the other.
            let mut read = vec![Vec::new(); 3];
            for turn in 0..60 {
                let at = turn % 2;
                read[at].push(streams[at].next().await.unwrap().unwrap());
            }
            for (at, stream) in streams.iter_mut().enumerate() {
                read[at].extend(stream.try_collect::<Vec<_>>().await.unwrap());
            }
            drop(streams);
            // Another run would return other random numbers.
            assert_eq!(all(&read[0]).num_rows(), ROWS);
            assert_eq!(all(&read[0]), all(&read[1]));
            assert_eq!(all(&read[0]), all(&read[2]));
            assert_eq!(shared.metrics().unwrap().spill_count().unwrap_or(0) > 0, spills);
            assert_eq!(session.runtime_env().memory_pool.reserved(), 0);
        }
    }

    #[tokio::test]
    async fn readers_on_different_threads_wait_for_each_other_without_an_end() {
        let (_, streams, _) = numbers(4, 1 << 30).await;
        let read = streams.into_iter().map(|stream| tokio::spawn(stream.try_collect::<Vec<_>>()));
        for read in futures::future::join_all(read).await {
            assert_eq!(all(&read.unwrap().unwrap()).num_rows(), ROWS);
        }
    }

    #[tokio::test]
    async fn a_reader_that_leaves_does_not_keep_batches() {
        let (_, mut streams, session) = numbers(2, 1 << 30).await;
        let mut kept = streams.pop().unwrap();
        kept.next().await.unwrap().unwrap();
        assert!(session.runtime_env().memory_pool.reserved() > 0);
        drop(streams);
        assert_eq!(session.runtime_env().memory_pool.reserved(), 0);
        let rest = kept.try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(all(&rest).num_rows(), ROWS - 1_000);
    }

    #[tokio::test]
    async fn all_readers_get_the_error() {
        let sql = "SELECT 1 / (value - 5000) FROM generate_series(1, 100000)";
        for stream in readers(sql, 3, 1 << 30).await.1 {
            let error = stream.try_collect::<Vec<_>>().await.unwrap_err().to_string();
            assert!(error.contains("Divide by zero"), "{error}");
        }
    }

    #[tokio::test]
    async fn readers_that_were_decoded_share_a_run() {
        let (shared, streams, session) = numbers(2, 1 << 30).await;
        drop(streams);
        let decoded = || {
            let input = Arc::clone(&shared.input);
            Arc::new(SharedExec::decode(&shared.encode().unwrap(), input).unwrap()) as Arc<dyn ExecutionPlan>
        };
        let both = connected(UnionExec::try_new(vec![decoded(), decoded()]).unwrap()).unwrap();
        let read = async |partition| {
            let rows = both.execute(partition, session.task_ctx()).unwrap();
            all(&rows.try_collect::<Vec<_>>().await.unwrap())
        };
        assert_eq!(read(0).await, read(1).await);
    }

    #[tokio::test]
    async fn a_plan_can_be_executed_again() {
        let (shared, streams, session) = numbers(2, 1 << 30).await;
        drop(streams);
        let again = shared.execute(0, session.task_ctx()).unwrap().try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(all(&again).num_rows(), ROWS);
    }
}
