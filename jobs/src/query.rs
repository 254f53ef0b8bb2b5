//! The trait that keeps pipelines free of the cluster: a run says SQL to a [`Query`], and whoever starts the run
//! implements it, in the scheduler's process by calling it, elsewhere by Flight SQL.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::RecordBatch;
use async_trait::async_trait;

/// Runs SQL on the cluster.
#[async_trait]
pub trait Query: Send + Sync {
    /// Runs a SELECT and collects its rows; what jobs ask is small, since the big answers go to tables. At least one
    /// batch comes back, so that an empty answer has its schema too.
    async fn rows(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError>;

    /// Runs one DDL or DML statement and returns the rows it wrote (0 for DDL). The tag goes into the summary of the
    /// snapshot that the statement commits; a key that the table's history has already makes the statement a no-op.
    async fn write(&self, sql: &str, tag: Option<&CommitTag>) -> Result<u64, QueryError>;
}

/// What a run wants written into the snapshots it makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitTag {
    /// The commit key: the same for every try of one statement of one run, so that a retry cannot commit twice.
    pub key: String,
    /// Further summary entries; see [`status`](crate::status()) for those that a run writes.
    pub summary: BTreeMap<String, String>,
}

/// What can be done about a [`QueryError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryErrorKind {
    /// The statement is wrong: mend the pipeline.
    Invalid,
    /// A table, namespace or column is not there.
    NotFound,
    /// Another writer changed the same partition: run the step again.
    Conflict,
    /// The cluster cannot take it now: run again later.
    Unavailable,
    /// A damaged table, or a fault of the engine; the message says which.
    Internal,
}

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// What can be done about it.
    pub kind: QueryErrorKind,
    /// The whole message, causes included.
    pub message: String,
}

impl QueryError {
    /// An error of `kind` that says `message`.
    pub fn new(kind: QueryErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for QueryError {}
