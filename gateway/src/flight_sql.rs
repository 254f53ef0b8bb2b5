//! The Flight SQL service: each call of the protocol as calls of the [`Backend`].
//!
//! - A query is planned by GetFlightInfo, which returns a ticket, and run by DoGet, which streams its rows as the
//!   client reads them. A client that disconnects drops the stream, and with it the query.
//! - An update is run exactly once: by DoPut or, since many drivers send every statement as if it were a query, by
//!   GetFlightInfo. The ticket then only holds the number of rows, and fetching it returns one row `count`.
//! - A prepared statement's handle is its SQL, and the values of its parameters once they are bound: binding returns
//!   another handle.
//! - A query is cancelled by dropping its stream, or by the response to GetFlightInfo that announced it.
//!
//! Which calls are admitted is decided before they arrive here, by `login`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::server::{DoPutError, FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest, ActionEndTransactionRequest, Any, Command,
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse,
    Ticket as FlightTicket,
};
use async_trait::async_trait;
use futures::{Stream, TryStreamExt, stream};
use prost::Message;
use prost::bytes::Bytes;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::backend::{Backend, Prepared, Statement};
use crate::catalog_calls::{self, FOREIGN_KEYS, PRIMARY_KEYS};
use crate::error::{Error, ErrorKind};
use crate::login::{AUTHORIZATION, AdmitCalls, Credentials, Login, Sender, encode, sender};
use crate::server::MESSAGE_LIMIT_BYTES;
use crate::session::{Session, Sessions};
use crate::sql_info::SQL_INFO;
use crate::ticket::{Handle, Query, Ticket};
use crate::type_info::TYPE_INFO;
use crate::upload::{UploadEnd, WatchUploads};
use crate::{actions, headers, ingest, parameters, wire};

/// Our error, unless a method of the protocol's trait requires a status.
type Result<T, E = Error> = std::result::Result<T, E>;

/// Arrow Flight SQL over a [`Backend`].
#[derive(Clone)]
pub struct FlightSql {
    backend: Arc<dyn Backend>,
    login: Option<Arc<dyn Login>>,
    sessions: Sessions,
}

impl std::fmt::Debug for FlightSql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlightSql").finish_non_exhaustive()
    }
}

impl FlightSql {
    /// The protocol in front of `backend`, for the callers that `login` admits; without it, for all.
    pub fn new(backend: Arc<dyn Backend>, login: Option<Arc<dyn Login>>, sessions: Sessions) -> Self {
        Self { backend, login, sessions }
    }

    /// The service for tonic, with message limits set; [`serve`](crate::serve) also sets up a server for it.
    pub fn into_service(
        self,
    ) -> impl Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
    + NamedService
    + Clone
    + Send
    + Sync {
        let (login, sessions) = (self.login.clone(), self.sessions.clone());
        let service = FlightServiceServer::new(self)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
        AdmitCalls { inner: WatchUploads(service), login, sessions }
    }

    /// Plans `statement`, runs it if it is an update, and returns how to fetch the result.
    async fn info(&self, mut statement: Statement, descriptor: FlightDescriptor) -> Result<Response<FlightInfo>> {
        let (ticket, schema) = match self.backend.prepare(&statement).await? {
            Prepared::Query { schema, id } => {
                let schema = wire::schema(&schema);
                let (sql, encoded) = (statement.sql, wire::encode_schema(&schema)?.into());
                let parameters = statement.parameters.as_ref().map(parameters::encode).transpose()?;
                (Ticket::Query(Query { id, sql, parameters, schema: encoded }), schema)
            }
            Prepared::Update { id } => {
                statement.id = Some(id);
                let rows = self.backend.update(&statement).await?;
                (Ticket::Updated { rows }, Arc::clone(&COUNT))
            }
        };
        let encoded = ticket.encode();
        let command = TicketStatementQuery { statement_handle: encoded.clone().into() };
        let mut info = flight_info(&schema, command.as_any().encode_to_vec(), descriptor)?;
        if let Ticket::Updated { rows } = ticket {
            // Our client reads the count here and saves a call. ADBC passes `total_records` on as the number of
            // affected rows (Python's `rowcount`), which for an update is this number and not the one row of the
            // result.
            info.app_metadata = encoded.into();
            info.total_records = count(rows);
        }
        Ok(Response::new(info))
    }

