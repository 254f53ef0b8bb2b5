//! The client of the front door, used by the prompt, jobs and experiments.
//!
//! It extends arrow-flight's client: an error keeps the server's kind and message, a commit tag belongs to one
//! statement and not to a connection, an update is distinguished from a query, and an upload whose input fails is
//! aborted, so that the server does not take a part of it for the whole.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{Array, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    CommandGetTables, CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate, DoPutUpdateResult,
    ProstMessageExt,
};
use arrow_flight::{FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, IpcMessage};
use bergmill_tls::ClientTls;
use bergmill_tls::grpc::{TlsConnector, with_sources};
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::{Stream, StreamExt, TryStreamExt, ready, stream};
use prost::Message;
use tokio::sync::oneshot;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::backend::{CommitTag, IngestTarget, TableInfo};
use crate::catalog_calls::TABLE_TYPES;
use crate::error::{Error, ErrorKind, Result};
use crate::login::{self, AUTHORIZATION, Credentials};
use crate::server::{
    CONNECTION_WINDOW_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_LIMIT_BYTES, STREAM_WINDOW_BYTES,
};
use crate::session::COOKIE;
use crate::ticket::Ticket;
use crate::{headers, ingest};

/// A statement may run for hours, but a server that does not accept a connection in this time is unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a front door. Clones share it, and calls on clones run concurrently.
#[derive(Debug, Clone)]
pub struct Client {
    flight: FlightServiceClient<InterceptedService<Channel, Authorized>>,
}

/// How to connect to a front door that is protected.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// The file of the authorities whose servers are trusted, in place of those that the machine trusts. An address
    /// without a scheme is then of a server with TLS.
    pub ca: Option<PathBuf>,
    /// Who connects.
    pub credentials: Option<Credentials>,
}

/// Adds to each call the header `authorization`, and the cookie of a session.
#[derive(Debug, Clone)]
struct Authorized {
    authorization: Option<MetadataValue<Ascii>>,
    /// Of the session of this client and its clones, where it has no token.
    cookie: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Authorized {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        let headers = [(AUTHORIZATION, &self.authorization), ("cookie", &self.cookie)];
        for (name, value) in headers {
            if let Some(value) = value {
                request.metadata_mut().insert(name, value.clone());
            }
        }
        Ok(request)
    }
}

/// The result of a statement.
#[derive(Debug)]
pub enum Answer {
    /// The statement was a query: its rows.
    Rows(Rows),
    /// The statement was an update: the number of rows it wrote, 0 for DDL.
    Updated(u64),
}

/// The rows of a query, as a stream of batches. Dropping it before its end cancels the query.
pub struct Rows {
    schema: SchemaRef,
    batches: FlightRecordBatchStream,
}

impl Client {
    /// Connects to `address`: `host:port`, optionally with the prefix `grpc://` or `http://`, or with `grpc+tls://` or
    /// `https://` for TLS.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if no server answers within ten seconds.
    pub async fn connect(address: &str) -> Result<Self> {
        Self::connect_with(address, &ConnectOptions::default()).await
    }

    /// Connects to `address` as `options` say. A password is sent once, for a token that authorizes the calls after it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`ErrorKind::Unauthenticated`] if the server refuses the credentials.
    pub async fn connect_with(address: &str, options: &ConnectOptions) -> Result<Self> {
        let (endpoint, tls) = endpoint(address, options)?;
        let connected = match tls {
            Some(tls) => endpoint.connect_with_connector(TlsConnector(tls)).await,
            None => endpoint.connect().await,
        };
        let channel = connected.map_err(|e| {
            Error::new(ErrorKind::Unavailable, format!("cannot connect to {address}: {}", with_sources(&e)))
        })?;
        let given = options.credentials.as_ref().map(login::encode).transpose()?;
        let client = Self::over(channel.clone(), given);
        match options.credentials {
            Some(Credentials::Password { .. }) => Ok(Self::over(channel, Some(client.open_session().await?))),
            _ => Ok(client),
        }
    }

    fn over(channel: Channel, authorization: Option<MetadataValue<Ascii>>) -> Self {
        let mut cookie: Option<MetadataValue<Ascii>> = format!("{COOKIE}={}", Uuid::new_v4()).parse().ok();
        cookie.iter_mut().for_each(|cookie| cookie.set_sensitive(true));
        let flight = FlightServiceClient::with_interceptor(channel, Authorized { authorization, cookie })
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
        Self { flight }
    }

