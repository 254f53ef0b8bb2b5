//! What can go wrong in a measurement.

/// Result of the experiments crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a measurement has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster refused or failed.
    #[error("{what}: {source}")]
    Cluster {
        /// The query or step it was about.
        what: String,
        /// What the front door said.
        source: bergmill_gateway::Error,
    },
    /// Plain DataFusion, against which is measured, failed.
    #[error("{what}, in plain DataFusion: {source}")]
    Plain {
        /// The query or step it was about.
        what: String,
        /// What DataFusion said.
        source: datafusion::error::DataFusionError,
    },
    /// The two engines do not agree, so no time means anything.
    #[error("{query}: the cluster and plain DataFusion disagree: {difference}")]
    Differs {
        /// The query.
        query: String,
        /// Where the answers part.
        difference: String,
    },
    /// A query that the suite does not have.
    #[error("no query {name} in suite {suite}; it has: {known}")]
    UnknownQuestion {
        /// What was asked for.
        name: String,
        /// The suite.
        suite: String,
        /// What there is.
        known: String,
    },
    /// Nothing to measure.
    #[error("{0}")]
    NoData(String),
}