    /// Runs a query and streams its rows.
    async fn rows(&self, statement: Statement, announced: Option<Schema>) -> Result<Response<DoGetStream>> {
        let rows = self.backend.query(&statement).await?;
        let actual = rows.schema();
        let schema = announced.map(Arc::new).filter(|announced| wire::can_carry(announced, &actual)).unwrap_or(actual);
        Ok(wire::rows(schema, rows.map_err(Error::from)))
    }

    /// The statement behind a prepared statement's handle.
    fn prepared<T>(handle: &[u8], request: &Request<T>) -> Result<Statement> {
        let Handle { sql, parameters } = Handle::decode(handle)?;
        let parameters = parameters.as_deref().map(parameters::decode).transpose()?;
        Ok(Statement { parameters, ..statement(sql, None, request)? })
    }
}

type DoGetStream = <FlightSql as FlightService>::DoGetStream;
type HandshakeStream = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;

#[async_trait]
impl FlightSqlService for FlightSql {
    type FlightService = Self;

    /// Drivers with a configured user start with a handshake, and give up if the response has no token for later calls:
    /// where nobody has to log in, they get one that is never checked.
    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<HandshakeStream>, Status> {
        let Sender { caller, from } = sender(request.extensions());
        let token = match (&self.login, caller) {
            (Some(login), Some(caller)) => login.open_session(&caller, from).await?,
            // A token is a session, also where it is not checked.
            _ => format!("anonymous-{}", Uuid::new_v4()),
        };
        let welcome = HandshakeResponse { protocol_version: 0, payload: Bytes::new() };
        let mut response: Response<HandshakeStream> = Response::new(Box::pin(stream::iter([Ok(welcome)])));
        response.metadata_mut().insert(AUTHORIZATION, encode(&Credentials::Token(token))?);
        Ok(response)
    }

    // Statements

    async fn get_flight_info_statement(
        &self,
        command: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let statement = statement(command.query, command.transaction_id, &request)?;
        Ok(self.info(statement, request.into_inner()).await?)
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        match Ticket::decode(&ticket.statement_handle)? {
            Ticket::Query(Query { id, sql, parameters, schema }) => {
                let announced = wire::decode_schema(schema)?;
                let parameters = parameters.as_deref().map(parameters::decode).transpose()?;
                let statement = Statement { parameters, id: Some(id), ..statement(sql, None, &request)? };
                Ok(self.rows(statement, Some(announced)).await?)
            }
            Ticket::Updated { rows } => {
                let counts = Int64Array::from(vec![count(rows)]);
                let batch = RecordBatch::try_new(Arc::clone(&COUNT), vec![Arc::new(counts)]);
                Ok(one_batch(batch.map_err(Error::from)?))
            }
        }
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let statement = statement(command.query, command.transaction_id, &request)?;
        Ok(count(self.backend.update(&statement).await?))
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let tag = headers::decode(request.metadata())?;
        let mut target = ingest::target(command, self.backend.catalog_name(), tag)?;
        if target.namespace.is_none() {
            target.namespace = Session::of(request.extensions()).and_then(|session| session.options().remove("schema"));
        }
        let sender = sender(request.extensions());
        let end = UploadEnd::of(request.extensions())?;
        let input = ingest::input(request.into_inner(), end).await?;
        Ok(count(self.backend.ingest(&target, &sender, input).await?))
    }

    // Prepared statements

