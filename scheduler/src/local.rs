//! The threads for queries in the scheduler's process.
//!
//! They are separate from those that serve executors and clients: an operator may compute for a long time before it
//! yields its thread, and a delayed heartbeat makes an executor look lost.

use std::future::Future;
use std::sync::Arc;

use bergmill_engine::{count_sorts, with_room_to_merge};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream, execute_stream_partitioned};
use futures::StreamExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind, Result};

/// Batches of a result that may wait for the client.
const BATCHES_AHEAD: usize = 2;

/// Queries that are expected to sort at the same time: they share one memory pool.
const QUERIES: usize = 4;

/// A runtime for queries.
pub(crate) struct LocalRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl LocalRuntime {
    /// Starts a thread for each core.
    pub(crate) fn start() -> Result<Self> {
        let runtime =
            Builder::new_multi_thread().thread_name("query").enable_all().build().map_err(|e| {
                Error::new(ErrorKind::Unavailable, format!("cannot start the threads for queries: {e}"))
            })?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Returns the rows of a plan. Dropping them cancels the query.
    pub(crate) fn execute(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> datafusion::error::Result<SendableRecordBatchStream> {
        // Some operators spawn tasks as soon as they are executed.
        let entered = self.handle.enter();
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
        answer.spawn_on(driven, &self.handle);
        Ok(answer.build())
    }

    /// Returns the rows of each partition of a plan, for the caller to poll.
    pub(crate) fn execute_partitioned(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> datafusion::error::Result<Vec<SendableRecordBatchStream>> {
        let _entered = self.handle.enter();
        let context = with_room_to_merge(&context, QUERIES * count_sorts(&plan));
        execute_stream_partitioned(plan, Arc::new(context))
    }

    /// Runs a task on these threads.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(task)
    }
}

impl Drop for LocalRuntime {
    fn drop(&mut self) {
        // Does not wait for the threads, which asynchronous code must not do.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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
        let counted = local.execute(plan, context.task_ctx()).unwrap().try_collect::<Vec<_>>();
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
        let mut rows = local.execute(plan, context.task_ctx()).unwrap();
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