    /// The header of the session that the server opens for a password.
    async fn open_session(&self) -> Result<MetadataValue<Ascii>> {
        let greeting = stream::iter([HandshakeRequest::default()]);
        let response = self.flight.clone().handshake(greeting).await?;
        let token = response.metadata().get(AUTHORIZATION).cloned();
        let mut token = token.ok_or_else(|| not_bergmill("a handshake must return a token"))?;
        token.set_sensitive(true);
        Ok(token)
    }

    /// Runs a statement and returns its rows. An update returns one row: the number of rows written.
    pub async fn query(&self, sql: &str) -> Result<Rows> {
        let info = self.info(query_command(sql), None).await?;
        self.fetch(info).await
    }

    /// Runs a statement, and returns whether it was a query or an update.
    pub async fn execute(&self, sql: &str, tag: Option<&CommitTag>) -> Result<Answer> {
        let info = self.info(query_command(sql), tag).await?;
        // Only the response to an update has app metadata: its ticket.
        if let Ok(Ticket::Updated { rows }) = Ticket::decode(&info.app_metadata) {
            return Ok(Answer::Updated(rows));
        }
        self.fetch(info).await.map(Answer::Rows)
    }

    /// Runs a statement that is known to be an update, and returns the number of rows it wrote.
    pub async fn update(&self, sql: &str, tag: Option<&CommitTag>) -> Result<u64> {
        let command = CommandStatementUpdate { query: sql.to_owned(), transaction_id: None };
        let message = FlightData::new().with_descriptor(descriptor(&command));
        self.put(stream::iter([message]), tag).await
    }

