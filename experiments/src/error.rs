//! Errors of a measurement.

/// Result of the experiments crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster refused a query or failed.
    #[error("{what}: {source}")]
    Cluster {
        /// The query or step.
        what: String,
        /// The front door's error.
        source: bergmill_gateway::Error,
    },
    /// Plain DataFusion failed.
    #[error("{what}, in plain DataFusion: {source}")]
    Baseline {
        /// The query or step.
        what: String,
        /// DataFusion's error.
        source: datafusion::error::DataFusionError,
    },
    /// The results of the two engines differ, so times are meaningless.
    #[error("{query}: the results of the cluster and of plain DataFusion differ: {difference}")]
    Differs {
        /// The query.
        query: String,
        /// The first difference.
        difference: String,
    },
    /// The results of two clusters, or of one and plain DataFusion, differ, so times are meaningless.
    #[error("{workload}: the results of two clusters, or of one and plain DataFusion, differ: {difference}")]
    WorkersDiffer {
        /// The workload.
        workload: String,
        /// The first difference.
        difference: String,
    },
    /// The results of a query of two tables with the same rows differ, so times are meaningless.
    #[error("{query}: the results of the tables {layout} and unsorted differ: {difference}")]
    LayoutsDiffer {
        /// The query.
        query: String,
        /// The order of the second table.
        layout: String,
        /// The first difference.
        difference: String,
    },
    /// The suite has no such query.
    #[error("no query {name} in suite {suite}; it has: {known}")]
    UnknownQuery {
        /// The requested name.
        name: String,
        /// The suite.
        suite: String,
        /// The suite's queries.
        known: String,
    },
    /// An engine in a process of its own does not run, or refused a query.
    #[error("{0}")]
    Engine(String),
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// A file or a process failed.
    #[error("{what}: {source}")]
    Io {
        /// The file or program.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// Nothing to measure.
    #[error("{0}")]
    NoData(String),
}
