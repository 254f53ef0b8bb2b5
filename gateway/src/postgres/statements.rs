//! Statements of a client, by the simple protocol (a text) and the extended one (parse, bind, describe, execute).

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
    TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::client::Client;
use super::failure::{self, Failure};
use super::rows::{self, Formats, Rows};
use super::script::{self, Kind};
use super::wire::Wire;
use super::{Door, catalog, oid, values};
use crate::backend::Prepared;
use crate::error::{Error, ErrorKind, Result};

/// Prepared statements of a connection, and portals.
const PREPARED: usize = 1000;

/// The statements of a connection.
pub(super) struct Statements {
    door: Arc<Door>,
    client: Client,
    wire: Wire,
    /// By name; the one without a name has an empty one.
    prepared: HashMap<String, Arc<Parsed>>,
    portals: HashMap<String, Portal>,
    status: TransactionStatus,
    /// Whether something was changed since `BEGIN`.
    has_changed: bool,
    /// Whether messages are skipped until the client is in step again, after an error.
    skips: bool,
}

/// A prepared statement.
#[derive(Debug)]
struct Parsed {
    /// Empty if there is none in the text.
    sql: String,
    kind: Kind,
    /// The types of its parameters.
    parameters: Vec<u32>,
    /// The schema of its rows, if it returns any.
    rows: Option<SchemaRef>,
}

/// A prepared statement with values, which may have run in part.
struct Portal {
    statement: Arc<Parsed>,
    values: Option<RecordBatch>,
    formats: Formats,
    /// Its rows, once it runs.
    rows: Option<Rows>,
}

/// What a statement did.
enum Done {
    Rows(Rows),
    /// Its tag.
    Other(String),
}

impl Statements {
    pub(super) fn new(wire: Wire, client: Client, door: Arc<Door>) -> Self {
        let (prepared, portals) = Default::default();
        let status = TransactionStatus::Idle;
        Self { door, client, wire, prepared, portals, status, has_changed: false, skips: false }
    }

    pub(super) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Answers a message.
    ///
    /// # Errors
    /// If the connection is broken, or must end.
    pub(super) async fn answer(&mut self, message: PgWireFrontendMessage) -> io::Result<()> {
        let is_extended = message.is_extended_query();
        if self.skips && !matches!(message, PgWireFrontendMessage::Sync(_)) {
            return Ok(());
        }
        let answered = match message {
            PgWireFrontendMessage::Query(query) => self.query(&query.query).await,
            PgWireFrontendMessage::Parse(parse) => self.parse(parse).await,
            PgWireFrontendMessage::Bind(bind) => self.bind(bind).await,
            PgWireFrontendMessage::Describe(describe) => self.describe(&describe).await,
            PgWireFrontendMessage::Execute(execute) => self.execute(&execute).await,
            PgWireFrontendMessage::Close(close) => self.close(&close).await,
            PgWireFrontendMessage::Flush(_) => Ok(self.wire.flush().await?),
            PgWireFrontendMessage::Sync(_) => self.sync().await,
            _ => Err(Failure::protocol("COPY is not supported; load files with bergmill load, or by ADBC")),
        };
        let (is_fatal, state, message) = match answered {
            Ok(()) => return Ok(()),
            Err(Failure::Io(e)) => return Err(e),
            Err(Failure::Sql { is_fatal, state, message }) => (is_fatal, state, message),
        };
        self.put(PgWireBackendMessage::ErrorResponse(failure::error(is_fatal, state, &message))).await?;
        if self.status == TransactionStatus::Transaction {
            self.status = TransactionStatus::Error;
        }
        if is_fatal {
            self.wire.flush().await?;
            return Err(io::Error::other(message));
        }
        self.skips = is_extended;
        if is_extended { self.wire.flush().await } else { self.ready().await }
    }

    async fn put(&mut self, message: PgWireBackendMessage) -> io::Result<()> {
        self.wire.put(message).await
    }