    /// Writes `input` into a table in one commit, and returns the number of rows written.
    ///
    /// # Errors
    /// If `input` yields an error, that error is returned. Nothing is committed then, nor if this future is dropped
    /// early.
    pub async fn ingest(&self, target: &IngestTarget, input: SendableRecordBatchStream) -> Result<u64> {
        let command = CommandStatementIngest {
            table_definition_options: Some(ingest::options(target.mode)),
            table: target.table.clone(),
            schema: target.namespace.clone(),
            ..CommandStatementIngest::default()
        };
        let schema = input.schema();
        let mut upload = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_flight_descriptor(Some(descriptor(&command)))
            .build(input.map_err(|e| FlightError::ExternalError(Box::new(Error::from(e)))));

        // A request that ends is complete, and the server would commit what it received. So if the input fails, the
        // request stays open until the call is dropped, which resets it.
        let (failed, failure) = oneshot::channel();
        let mut failed = Some(failed);
        let messages = stream::poll_fn(move |context| {
            if failed.is_none() {
                return Poll::Pending;
            }
            match ready!(upload.poll_next_unpin(context)) {
                Some(Ok(message)) => Poll::Ready(Some(message)),
                Some(Err(error)) => {
                    if let Some(failed) = failed.take() {
                        // If the receiver is gone, the call has ended already.
                        let _ = failed.send(Error::from(error));
                    }
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        });
        tokio::select! {
            Ok(error) = failure => Err(error),
            written = self.put(messages, target.tag.as_ref()) => written,
        }
    }

    /// All tables with their schemas, sorted by namespace and name.
    pub async fn tables(&self) -> Result<Vec<TableInfo>> {
        let command = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
        let info = self.info(command, None).await?;
        let batches: Vec<_> = self.fetch(info).await?.try_collect().await?;
        let mut tables = Vec::new();
        for batch in batches {
            let [namespaces, names, kinds] = [texts(&batch, 1)?, texts(&batch, 2)?, texts(&batch, 3)?];
            let schemas = batch.column(4).as_any().downcast_ref::<BinaryArray>().ok_or_else(not_tables)?;
            for row in 0..batch.num_rows() {
                let schema = Schema::try_from(IpcMessage(schemas.value(row).to_vec().into()))?;
                let kind = TABLE_TYPES.into_iter().find(|kind| *kind == kinds.value(row)).ok_or_else(not_tables)?;
                tables.push(TableInfo {
                    namespace: namespaces.value(row).to_owned(),
                    name: names.value(row).to_owned(),
                    kind,
                    schema: Arc::new(schema),
                });
            }
        }
        Ok(tables)
    }

    async fn info(&self, command: impl ProstMessageExt, tag: Option<&CommitTag>) -> Result<FlightInfo> {
        let request = tagged(Request::new(descriptor(&command)), tag)?;
        Ok(self.flight.clone().get_flight_info(request).await?.into_inner())
    }

    async fn fetch(&self, info: FlightInfo) -> Result<Rows> {
        let [endpoint] = info.endpoint.as_slice() else {
            return Err(not_bergmill("a result must have one endpoint"));
        };
        let ticket = endpoint.ticket.clone().ok_or_else(|| not_bergmill("a result must have a ticket"))?;
        let schema = Arc::new(info.try_decode_schema()?);
        let data = self.flight.clone().do_get(ticket).await?.into_inner();
        let batches = FlightRecordBatchStream::new_from_flight_data(data.map_err(FlightError::from));
        Ok(Rows { schema, batches })
    }

    async fn put(
        &self,
        messages: impl Stream<Item = FlightData> + Send + 'static,
        tag: Option<&CommitTag>,
    ) -> Result<u64> {
        let request = tagged(Request::new(messages), tag)?;
        let mut answer = self.flight.clone().do_put(request).await?.into_inner();
        let result = answer.message().await?.ok_or_else(|| not_bergmill("an update must have a result"))?;
        let result = DoPutUpdateResult::decode(result.app_metadata)
            .map_err(|e| not_bergmill(&format!("the result of an update cannot be read: {e}")))?;
        Ok(u64::try_from(result.record_count).unwrap_or(0))
    }
}

impl Rows {
    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_next_unpin(context).map_err(Error::from)
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// The endpoint of an address, and how to set up TLS if it has TLS.
fn endpoint(address: &str, options: &ConnectOptions) -> Result<(Endpoint, Option<ClientTls>)> {
    let cannot = |kind, why: &dyn std::fmt::Display| Error::new(kind, format!("cannot connect to {address}: {why}"));
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None if options.ca.is_some() => ("grpc+tls", address),
        None => ("grpc", address),
    };
    let has_tls = match scheme {
        "https" | "grpc+tls" => true,
        "http" | "grpc" | "grpc+tcp" if options.ca.is_none() => false,
        "http" | "grpc" | "grpc+tcp" => {
            let why = format!("{scheme}:// is without TLS, but an authority is given; use grpc+tls://");
            return Err(cannot(ErrorKind::InvalidInput, &why));
        }
        _ => {
            return Err(cannot(
                ErrorKind::Unsupported,
                &"only grpc://, http://, grpc+tls:// and https:// are supported",
            ));
        }
    };
    let tls = match has_tls {
        true => {
            let tls = ClientTls::trusting(options.ca.as_deref());
            Some(tls.map_err(|e| cannot(ErrorKind::InvalidInput, &e))?)
        }
        false => None,
    };
    // Also with TLS, which is not tonic's.
    let endpoint = Endpoint::from_shared(format!("http://{rest}")).map_err(|e| {
        let message = format!("{address:?} is not an address of the form host:port: {}", with_sources(&e));
        Error::new(ErrorKind::InvalidInput, message)
    })?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    Ok((endpoint, tls))
}

fn query_command(sql: &str) -> CommandStatementQuery {
    CommandStatementQuery { query: sql.to_owned(), transaction_id: None }
}

fn descriptor(command: &impl ProstMessageExt) -> FlightDescriptor {
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

fn tagged<T>(mut request: Request<T>, tag: Option<&CommitTag>) -> Result<Request<T>> {
    if let Some(tag) = tag {
        headers::encode(tag, request.metadata_mut())?;
    }
    Ok(request)
}

fn texts(batch: &RecordBatch, column: usize) -> Result<&StringArray> {
    let column = batch.columns().get(column).ok_or_else(not_tables)?;
    column.as_any().downcast_ref().ok_or_else(not_tables)
}

fn not_tables() -> Error {
    not_bergmill("the list of tables has unknown columns or kinds")
}

/// The server supports Flight, but differs from ours: another product, or another version.
fn not_bergmill(message: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("unexpected response of the server: {message}"))
}
