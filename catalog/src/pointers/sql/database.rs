//! What the catalog asks of a SQL database: statements whose values and answers are text.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::error::Error;

/// A SQL database. Parameters are written `$1`, which SQLite and Postgres both understand.
#[async_trait]
pub(super) trait Database: Debug + Send + Sync {
    /// Runs one statement, in a transaction of its own; says how many rows it changed.
    async fn execute(&self, sql: &str, values: &[&str]) -> Result<u64, Failure>;

    /// The rows of a query, whose columns are text.
    async fn select(&self, sql: &str, values: &[&str]) -> Result<Vec<Vec<Option<String>>>, Failure>;

    /// The columns of a table; none if there is no such table.
    async fn columns(&self, table: &str) -> Result<Vec<String>, Failure>;

    /// What to call it in a message: a path, or an address without credentials.
    fn name(&self) -> String;
}

/// Why a statement failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) error: Error,
}

/// What is known of a statement that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was not done: a row of that key is there already.
    Taken,
    /// It was not done and will not be.
    NotDone,
    /// It may have been done, or may be yet.
    Unknown,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}
