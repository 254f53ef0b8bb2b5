//! Threads on which plans run, apart from those that serve requests.
//!
//! An operator may compute for a long time before it yields its thread. Whoever has to act meanwhile, for example to
//! cancel the query, must not share that thread.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// A runtime for plans.
#[derive(Debug)]
pub struct QueryThreads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl QueryThreads {
    /// Starts this number of threads, or one for each core. Each calls `on_start` first.
    ///
    /// # Errors
    /// If the system has no resources for them.
    pub fn start(threads: Option<usize>, on_start: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        if let Some(threads) = threads {
            builder.worker_threads(threads.max(1));
        }
        let runtime = builder.thread_name("query").on_thread_start(on_start).enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// The runtime's handle.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a task on these threads.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(task)
    }
}

impl Drop for QueryThreads {
    fn drop(&mut self) {
        // Does not wait for the threads, which asynchronous code must not do.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
