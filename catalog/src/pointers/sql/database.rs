//! The SQL database that the catalog needs: statements whose parameters and results are text.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::error::Error;

/// A SQL database. Parameters are written `$1`, which SQLite and Postgres both understand.
#[async_trait]
pub(super) trait Database: Debug + Send + Sync {
    /// Runs one statement in its own transaction, and returns how many rows it changed.
    async fn execute(&self, sql: &str, values: &[&str]) -> Result<u64, Failure>;

    /// The rows of a query whose columns are text.
    async fn select(&self, sql: &str, values: &[&str]) -> Result<Vec<Vec<Option<String>>>, Failure>;

    /// The columns of a table; empty if the table does not exist.
    async fn columns(&self, table: &str) -> Result<Vec<String>, Failure>;

    /// Its name in messages: a path, or an address without credentials.
    fn name(&self) -> String;
}

/// Why a statement failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) error: Error,
}

/// What is known about a failed statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was not executed: a row with that key already exists.
    Taken,
    /// It was not executed and will not be.
    NotDone,
    /// It may have been executed, or may still be.
    Unknown,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}
