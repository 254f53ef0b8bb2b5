//! The metrics of an executor: its tasks, what they read and wrote, and the memory that they hold.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ballista_core::serde::protobuf::ShuffleWritePartition;
use ballista_executor::execution_engine::QueryStageExecutor;
use ballista_executor::health::ExecutorHealth;
use bergmill_engine::{OperatorMetrics, new_registry, register};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryPool;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramTimer, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Upper bounds of the durations of tasks, in seconds.
const SECONDS: [f64; 10] = [0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// Metrics of an executor. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    ready: IntGauge,
    tasks: IntCounterVec,
    task_seconds: Histogram,
    running: IntGauge,
    memory: IntGauge,
    scanned: IntCounter,
    shuffle_read: IntCounter,
    shuffle_written: IntCounter,
    spilled: IntCounter,
    /// The memory pools of tasks, of which each has its own.
    pools: Arc<Mutex<Vec<Weak<dyn MemoryPool>>>>,
}

impl Metrics {
    pub(crate) fn new(vcores: usize, memory_bytes: u64) -> Self {
        let registry = new_registry();
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help));
        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help));
        gauge("bergmill_vcores", "Task slots").set(i64::try_from(vcores).unwrap_or(i64::MAX));
        gauge("bergmill_memory_limit_bytes", "Memory that tasks may hold before they spill")
            .set(i64::try_from(memory_bytes).unwrap_or(i64::MAX));
        let seconds = HistogramOpts::new("bergmill_task_duration_seconds", "Durations of tasks");
        let tasks = Opts::new("bergmill_tasks_total", "Tasks that have ended, by outcome");
        let tasks = register(&registry, IntCounterVec::new(tasks, &["outcome"]));
        // From the start, so that the first failure is an increase.
        for outcome in ["finished", "failed", "cancelled"] {
            tasks.with_label_values(&[outcome]);
        }
        Self {
            ready: gauge("bergmill_executor_ready", "1 while the scheduler answers heartbeats, otherwise 0"),
            tasks,
            task_seconds: register(&registry, Histogram::with_opts(seconds.buckets(SECONDS.to_vec()))),
            running: gauge("bergmill_tasks_running", "Tasks that are running"),
            memory: gauge("bergmill_memory_reserved_bytes", "Memory that the operators of tasks hold"),
            scanned: counter("bergmill_scanned_bytes_total", "Bytes of data files read by tasks"),
            shuffle_read: counter("bergmill_shuffle_read_bytes_total", "Bytes of other stages' rows, decoded"),
            shuffle_written: counter(
                "bergmill_shuffle_written_bytes_total",
                "Bytes written for the next stage or the client",
            ),
            spilled: counter("bergmill_spilled_bytes_total", "Bytes that operators spilled to disk"),
            pools: Arc::default(),
            registry,
        }
    }

    /// Begins a task, which ends with the returned guard.
    pub(crate) fn begin<'a>(&'a self, stage: &'a dyn QueryStageExecutor, context: &TaskContext) -> RunningTask<'a> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(context.memory_pool()));
        self.running.inc();
        let timer = self.task_seconds.start_timer();
        RunningTask { metrics: self, stage, outcome: "cancelled", _timer: timer }
    }

    /// The current values.
    pub(crate) fn gather(&self, health: &ExecutorHealth) -> Vec<MetricFamily> {
        self.ready.set(i64::from(health.is_ready()));
        self.memory.set(i64::try_from(self.reserved()).unwrap_or(i64::MAX));
        self.registry.gather()
    }

    fn reserved(&self) -> usize {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().filter_map(Weak::upgrade).map(|pool| pool.reserved()).sum()
    }
}

/// A task that runs. It counts as cancelled if this is dropped before it has ended.
pub(crate) struct RunningTask<'a> {
    metrics: &'a Metrics,
    stage: &'a dyn QueryStageExecutor,
    outcome: &'static str,
    _timer: HistogramTimer,
}

impl RunningTask<'_> {
    /// Ends a task that wrote these partitions.
    pub(crate) fn finish(mut self, written: &[ShuffleWritePartition]) {
        self.metrics.shuffle_written.inc_by(written.iter().map(|partition| partition.num_bytes).sum());
        self.outcome = "finished";
    }

    /// Ends a task that failed.
    pub(crate) fn fail(mut self) {
        self.outcome = "failed";
    }
}

impl Drop for RunningTask<'_> {
    fn drop(&mut self) {
        let Metrics { running, tasks, scanned, shuffle_read, spilled, .. } = self.metrics;
        running.dec();
        tasks.with_label_values(&[self.outcome]).inc();
        let operators = self.stage.collect_plan_metrics();
        let operators = OperatorMetrics(&operators);
        scanned.inc_by(operators.scanned_bytes().unwrap_or(0));
        shuffle_read.inc_by(operators.shuffle_read_bytes().unwrap_or(0));
        spilled.inc_by(operators.spilled_bytes().unwrap_or(0));
    }
}
