//! The trait that turns the dependency round: the front door speaks protocols and calls a [`Backend`]; the scheduler's
//! process implements it. Nothing here knows Ballista, Iceberg or a catalog's layout.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::physical_plan::SendableRecordBatchStream;

use crate::error::Result;

/// One SQL statement as a client sent it, with what the client said about how to run it.
#[derive(Debug, Clone, Default)]
pub struct Statement {
    /// The text of exactly one SQL statement.
    pub sql: String,
    /// Goes into the summary of the snapshot that the statement commits, if it commits one.
    pub tag: Option<CommitTag>,
}

/// What a client wants written into the snapshot summary of the commit its statement makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitTag {
    /// The commit key: a statement whose key is already in the table's history changes nothing.
    pub key: String,
    /// Further summary entries, for instance the pipeline's step and interval.
    pub summary: BTreeMap<String, String>,
}

/// What a statement will do, found by planning it and without running it.
#[derive(Debug, Clone)]
pub enum Prepared {
    /// Returns rows of this schema and changes nothing.
    Query(SchemaRef),
    /// Changes tables or the catalog, and returns a count of rows.
    Update,
}

/// Where the rows of a bulk ingest go.
#[derive(Debug, Clone)]
pub struct IngestTarget {
    /// Namespace; `None` is the session's default namespace.
    pub namespace: Option<String>,
    /// Table name.
    pub table: String,
    /// What to do when the table is missing or present.
    pub mode: IngestMode,
    /// Goes into the snapshot summary.
    pub tag: Option<CommitTag>,
}

/// What a bulk ingest does about its table, after ADBC's ingest modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestMode {
    /// The table must not exist; it is made with the input's schema.
    Create,
    /// The table must exist.
    Append,
    /// Append, making the table first when it is missing.
    CreateAppend,
    /// Replace the table's rows (and make it when it is missing).
    Replace,
}

/// A table as catalog calls report it.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Namespace the table stands in.
    pub namespace: String,
    /// Table name.
    pub name: String,
    /// `TABLE` or `VIEW`.
    pub kind: &'static str,
    /// Arrow schema of the table's rows.
    pub schema: SchemaRef,
}

/// What the front door asks of the engine behind it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The one catalog name that the front door reports.
    fn catalog_name(&self) -> &str;

    /// Plans the statement: says what it will do without doing it.
    async fn prepare(&self, statement: &Statement) -> Result<Prepared>;

    /// Runs a statement that returns rows. Batches stream; dropping the stream cancels the query.
    async fn query(&self, statement: &Statement) -> Result<SendableRecordBatchStream>;

    /// Runs a statement that changes something, and returns the rows it wrote (0 for DDL).
    async fn update(&self, statement: &Statement) -> Result<u64>;

    /// Writes a stream of batches into a table in one commit, and returns the rows written.
    async fn ingest(&self, target: &IngestTarget, input: SendableRecordBatchStream) -> Result<u64>;

    /// All namespaces, sorted.
    async fn namespaces(&self) -> Result<Vec<String>>;

    /// All tables with their schemas, sorted by namespace and name.
    async fn tables(&self) -> Result<Vec<TableInfo>>;
}
