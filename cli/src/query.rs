//! A pipeline's statements, sent through the front door.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bergmill_gateway::{Client, Error, ErrorKind};
use bergmill_jobs::{CommitTag, Query, QueryError, QueryErrorKind};
use futures::TryStreamExt;

/// Runs a pipeline's SQL on the cluster behind a front door.
pub struct FrontDoor(pub Client);

#[async_trait]
impl Query for FrontDoor {
    async fn rows(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        let rows = self.0.query(sql).await.map_err(query_error)?;
        let schema = rows.schema();
        let mut batches: Vec<RecordBatch> = rows.try_collect().await.map_err(query_error)?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(batches)
    }

    async fn write(&self, sql: &str, tag: Option<&CommitTag>) -> Result<u64, QueryError> {
        let tag = tag.map(|t| bergmill_gateway::CommitTag { key: t.key.clone(), summary: t.summary.clone() });
        self.0.update(sql, tag.as_ref()).await.map_err(query_error)
    }
}

fn query_error(e: Error) -> QueryError {
    let kind = match e.kind() {
        ErrorKind::InvalidInput
        | ErrorKind::AlreadyExists
        | ErrorKind::Unsupported
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden => QueryErrorKind::Invalid,
        ErrorKind::NotFound => QueryErrorKind::NotFound,
        ErrorKind::Conflict => QueryErrorKind::Conflict,
        // A run's statements have commit keys: a retry is safe whatever the outcome was.
        ErrorKind::Unavailable | ErrorKind::OutcomeUnknown | ErrorKind::Cancelled => QueryErrorKind::Unavailable,
        ErrorKind::Corrupt | ErrorKind::Internal => QueryErrorKind::Internal,
    };
    QueryError::new(kind, e.to_string())
}
