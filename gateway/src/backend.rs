//! The [`Backend`] trait inverts the dependency: the front door handles the protocol and calls it, and the scheduler
//! implements it. Nothing here depends on Ballista, Iceberg or the layout of a catalog.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::physical_plan::SendableRecordBatchStream;

use crate::error::Result;
use crate::login::{Caller, Sender};
use crate::session::Session;

/// A SQL statement as a client sent it, with its options.
#[derive(Debug, Clone, Default)]
pub struct Statement {
    /// The text of exactly one SQL statement.
    pub sql: String,
    /// The values of its parameters, a column for each. The statement is executed once for each row.
    pub parameters: Option<RecordBatch>,
    /// The id under which [`prepare`](Backend::prepare) announced it.
    pub id: Option<String>,
    /// Added to the summary of the snapshot that the statement commits, if it commits one.
    pub tag: Option<CommitTag>,
    /// Who sends it.
    pub sender: Sender,
    /// The options of its session.
    pub options: BTreeMap<String, String>,
    /// Its session, if its client has one.
    pub session: Option<Session>,
}

/// Entries that a client adds to the snapshot summary of its statement's commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitTag {
    /// The commit key: a statement whose key is already in the table's history changes nothing.
    pub key: String,
    /// Further summary entries, for example the step and interval of a pipeline.
    pub summary: BTreeMap<String, String>,
}

/// What a statement will do, as found by planning it.
#[derive(Debug, Clone)]
pub enum Prepared {
    /// Returns rows and changes nothing.
    Query {
        /// The schema of its rows.
        schema: SchemaRef,
        /// Names the query, for example to cancel it.
        id: String,
    },
    /// Changes tables or the catalog, and returns a count of rows.
    Update {
        /// Names the update.
        id: String,
    },
}

/// What is known of a statement whose parameters have no values yet.
#[derive(Debug, Clone)]
pub struct Description {
    /// The schema of its rows; `None` if it is an update.
    pub rows: Option<SchemaRef>,
    /// A column for each parameter, with the type that its values are converted to.
    pub parameters: SchemaRef,
}

/// Target of a bulk ingest.
#[derive(Debug, Clone)]
pub struct IngestTarget {
    /// Namespace; `None` is the default namespace.
    pub namespace: Option<String>,
    /// Table name.
    pub table: String,
    /// What to do when the table is missing or present.
    pub mode: IngestMode,
    /// Added to the snapshot summary.
    pub tag: Option<CommitTag>,
}

/// How a bulk ingest treats an existing or missing table, after ADBC's ingest modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestMode {
    /// The table must not exist; it is created with the input's schema.
    Create,
    /// The table must exist.
    Append,
    /// Append, and create the table first if it is missing.
    CreateAppend,
    /// Replace the table's rows, and create the table first if it is missing.
    Replace,
}

/// A table as catalog calls report it.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Namespace of the table.
    pub namespace: String,
    /// Table name.
    pub name: String,
    /// `TABLE` or `VIEW`.
    pub kind: &'static str,
    /// Arrow schema of the table's rows.
    pub schema: SchemaRef,
}

/// The engine behind the front door.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The one catalog name that the front door reports.
    fn catalog_name(&self) -> &str;

    /// The namespace of names without one, unless a session has another.
    fn default_namespace(&self) -> &str;

    /// Plans the statement, whose parameters have no values, without running it.
    async fn describe(&self, statement: &Statement) -> Result<Description>;

    /// Plans the statement without running it.
    async fn prepare(&self, statement: &Statement) -> Result<Prepared>;

    /// Runs a statement that returns rows. Batches stream; dropping the stream cancels the query.
    async fn query(&self, statement: &Statement) -> Result<SendableRecordBatchStream>;

    /// Runs a statement that changes tables or the catalog, and returns the number of rows written (0 for DDL).
    async fn update(&self, statement: &Statement) -> Result<u64>;

    /// Cancels a query or update by its id, for a sender that may do so. Its client gets an error of the kind
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such statement,
    /// [`Conflict`](crate::ErrorKind::Conflict) if it is too late to cancel it.
    async fn cancel(&self, id: &str, sender: &Sender) -> Result<()>;

    /// Checks an option, and sets it for the later statements of a session of the caller; without a value, resets it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such option,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it does not take that value.
    async fn set_option(
        &self,
        session: &Session,
        caller: Option<&Caller>,
        name: &str,
        value: Option<&str>,
    ) -> Result<()>;

    /// Writes a stream of batches into a table in one commit, and returns the number of rows written.
    async fn ingest(&self, target: &IngestTarget, sender: &Sender, input: SendableRecordBatchStream) -> Result<u64>;

    /// Whether statements can run now.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) with what is missing.
    async fn ready(&self) -> Result<()>;

    /// The metrics of the process, in Prometheus' text format.
    async fn metrics(&self) -> Result<String>;

    /// All namespaces that the caller may see, sorted.
    async fn namespaces(&self, caller: Option<&Caller>) -> Result<Vec<String>>;

    /// All tables that the caller may see, with their schemas, sorted by namespace and name.
    async fn tables(&self, caller: Option<&Caller>) -> Result<Vec<TableInfo>>;
}
