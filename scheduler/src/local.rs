//! The threads for queries in the scheduler's process.
//!
//! They are separate from those that serve executors and clients: an operator may compute for a long time before it
//! yields its thread, and a delayed heartbeat makes an executor look lost.

use std::future::Future;
use std::sync::Arc;

use bergmill_engine::{Cancelled, QueryThreads, count_sorts, with_room_to_merge};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream, execute_stream_partitioned};
use futures::StreamExt;
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind, Result};

/// Batches of a result that may wait for the client.
const BATCHES_AHEAD: usize = 2;

/// Queries that are expected to sort at the same time: they share one memory pool.
const QUERIES: usize = 4;

/// A runtime for queries.
pub(crate) struct LocalRuntime(QueryThreads);

impl LocalRuntime {
    /// Starts a thread for each core.
    pub(crate) fn start() -> Result<Self> {
        QueryThreads::start(None, || {})
            .map(Self)
            .map_err(|e| Error::new(ErrorKind::Unavailable, format!("cannot start the threads for queries: {e}")))
    }

    /// Returns the rows of a plan that heeds `cancelled`. Dropping them cancels the query.
    pub(crate) fn execute(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        cancelled: &Cancelled,
    ) -> datafusion::error::Result<SendableRecordBatchStream> {
        // Some operators spawn tasks as soon as they are executed.
        let entered = self.0.handle().enter();
        let context = Arc::new(with_room_to_merge(&context, QUERIES * count_sorts(&plan)));
        let mut rows = execute_stream(plan, context)?;
        drop(entered);
        let mut answer = RecordBatchReceiverStream::builder(rows.schema(), BATCHES_AHEAD);
        let sender = answer.tx();
        let driven = async move {
            while let Some(batch) = rows.next().await {
                if sender.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        answer.spawn_on(driven, self.0.handle());
        let (answer, guard) = (answer.build(), cancelled.on_drop());
        let schema = answer.schema();
        let rows = answer.map(move |batch| {
            let _guard = &guard;
            batch
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// Returns the rows of each partition of a plan, for the caller to poll.
    pub(crate) fn execute_partitioned(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> datafusion::error::Result<Vec<SendableRecordBatchStream>> {
        let _entered = self.0.handle().enter();
        let context = with_room_to_merge(&context, QUERIES * count_sorts(&plan));
        execute_stream_partitioned(plan, Arc::new(context))
    }

    /// Runs a task on these threads.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.spawn(task)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datafusion::prelude::SessionContext;
    use futures::TryStreamExt;

    use super::*;

    /// With one thread that serves, and a query that never yields its own.
    #[tokio::test]
    async fn serving_does_not_wait_for_a_query_that_computes() {
        let local = LocalRuntime::start().unwrap();
        let context = SessionContext::new();
        let sql = "SELECT count(*) FROM unnest(range(0, 3000)) a (x), unnest(range(0, 30000)) b (y) WHERE x + y < 0";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let counted = local.execute(plan, context.task_ctx(), &Cancelled::default()).unwrap().try_collect::<Vec<_>>();
        tokio::pin!(counted);
        let mut heartbeats = 0;
        let rows = loop {
            tokio::select! {
                rows = &mut counted => break rows.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(1)) => heartbeats += 1,
            }
        };
        assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
        assert!(heartbeats > 10, "{heartbeats}");
    }

    #[tokio::test]
    async fn a_query_ends_when_its_rows_are_dropped() {
        let local = LocalRuntime::start().unwrap();
        let context = SessionContext::new();
        let sql = "SELECT x FROM unnest(range(0, 100000)) a (x), unnest(range(0, 100000)) b (y)";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let weak = Arc::downgrade(&plan);
        let mut rows = local.execute(plan, context.task_ctx(), &Cancelled::default()).unwrap();
        assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
        drop(rows);
        // A running query keeps its operators alive.
        for _ in 0..1000 {
            if weak.strong_count() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the query still runs");
    }
}