    async fn ready(&mut self) -> io::Result<()> {
        self.put(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(self.status))).await?;
        self.wire.flush().await
    }

    /// Each statement of the text runs when the result of the one before has been sent.
    async fn query(&mut self, text: &str) -> Result<(), Failure> {
        let statements = script::statements(text);
        if statements.is_empty() {
            self.put(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for sql in statements {
            match self.run(&sql, &script::kind(&sql), None, &Formats::default()).await? {
                Done::Rows(mut rows) => {
                    self.put(PgWireBackendMessage::RowDescription(rows.description())).await?;
                    self.send(&mut rows, 0).await?;
                }
                Done::Other(tag) => self.complete(tag).await?,
            }
        }
        Ok(self.ready().await?)
    }

    /// Sends at most `max` rows, if it is not 0. Returns whether there may be more.
    async fn send(&mut self, rows: &mut Rows, max: u64) -> Result<bool, Failure> {
        let mut sent = 0;
        while max == 0 || sent < max {
            let Some(row) = rows.next().await? else {
                self.complete(format!("SELECT {sent}")).await?;
                return Ok(false);
            };
            self.wire.put(PgWireBackendMessage::DataRow(row)).await?;
            sent += 1;
        }
        self.put(PgWireBackendMessage::PortalSuspended(PortalSuspended::new())).await?;
        Ok(true)
    }

    async fn complete(&mut self, tag: String) -> io::Result<()> {
        self.put(PgWireBackendMessage::CommandComplete(CommandComplete::new(tag))).await
    }

    /// Runs a statement, with rows in these formats.
    async fn run(
        &mut self,
        sql: &str,
        kind: &Kind,
        values: Option<RecordBatch>,
        formats: &Formats,
    ) -> Result<Done, Failure> {
        let rows = match kind {
            Kind::Begin => {
                (self.status, self.has_changed) = (TransactionStatus::Transaction, false);
                return Ok(Done::Other("BEGIN".to_owned()));
            }
            Kind::End(tag) => {
                self.end_transaction(tag).await?;
                return Ok(Done::Other((*tag).to_owned()));
            }
            Kind::NoEffect(tag) => return Ok(Done::Other((*tag).to_owned())),
            Kind::Show(name) => one_text(name, script::setting(name))?,
            Kind::Catalog => catalog::rows(sql, values, &self.client, &*self.door.backend).await?,
            Kind::Statement => return self.run_statement(sql, values, formats).await,
        };
        Ok(Done::Rows(Rows::new(rows, formats, None)?))
    }

    async fn run_statement(
        &mut self,
        sql: &str,
        values: Option<RecordBatch>,
        formats: &Formats,
    ) -> Result<Done, Failure> {
        let mut statement = self.client.statement(sql);
        statement.parameters = values;
        let (backend, Client { key, sender, .. }) = (&self.door.backend, &self.client);
        match backend.prepare(&statement).await? {
            Prepared::Query { id, .. } => {
                let runs = self.door.cancels.runs(key, sender, &id);
                statement.id = Some(id);
                let rows = backend.query(&statement).await?;
                Ok(Done::Rows(Rows::new(rows, formats, Some(runs))?))
            }
            Prepared::Update { id } => {
                let _runs = self.door.cancels.runs(key, sender, &id);
                statement.id = Some(id);
                let count = backend.update(&statement).await?;
                self.has_changed = true;
                Ok(Done::Other(tag(sql, count)))
            }
        }
    }

    /// What was changed in the transaction is there already, whichever way it ends.
    async fn end_transaction(&mut self, tag: &str) -> io::Result<()> {
        let was_open = self.status != TransactionStatus::Idle;
        if was_open && self.has_changed && tag == "ROLLBACK" {
            let what = "the changes of this transaction stay: every statement commits on its own";
            self.put(PgWireBackendMessage::NoticeResponse(failure::warning("25000", what))).await?;
        }
        (self.status, self.has_changed) = (TransactionStatus::Idle, false);
        self.portals.clear();
        Ok(())
    }

    async fn parse(&mut self, message: Parse) -> Result<(), Failure> {
        let mut statements = script::statements(&message.query);
        let sql = statements.pop().unwrap_or_default();
        if !statements.is_empty() {
            let what = "a prepared statement cannot have several statements";
            return Err(Error::new(ErrorKind::InvalidInput, what).into());
        }
        let kind = if sql.is_empty() { Kind::NoEffect("") } else { script::kind(&sql) };
        let (known, rows) = match &kind {
            Kind::Statement => {
                let described = self.door.backend.describe(&self.client.statement(&sql)).await?;
                let fields = described.parameters.fields().iter();
                (fields.map(|field| oid::of(field.data_type())).collect(), described.rows)
            }
            Kind::Catalog => catalog::describe(&sql, &self.client, &*self.door.backend).await?,
            Kind::Show(name) => (Vec::new(), Some(one_text(name, script::setting(name))?.schema())),
            Kind::NoEffect(_) | Kind::Begin | Kind::End(_) => (Vec::new(), None),
        };
        let parameters = types(&message.type_oids, &known);
        let name = message.name.unwrap_or_default();
        if self.prepared.len() >= PREPARED && !self.prepared.contains_key(&name) {
            return Err(too_many("prepared statements"));
        }
        self.prepared.insert(name, Arc::new(Parsed { sql, kind, parameters, rows }));
        Ok(self.put(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?)
    }

    async fn bind(&mut self, message: Bind) -> Result<(), Failure> {
        let statement = self.statement(message.statement_name.as_deref())?;
        let values = values::bound(&message.parameters, &message.parameter_format_codes, &statement.parameters)?;
        let formats = Formats(message.result_column_format_codes);
        if let Some(schema) = &statement.rows {
            formats.check(schema.fields().len())?;
        }
        let name = message.portal_name.unwrap_or_default();
        if self.portals.len() >= PREPARED && !self.portals.contains_key(&name) {
            return Err(too_many("portals"));
        }
        self.portals.insert(name, Portal { statement, values, formats, rows: None });
        Ok(self.put(PgWireBackendMessage::BindComplete(BindComplete::new())).await?)
    }

    async fn describe(&mut self, message: &Describe) -> Result<(), Failure> {
        let name = message.name.as_deref();
        let (statement, formats) = match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                let statement = self.statement(name)?;
                let types = ParameterDescription::new(statement.parameters.clone());
                self.put(PgWireBackendMessage::ParameterDescription(types)).await?;
                (statement, Formats::default())
            }
            TARGET_TYPE_BYTE_PORTAL => {
                let portal = self.portals.get(name.unwrap_or_default()).ok_or_else(|| no_portal(name))?;
                (Arc::clone(&portal.statement), portal.formats.clone())
            }
            other => return Err(Failure::protocol(format!("there is nothing of kind {other} to describe"))),
        };
        let described = match &statement.rows {
            Some(schema) => PgWireBackendMessage::RowDescription(rows::description(schema, &formats)),
            None => PgWireBackendMessage::NoData(NoData::new()),
        };
        Ok(self.put(described).await?)
    }

    /// Sends as many rows as the client wants now. What it does not want yet is not read either.
    async fn execute(&mut self, message: &Execute) -> Result<(), Failure> {
        let name = message.name.as_deref();
        let mut portal = self.portals.remove(name.unwrap_or_default()).ok_or_else(|| no_portal(name))?;
        if portal.statement.sql.is_empty() {
            return Ok(self.put(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?);
        }
        let mut rows = match portal.rows.take() {
            Some(rows) => rows,
            None => {
                let (statement, values) = (Arc::clone(&portal.statement), portal.values.take());
                match self.run(&statement.sql, &statement.kind, values, &portal.formats).await? {
                    Done::Rows(rows) => rows,
                    Done::Other(tag) => return Ok(self.complete(tag).await?),
                }
            }
        };
        if self.send(&mut rows, u64::try_from(message.max_rows).unwrap_or(0)).await? {
            portal.rows = Some(rows);
            self.portals.insert(name.unwrap_or_default().to_owned(), portal);
        }
        Ok(())
    }

    async fn close(&mut self, message: &Close) -> Result<(), Failure> {
        let name = message.name.as_deref().unwrap_or_default();
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => drop(self.prepared.remove(name)),
            TARGET_TYPE_BYTE_PORTAL => drop(self.portals.remove(name)),
            other => return Err(Failure::protocol(format!("there is nothing of kind {other} to close"))),
        }
        Ok(self.put(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?)
    }

    /// Outside of a transaction, portals end here.
    async fn sync(&mut self) -> Result<(), Failure> {
        self.skips = false;
        if self.status == TransactionStatus::Idle {
            self.portals.clear();
        }
        Ok(self.ready().await?)
    }

    fn statement(&self, name: Option<&str>) -> Result<Arc<Parsed>, Failure> {
        let name = name.unwrap_or_default();
        self.prepared.get(name).cloned().ok_or_else(|| Failure::Sql {
            is_fatal: false,
            state: "26000",
            message: format!("prepared statement {name:?} does not exist"),
        })
    }
}

fn no_portal(name: Option<&str>) -> Failure {
    let message = format!("portal {:?} does not exist, or has ended", name.unwrap_or_default());
    Failure::Sql { is_fatal: false, state: "34000", message }
}

fn too_many(what: &str) -> Failure {
    let message = format!("a connection has at most {PREPARED} {what}; close some");
    Failure::Sql { is_fatal: false, state: "53400", message }
}

/// The types of parameters: what the client says, or else what the statement says.
fn types(given: &[u32], known: &[u32]) -> Vec<u32> {
    let given_one = |n: usize| given.get(n).copied().filter(|of| ![0, oid::UNKNOWN].contains(of));
    (0..given.len().max(known.len())).map(|n| given_one(n).or(known.get(n).copied()).unwrap_or(oid::TEXT)).collect()
}

/// The tag of a statement that changed something.
fn tag(sql: &str, count: u64) -> String {
    match script::tag(sql).as_str() {
        "INSERT" => format!("INSERT 0 {count}"),
        changed @ ("UPDATE" | "DELETE" | "MERGE") => format!("{changed} {count}"),
        other => other.to_owned(),
    }
}

fn one_text(name: &str, value: &str) -> Result<SendableRecordBatchStream> {
    let batch = RecordBatch::try_from_iter([(name, Arc::new(StringArray::from(vec![value])) as _)])?;
    Ok(Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream::iter([Ok(batch)]))))
}