    async fn do_action_create_prepared_statement(
        &self,
        command: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let statement = statement(command.query, command.transaction_id, &request)?;
        // JDBC treats a statement without a schema as an update, and sends it by DoPut.
        let described = self.backend.describe(&statement).await?;
        let dataset_schema = match described.rows {
            Some(schema) => wire::encode_schema(&wire::schema(&schema))?,
            None => Bytes::new(),
        };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: Handle { sql: statement.sql, parameters: None }.encode().into(),
            dataset_schema,
            parameter_schema: wire::encode_schema(&described.parameters)?,
        })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        command: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let statement = Self::prepared(&command.prepared_statement_handle, &request)?;
        Ok(self.info(statement, request.into_inner()).await?)
    }

    async fn do_get_prepared_statement(
        &self,
        command: CommandPreparedStatementQuery,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        let statement = Self::prepared(&command.prepared_statement_handle, &request)?;
        Ok(self.rows(statement, None).await?)
    }

    async fn do_put_prepared_statement_query(
        &self,
        command: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let Handle { sql, .. } = Handle::decode(&command.prepared_statement_handle)?;
        let end = UploadEnd::of(request.extensions())?;
        let parameters = parameters::bound(request.into_inner(), end).await?;
        let parameters = parameters.as_ref().map(parameters::encode).transpose()?;
        let bound = Handle { sql, parameters }.encode();
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(bound.into()) })
    }

    async fn do_put_prepared_statement_update(
        &self,
        command: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let mut statement = Self::prepared(&command.prepared_statement_handle, &request)?;
        let end = UploadEnd::of(request.extensions())?;
        // Values may be bound by this call, or have been bound before.
        if let Some(values) = parameters::bound(request.into_inner(), end).await? {
            statement.parameters = Some(values);
        }
        Ok(count(self.backend.update(&statement).await?))
    }

    async fn do_action_close_prepared_statement(
        &self,
        command: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        // A handle holds no resources, but an invalid one is still an error.
        Handle::decode(&command.prepared_statement_handle)?;
        Ok(())
    }

    async fn do_action_cancel_query(
        &self,
        command: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let info = actions::decoded(&command.info, "the FlightInfo")?;
        let status = actions::cancel(&info, &*self.backend, &sender(request.extensions())).await?;
        // Both enumerations have the same numbers.
        Ok(ActionCancelQueryResult { result: status as i32 })
    }

    // Catalog calls: the command itself is the ticket

    async fn get_flight_info_catalogs(
        &self,
        command: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&command.into_builder().schema(), request)?)
    }

    async fn do_get_catalogs(
        &self,
        command: CommandGetCatalogs,
        _request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        Ok(one_batch(catalog_calls::catalogs(command, &*self.backend)?))
    }

    async fn get_flight_info_schemas(
        &self,
        command: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&command.into_builder().schema(), request)?)
    }

    async fn do_get_schemas(
        &self,
        command: CommandGetDbSchemas,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        let caller = sender(request.extensions()).caller;
        Ok(one_batch(catalog_calls::schemas(command, &*self.backend, caller.as_ref()).await?))
    }

    async fn get_flight_info_tables(
        &self,
        command: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&command.into_builder().schema(), request)?)
    }

    async fn do_get_tables(
        &self,
        command: CommandGetTables,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        let caller = sender(request.extensions()).caller;
        Ok(one_batch(catalog_calls::tables(command, &*self.backend, caller.as_ref()).await?))
    }

    async fn get_flight_info_table_types(
        &self,
        command: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&command.into_builder().schema(), request)?)
    }

    async fn do_get_table_types(
        &self,
        command: CommandGetTableTypes,
        _request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        Ok(one_batch(catalog_calls::table_types(command)?))
    }

    async fn get_flight_info_sql_info(
        &self,
        _command: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&SQL_INFO.schema(), request)?)
    }

    async fn do_get_sql_info(
        &self,
        command: CommandGetSqlInfo,
        _request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        Ok(one_batch(command.into_builder(&SQL_INFO).build().map_err(Error::from)?))
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        _command: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&TYPE_INFO.schema(), request)?)
    }

    async fn do_get_xdbc_type_info(
        &self,
        command: CommandGetXdbcTypeInfo,
        _request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        Ok(one_batch(command.into_builder(&TYPE_INFO).build().map_err(Error::from)?))
    }

    async fn get_flight_info_primary_keys(
        &self,
        _command: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&PRIMARY_KEYS, request)?)
    }

    async fn do_get_primary_keys(
        &self,
        _command: CommandGetPrimaryKeys,
        _request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        Ok(no_rows(&PRIMARY_KEYS))
    }

    async fn get_flight_info_exported_keys(
        &self,
        _command: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&FOREIGN_KEYS, request)?)
    }

    async fn do_get_exported_keys(
        &self,
        _command: CommandGetExportedKeys,
        _request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        Ok(no_rows(&FOREIGN_KEYS))
    }

    async fn get_flight_info_imported_keys(
        &self,
        _command: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&FOREIGN_KEYS, request)?)
    }

    async fn do_get_imported_keys(
        &self,
        _command: CommandGetImportedKeys,
        _request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        Ok(no_rows(&FOREIGN_KEYS))
    }

    async fn get_flight_info_cross_reference(
        &self,
        _command: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Ok(command_info(&FOREIGN_KEYS, request)?)
    }

    async fn do_get_cross_reference(
        &self,
        _command: CommandGetCrossReference,
        _request: Request<FlightTicket>,
    ) -> Result<Response<DoGetStream>, Status> {
        Ok(no_rows(&FOREIGN_KEYS))
    }

    // Parts of the protocol that this server does not support, with errors that users can act on

    async fn get_flight_info_substrait_plan(
        &self,
        _command: CommandStatementSubstraitPlan,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Err(no_substrait())
    }

    async fn do_put_substrait_plan(
        &self,
        _command: CommandStatementSubstraitPlan,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(no_substrait())
    }

    async fn do_action_create_prepared_substrait_plan(
        &self,
        _command: ActionCreatePreparedSubstraitPlanRequest,
        _request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        Err(no_substrait())
    }

    async fn do_action_begin_transaction(
        &self,
        _command: ActionBeginTransactionRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        Err(no_transactions().into())
    }

    async fn do_action_end_transaction(
        &self,
        _command: ActionEndTransactionRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(no_transactions().into())
    }

    async fn do_action_begin_savepoint(
        &self,
        _command: ActionBeginSavepointRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginSavepointResult, Status> {
        Err(no_transactions().into())
    }

    async fn do_action_end_savepoint(
        &self,
        _command: ActionEndSavepointRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(no_transactions().into())
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let (sender, mut session) = (sender(request.extensions()), Session::of(request.extensions()));
        let mut cookie = None;
        if session.is_none() && request.get_ref().r#type == actions::SET_SESSION_OPTIONS {
            let (begun, header) = self.sessions.begin(sender.caller.as_ref());
            (session, cookie) = (Some(begun), Some(header));
        }
        let body = actions::run(request.get_ref(), &*self.backend, &sender, session.as_ref()).await?;
        let result: <Self as FlightService>::DoActionStream =
            Box::pin(stream::iter([Ok(arrow_flight::Result { body })]));
        let mut response = Response::new(result);
        if let Some(header) = cookie.and_then(|cookie| cookie.parse().ok()) {
            response.metadata_mut().insert("set-cookie", header);
        }
        Ok(response)
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        Some(actions::types().into_iter().map(Ok).collect())
    }

    async fn get_flight_info_fallback(
        &self,
        command: Command,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Err(unsupported(format!("there is no command {:?}", command.type_url())).into())
    }

    async fn do_get_fallback(
        &self,
        _request: Request<FlightTicket>,
        message: Any,
    ) -> Result<Response<DoGetStream>, Status> {
        Err(invalid(format!("a ticket cannot hold {:?}", message.type_url)).into())
    }

    async fn do_put_error_callback(
        &self,
        _request: Request<PeekableFlightDataStream>,
        error: DoPutError,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        Err(invalid(error.to_string()).into())
    }

    /// Required by the trait and never called: the entries are in `sql_info`.
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}

