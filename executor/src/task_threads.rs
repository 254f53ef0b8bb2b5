//! The threads on which tasks compute, apart from those that serve requests.
//!
//! An operator may compute for a long time before it yields its thread. Whoever has to act meanwhile, for example to
//! cancel the task, must not share that thread.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// The niceness of the threads of tasks. They compute for as long as they can, and a delayed heartbeat makes an
/// executor look lost.
const NICENESS: i32 = 10;

/// A runtime for the plans of tasks. Its threads end when this is dropped.
pub(crate) struct TaskThreads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl TaskThreads {
    /// Starts a thread for each of `vcores`.
    pub(crate) fn start(vcores: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("task")
            .worker_threads(vcores)
            .on_thread_start(|| {
                if let Err(e) = rustix::process::setpriority_process(None, NICENESS) {
                    tracing::warn!("the threads of tasks have the priority of others: {e}");
                }
            })
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for TaskThreads {
    fn drop(&mut self) {
        // Does not wait for the threads, which asynchronous code must not do.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
