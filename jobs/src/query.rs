//! The trait that decouples pipelines from the cluster: a run sends SQL to a [`Query`], which the caller implements by
//! direct calls in the scheduler's process, and by Flight SQL elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::RecordBatch;
use async_trait::async_trait;

/// Runs SQL on the cluster.
#[async_trait]
pub trait Query: Send + Sync {
    /// Runs a SELECT and collects its rows. Results are small, since large ones are written to tables. Returns at least
    /// one batch, so that an empty result has a schema too.
    async fn rows(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError>;

    /// Runs one DDL or DML statement and returns the number of rows written (0 for DDL). The tag is added to the
    /// summary of the snapshot that the statement commits; a key that is already in the table's history makes it a
    /// no-op.
    async fn write(&self, sql: &str, tag: Option<&CommitTag>) -> Result<u64, QueryError>;
}

/// Summary entries for the snapshots that a run commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitTag {
    /// The commit key: the same for all attempts of one statement of a run, so that a retry cannot commit twice.
    pub key: String,
    /// Other summary entries; [`status`](crate::status()) reads them back.
    pub summary: BTreeMap<String, String>,
}

/// What can be done about a [`QueryError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryErrorKind {
    /// The statement is wrong: fix the pipeline.
    Invalid,
    /// A table, namespace or column does not exist.
    NotFound,
    /// Another writer changed the same partition: run the step again.
    Conflict,
    /// The cluster cannot run it at the moment: retry later.
    Unavailable,
    /// A damaged table or a bug in the engine; the message says which.
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
    /// Creates an error.
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