/// Schema of the result of an update that was sent as a query.
static COUNT: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("count", DataType::Int64, false)])));

fn statement<T>(sql: String, transaction: Option<Bytes>, request: &Request<T>) -> Result<Statement> {
    if transaction.is_some_and(|id| !id.is_empty()) {
        return Err(no_transactions());
    }
    let (tag, sender) = (headers::decode(request.metadata())?, sender(request.extensions()));
    let session = Session::of(request.extensions());
    let options = session.as_ref().map(Session::options).unwrap_or_default();
    Ok(Statement { sql, tag, sender, options, session, ..Statement::default() })
}

/// The response to GetFlightInfo: one endpoint without an address, which means "fetch from the same server".
fn flight_info(schema: &Schema, ticket: Vec<u8>, descriptor: FlightDescriptor) -> Result<FlightInfo> {
    let endpoint = FlightEndpoint::new().with_ticket(FlightTicket::new(ticket));
    Ok(FlightInfo::new().try_with_schema(schema)?.with_endpoint(endpoint).with_descriptor(descriptor))
}

fn command_info(schema: &Schema, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>> {
    let descriptor = request.into_inner();
    Ok(Response::new(flight_info(schema, descriptor.cmd.to_vec(), descriptor)?))
}

fn one_batch(batch: RecordBatch) -> Response<DoGetStream> {
    wire::rows(batch.schema(), stream::iter([Ok(batch)]))
}

fn no_rows(schema: &SchemaRef) -> Response<DoGetStream> {
    wire::rows(Arc::clone(schema), stream::empty())
}

/// The protocol counts rows in `i64`.
fn count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn no_transactions() -> Error {
    unsupported("transactions are not supported: every statement commits on its own")
}

fn no_substrait() -> Status {
    unsupported("Substrait plans are not supported: send SQL").into()
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}
