//! The metrics of a scheduler: its statements, executors, commits and memory.

use std::sync::Arc;

use bergmill_catalog::CommitCounts;
use bergmill_engine::{new_registry, register};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::error::ErrorKind;
use crate::process::Scheduler;
use crate::system::Execution;

/// Upper bounds of the durations of statements, in seconds.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// Metrics of a scheduler. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    pub statements: StatementMetrics,
    executors: IntGauge,
    draining: IntGauge,
    vcores: IntGauge,
    memory: IntGauge,
    memory_limit: IntGauge,
    commits: IntCounterVec,
    audit_lost: IntCounter,
}

/// Metrics of statements. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct StatementMetrics {
    running: IntGauge,
    ended: IntCounterVec,
    seconds: HistogramVec,
    restarts: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = new_registry();
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help));
        let commits = Opts::new(
            "bergmill_commit_attempts_total",
            "Attempts to change a table, by outcome; those that lost to a concurrent commit are repeated",
        );
        Self {
            statements: StatementMetrics::new(&registry),
            executors: gauge("bergmill_executors", "Registered executors that take tasks"),
            draining: gauge("bergmill_executors_draining", "Executors that take no more tasks and are about to stop"),
            vcores: gauge("bergmill_executor_vcores", "Task slots of all executors that take tasks"),
            memory: gauge("bergmill_memory_reserved_bytes", "Memory that queries in this process hold"),
            memory_limit: gauge(
                "bergmill_memory_limit_bytes",
                "Memory that queries in this process may hold before they spill",
            ),
            commits: register(&registry, IntCounterVec::new(commits, &["outcome"])),
            audit_lost: register(
                &registry,
                IntCounter::new(
                    "bergmill_audit_lost_events_total",
                    "Events that are missing in the file of the audit, because it could not be written",
                ),
            ),
            registry,
        }
    }

    /// The current values. An executor that cannot be counted is not counted.
    pub(crate) async fn gather(&self, scheduler: &Scheduler) -> Vec<MetricFamily> {
        let executors = scheduler.registered().await.unwrap_or_default();
        let (draining, active): (Vec<_>, Vec<_>) = executors.iter().partition(|executor| executor.drains);
        set(&self.executors, active.len());
        set(&self.draining, draining.len());
        set(&self.vcores, active.iter().map(|e| e.metadata.specification.vcores as usize).sum());
        self.set_memory(&scheduler.runtime.memory_pool);
        self.set_commits(scheduler.warehouse.commit_counts());
        self.audit_lost.inc_by(scheduler.history.audit().lost().saturating_sub(self.audit_lost.get()));
        self.registry.gather()
    }

    fn set_memory(&self, pool: &Arc<dyn MemoryPool>) {
        set(&self.memory, pool.reserved());
        if let MemoryLimit::Finite(bytes) = pool.memory_limit() {
            set(&self.memory_limit, bytes);
        }
    }

    fn set_commits(&self, counts: &CommitCounts) {
        let outcomes = [
            ("committed", counts.committed()),
            ("lost", counts.lost()),
            ("failed", counts.failed()),
            ("unknown", counts.unknown()),
        ];
        for (outcome, count) in outcomes {
            let counter = self.commits.with_label_values(&[outcome]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

fn set(gauge: &IntGauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// How a statement ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Finished,
    Failed(ErrorKind),
    Cancelled,
}

impl Outcome {
    /// The values of the labels `outcome` and `error`. An empty label is the same as none.
    fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Finished => ["finished", ""],
            Self::Failed(kind) => ["failed", kind.name()],
            Self::Cancelled => ["cancelled", ""],
        }
    }
}

impl StatementMetrics {
    fn new(registry: &Registry) -> Self {
        let ended = Opts::new("bergmill_queries_total", "Statements that have ended, by outcome and kind of error");
        let seconds = HistogramOpts::new(
            "bergmill_query_duration_seconds",
            "Durations of statements until their last row was read, by where they ran",
        );
        let seconds = HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["execution"]);
        let metrics = Self {
            running: register(registry, IntGauge::new("bergmill_queries_running", "Statements that are running")),
            ended: register(registry, IntCounterVec::new(ended, &["outcome", "error"])),
            seconds: register(registry, seconds),
            restarts: register(
                registry,
                IntCounter::new("bergmill_query_restarts_total", "Restarts of queries that lost rows with an executor"),
            ),
        };
        // From the start, so that the first failure is an increase.
        for outcome in [Outcome::Finished, Outcome::Cancelled].into_iter().chain(ErrorKind::ALL.map(Outcome::Failed)) {
            metrics.ended.with_label_values(&outcome.labels());
        }
        metrics
    }

    pub(crate) fn begin(&self) {
        self.running.inc();
    }

    pub(crate) fn end(&self, outcome: Outcome, execution: Option<Execution>, seconds: f64) {
        self.running.dec();
        self.ended.with_label_values(&outcome.labels()).inc();
        self.seconds.with_label_values(&[execution.map_or("none", Execution::name)]).observe(seconds);
    }

    /// Counts a statement that failed before it began.
    pub(crate) fn refused(&self, kind: ErrorKind) {
        self.ended.with_label_values(&Outcome::Failed(kind).labels()).inc();
    }

    pub(crate) fn restarted(&self) {
        self.restarts.inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn statements_are_counted_by_outcome() {
        let metrics = Metrics::new();
        let statements = &metrics.statements;
        for _ in 0..3 {
            statements.begin();
        }
        statements.end(Outcome::Finished, Some(Execution::Stages), 0.2);
        statements.end(Outcome::Failed(ErrorKind::Memory), None, 0.001);
        statements.refused(ErrorKind::NotFound);
        statements.restarted();
        let text = TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap();
        for line in [
            "bergmill_queries_running 1",
            "bergmill_queries_total{error=\"\",outcome=\"finished\"} 1",
            "bergmill_queries_total{error=\"memory\",outcome=\"failed\"} 1",
            "bergmill_queries_total{error=\"not_found\",outcome=\"failed\"} 1",
            "bergmill_queries_total{error=\"corrupt\",outcome=\"failed\"} 0",
            "bergmill_query_duration_seconds_bucket{execution=\"stages\",le=\"0.1\"} 0",
            "bergmill_query_duration_seconds_bucket{execution=\"stages\",le=\"0.25\"} 1",
            "bergmill_query_duration_seconds_count{execution=\"none\"} 1",
            "bergmill_query_restarts_total 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
