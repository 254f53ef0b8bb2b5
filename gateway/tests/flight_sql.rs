//! The front door from outside: a real server on a real port in front of a small engine, called by arrow-flight's
//! client (as other programs do) and by our own.

#![allow(clippy::unwrap_used, reason = "a test")]

mod only_ada;
mod protected;
mod small_engine;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, Any, CommandGetDbSchemas, CommandGetExportedKeys,
    CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandStatementIngest, CommandStatementQuery, EndTransaction, ProstMessageExt,
    SqlInfo, TableDefinitionOptions, TableExistsOption, TableNotExistOption, TicketStatementQuery,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelStatus, FlightClient, FlightData, FlightDescriptor, FlightInfo, Ticket,
};
use bergmill_gateway::{Answer, Client, CommitTag, ErrorKind, IngestMode, IngestTarget, Security, headers, serve};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use small_engine::SmallEngine;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// A server under test, its engine, and its stop signal.
struct FrontDoor {
    address: String,
    engine: Arc<SmallEngine>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<bergmill_gateway::Result<()>>,
}

impl FrontDoor {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let engine = Arc::new(SmallEngine::new().await);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or_default() };
        let server = tokio::spawn(serve(listener, engine.clone(), Security::default(), shutdown));
        Self { address, engine, stop, server }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.address).await.unwrap()
    }

    /// The client that other Rust programs use.
    async fn flight_sql(&self) -> FlightSqlServiceClient<Channel> {
        FlightSqlServiceClient::new_from_inner(self.flight().await)
    }

    async fn flight(&self) -> FlightServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        FlightServiceClient::new(endpoint.connect().await.unwrap())
    }
}

/// Runs a test against a fresh server, and fails it rather than let it hang.
async fn with_front_door<F: Future<Output = ()>>(test: impl FnOnce(Arc<FrontDoor>) -> F) {
    let door = Arc::new(FrontDoor::open().await);
    tokio::time::timeout(Duration::from_secs(60), test(door)).await.expect("the test took over a minute");
}

async fn fetch(client: &mut FlightSqlServiceClient<Channel>, info: FlightInfo) -> Vec<RecordBatch> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let announced = Arc::new(info.try_decode_schema().unwrap());
    let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    for batch in &batches {
        assert_eq!(batch.schema(), announced);
    }
    batches
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn column(batches: &[RecordBatch], name: &str) -> Vec<String> {
    let texts = |batch: &RecordBatch| {
        let column: &StringArray = batch.column_by_name(name).unwrap().as_string();
        column.iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(texts).collect()
}

fn status(error: FlightError) -> (Code, String) {
    match error {
        FlightError::Tonic(status) => (status.code(), status.message().to_owned()),
        other => panic!("expected a status, got {other}"),
    }
}

async fn count(client: &Client, table: &str) -> i64 {
    let batches: Vec<_> =
        client.query(&format!("SELECT count(*) FROM {table}")).await.unwrap().try_collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

// Queries

#[tokio::test]
async fn a_query_returns_its_rows_to_either_client() {
    with_front_door(|door| async move {
        let rows_of_ours = door.client().await.query("SELECT id, name FROM shop.people ORDER BY id").await.unwrap();
        let schema = rows_of_ours.schema();
        assert_eq!(schema.field(1).name(), "name");
        let batches: Vec<_> = rows_of_ours.try_collect().await.unwrap();
        assert_eq!(column(&batches, "name"), ["Ada", "Grace", "Hedy"]);

        let mut flight = door.flight_sql().await;
        let info = flight.execute("SELECT id, name FROM shop.people ORDER BY id".into(), None).await.unwrap();
        assert_eq!(fetch(&mut flight, info).await, batches);
    })
    .await;
}

#[tokio::test]
async fn a_query_without_rows_still_has_its_schema() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        let info = flight.execute("SELECT id FROM shop.people WHERE false".into(), None).await.unwrap();
        assert_eq!(info.clone().try_decode_schema().unwrap().fields().len(), 1);
        assert_eq!(rows(&fetch(&mut flight, info).await), 0);
    })
    .await;
}

#[tokio::test]
async fn rows_come_in_the_schema_that_was_announced() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        for sql in [
            // Planned as nullable, but the optimizer infers that it is not.
            "SELECT repeat('x', 3) AS text FROM generate_series(1, 3)",
            "SELECT arrow_cast(name, 'Dictionary(Int32, Utf8)') AS text FROM shop.people",
            "SELECT arrow_cast(name, 'Utf8View') AS text FROM shop.people",
        ] {
            // `fetch` compares.
            let info = flight.execute(sql.into(), None).await.unwrap();
            assert_eq!(rows(&fetch(&mut flight, info).await), 3, "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_million_rows_arrive() {
    with_front_door(|door| async move {
        let mut answer = door.client().await.query("SELECT value FROM generate_series(1, 1000000)").await.unwrap();
        let (mut rows, mut sum) = (0, 0);
        while let Some(batch) = answer.try_next().await.unwrap() {
            rows += batch.num_rows();
            sum += batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
        }
        assert_eq!((rows, sum), (1_000_000, 500_000_500_000));
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_query_back_and_leaving_cancels_it() {
    with_front_door(|door| async move {
        // A gigabyte in all: much more than the windows and buffers on the way can take.
        let sql = "SELECT value, repeat('x', 1000) AS ballast FROM generate_series(1, 1000000)";
        let mut answer = door.client().await.query(sql).await.unwrap();
        answer.try_next().await.unwrap().unwrap();
        let produced = loop {
            let before = door.engine.rows_produced.get();
            let more = door.engine.rows_produced.reaches(before + 1);
            if tokio::time::timeout(Duration::from_millis(200), more).await.is_err() {
                break before;
            }
        };
        assert!(produced < 200_000, "{produced} rows were produced for a client that reads none");

        assert_eq!(door.engine.queries_ended.get(), 0);
        drop(answer);
        door.engine.queries_ended.reaches(1).await;
    })
    .await;
}

#[tokio::test]
async fn a_query_that_fails_half_way_reports_the_error() {
    with_front_door(|door| async move {
        let sql = "SELECT 10 / (500000 - value) FROM generate_series(1, 1000000)";
        let error = door.client().await.query(sql).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("Divide by zero"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn the_protocol_adds_little_to_a_small_query() {
    with_front_door(|door| async move {
        let client = door.client().await;
        let mut times = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            let rows: Vec<_> = client.query("SELECT 1").await.unwrap().try_collect().await.unwrap();
            times.push(start.elapsed());
            assert_eq!(rows.len(), 1);
        }
        times.sort();
        // Printed for measurements; the bound only catches delays such as Nagle's 40 ms, on any machine.
        println!("SELECT 1: p50 {:?}, p90 {:?}", times[100], times[180]);
        assert!(times[100] < Duration::from_millis(30), "half of the calls took over {:?}", times[100]);
    })
    .await;
}

// Updates

#[tokio::test]
async fn an_update_sent_as_a_query_runs_once() {
    with_front_door(|door| async move {
        let client = door.client().await;
        let created = client.execute("CREATE TABLE shop.items (id BIGINT, name VARCHAR)", None).await.unwrap();
        assert!(matches!(created, Answer::Updated(0)), "{created:?}");
        let sql = "INSERT INTO shop.items VALUES (1, 'a'), (2, 'b')";
        let inserted = client.execute(sql, None).await.unwrap();
        assert!(matches!(inserted, Answer::Updated(2)), "{inserted:?}");
        assert_eq!(count(&client, "shop.items").await, 2);

        // Fetching the result, even twice, returns the count and changes nothing.
        let mut flight = door.flight_sql().await;
        let info = flight.execute(sql.into(), None).await.unwrap();
        assert_eq!(info.total_records, 2);
        for _ in 0..2 {
            let batches = fetch(&mut flight, info.clone()).await;
            assert_eq!(batches[0].schema().field(0).name(), "count");
            assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().values(), &[2]);
        }
        assert_eq!(count(&client, "shop.items").await, 4);
    })
    .await;
}

#[tokio::test]
async fn an_update_sent_as_an_update_runs_once() {
    with_front_door(|door| async move {
        let client = door.client().await;
        let sql = "INSERT INTO shop.people VALUES (4, 'Edsger')";
        assert_eq!(client.update(sql, None).await.unwrap(), 1);
        assert_eq!(door.flight_sql().await.execute_update(sql.into(), None).await.unwrap(), 1);
        assert_eq!(count(&client, "shop.people").await, 5);
    })
    .await;
}

#[tokio::test]
async fn a_commit_tag_reaches_the_backend_with_its_statement_only() {
    with_front_door(|door| async move {
        let tag = CommitTag {
            key: "sales/2026-08-01".into(),
            summary: [("pipeline.step".to_owned(), "Größe 100%".to_owned())].into(),
        };
        let client = door.client().await;
        let sql = "INSERT INTO shop.people VALUES (4, 'Edsger')";
        client.execute(sql, Some(&tag)).await.unwrap();
        client.update(sql, Some(&tag)).await.unwrap();
        client.update(sql, None).await.unwrap();
        let target = IngestTarget {
            namespace: Some("shop".into()),
            table: "people".into(),
            mode: IngestMode::Append,
            tag: Some(tag.clone()),
        };
        client.ingest(&target, people(stream::empty())).await.unwrap();

        // What a client in another language does: plain headers.
        let mut flight = door.flight_sql().await;
        flight.set_header(headers::COMMIT_KEY, "k");
        flight.set_header(format!("{}step", headers::SUMMARY_PREFIX), "reviews");
        flight.execute_update(sql.into(), None).await.unwrap();

        let plain = CommitTag { key: "k".into(), summary: [("step".to_owned(), "reviews".to_owned())].into() };
        let seen = door.engine.tags.lock().unwrap().clone();
        assert_eq!(seen, [Some(tag.clone()), Some(tag.clone()), None, Some(tag), Some(plain)]);
    })
    .await;
}

// Prepared statements

#[tokio::test]
async fn a_prepared_query_can_be_executed_again_and_again() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        let mut prepared = flight.prepare("SELECT count(*) AS n FROM shop.people".into(), None).await.unwrap();
        assert_eq!(prepared.dataset_schema().unwrap().field(0).name(), "n");
        for expected in [3, 4] {
            let info = prepared.execute().await.unwrap();
            let batches = fetch(&mut flight, info).await;
            assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), expected);
            flight.execute_update("INSERT INTO shop.people VALUES (9, 'Kurt')".into(), None).await.unwrap();
        }
        prepared.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_prepared_update_runs_when_it_is_executed() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        let sql = "INSERT INTO shop.people VALUES (4, 'Edsger'), (5, 'Barbara')";
        let mut prepared = flight.prepare(sql.into(), None).await.unwrap();
        // JDBC distinguishes an update from a query by this.
        assert!(prepared.dataset_schema().unwrap().fields().is_empty());
        let client = door.client().await;
        assert_eq!(count(&client, "shop.people").await, 3);
        assert_eq!(prepared.execute_update().await.unwrap(), 2);
        assert_eq!(count(&client, "shop.people").await, 5);
        let info = prepared.execute().await.unwrap();
        assert_eq!(fetch(&mut flight, info).await[0].column(0).as_primitive::<Int64Type>().value(0), 2);
        assert_eq!(count(&client, "shop.people").await, 7);
        prepared.close().await.unwrap();
    })
    .await;
}

/// The values of one execution.
fn values(id: i64) -> RecordBatch {
    RecordBatch::try_from_iter([("1", Arc::new(Int64Array::from(vec![id])) as _)]).unwrap()
}

#[tokio::test]
async fn bound_values_are_part_of_the_handle() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        let mut query = flight.prepare("SELECT name FROM shop.people WHERE id = $1".into(), None).await.unwrap();
        assert_eq!(*query.parameter_schema().unwrap(), Schema::new(vec![Field::new("$1", DataType::Int64, true)]));
        for (id, expected) in [(2, &["Grace"][..]), (3, &["Hedy"]), (4, &[])] {
            query.set_parameters(values(id)).unwrap();
            let info = query.execute().await.unwrap();
            assert_eq!(column(&fetch(&mut flight, info).await, "name"), expected);
        }
        let mut insert = flight.prepare("INSERT INTO shop.people VALUES ($1, 'Kurt')".into(), None).await.unwrap();
        insert.set_parameters(values(9)).unwrap();
        assert_eq!(insert.execute_update().await.unwrap(), 1);
        query.set_parameters(values(9)).unwrap();
        let info = query.execute().await.unwrap();
        assert_eq!(column(&fetch(&mut flight, info).await, "name"), ["Kurt"]);

        // A handle that the server did not issue.
        let forged = CommandPreparedStatementQuery { prepared_statement_handle: "p".into() };
        let descriptor = FlightDescriptor::new_cmd(forged.as_any().encode_to_vec());
        let error = door.flight().await.get_flight_info(descriptor).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    })
    .await;
}

// Cancelling

#[tokio::test]
async fn a_query_is_cancelled_by_its_flight_info() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        let sql = "SELECT name FROM shop.people";
        let info = flight.execute(sql.into(), None).await.unwrap();
        fetch(&mut flight, info.clone()).await;
        let id = format!("id of {sql}");
        assert_eq!(*door.engine.ids.lock().unwrap(), [Some(id.clone())]);

        let mut client = FlightClient::new_from_inner(door.flight().await);
        let mut cancel = async |info: FlightInfo| {
            let status = client.cancel_flight_info(CancelFlightInfoRequest::new(info)).await;
            status.map(|done| done.status())
        };
        assert_eq!(cancel(info.clone()).await.unwrap(), CancelStatus::Cancelled);
        assert_eq!(cancel(info.clone()).await.unwrap(), CancelStatus::NotCancellable);
        assert_eq!(*door.engine.cancelled.lock().unwrap(), [id]);
        // What has run already, and what is no query.
        let updated = flight.execute("INSERT INTO shop.people VALUES (4, 'Edsger')".into(), None).await.unwrap();
        assert_eq!(cancel(updated).await.unwrap(), CancelStatus::NotCancellable);
        assert_eq!(cancel(flight.get_catalogs().await.unwrap()).await.unwrap(), CancelStatus::NotCancellable);
        assert!(cancel(FlightInfo::new()).await.is_err());

        // The older action.
        let other = flight.execute("SELECT 1".into(), None).await.unwrap();
        let request = ActionCancelQueryRequest { info: other.encode_to_vec().into() };
        let action = Action { r#type: "CancelQuery".into(), body: request.as_any().encode_to_vec().into() };
        let answers = door.flight().await.do_action(action).await.unwrap().into_inner();
        let answers: Vec<_> = answers.try_collect().await.unwrap();
        let result: ActionCancelQueryResult = Any::decode(&*answers[0].body).unwrap().unpack().unwrap().unwrap();
        // `CANCEL_RESULT_CANCELLED`, whose name arrow-flight does not export.
        assert_eq!(result.result, 1);
        assert_eq!(door.engine.cancelled.lock().unwrap().last().unwrap(), "id of SELECT 1");
    })
    .await;
}

// Sessions

/// A field of a protobuf message: its number, and what it holds.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, content.len() as u8][..], content].concat()
}

/// The message of SetSessionOptions with one option of type string, as another client encodes it.
fn option(name: &str, value: Option<&str>) -> Vec<u8> {
    let value = value.map_or(Vec::new(), |value| field(1, value.as_bytes()));
    field(1, &[field(1, name.as_bytes()), field(2, &value)].concat())
}

#[tokio::test]
async fn options_belong_to_a_token_or_a_cookie() {
    with_front_door(|door| async move {
        /// Sends an action with this header; returns the result and the cookie of the response.
        async fn act(door: &FrontDoor, header: (&'static str, &str), name: &str, body: Vec<u8>) -> (Vec<u8>, String) {
            let mut request = tonic::Request::new(Action::new(name, body));
            if !header.1.is_empty() {
                request.metadata_mut().insert(header.0, header.1.parse().unwrap());
            }
            let response = door.flight().await.do_action(request).await.unwrap();
            let cookie = response.metadata().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
            let answers: Vec<_> = response.into_inner().try_collect().await.unwrap();
            (answers[0].body.to_vec(), cookie.unwrap_or_default())
        }
        let none = ("cookie", "");
        let (set, cookie) = act(&door, none, "SetSessionOptions", option("schema", Some("store"))).await;
        assert_eq!((set, cookie.is_empty()), (vec![], false));
        let own = ("cookie", cookie.as_str());
        let expected = option("schema", Some("store"));
        assert_eq!(act(&door, own, "GetSessionOptions", vec![]).await, (expected, String::new()));
        assert_eq!(act(&door, none, "GetSessionOptions", vec![]).await, (vec![], String::new()));
        assert_eq!(act(&door, ("authorization", "Bearer x"), "GetSessionOptions", vec![]).await.0, Vec::<u8>::new());

        // What is not set, and why: of the fields of an error the last byte is its number.
        for (name, value, why) in [("colour", "red", 1), ("schema", "nowhere", 2)] {
            let (errors, _) = act(&door, own, "SetSessionOptions", option(name, Some(value))).await;
            assert_eq!(errors, field(1, &[field(1, name.as_bytes()), field(2, &[8, why])].concat()), "{name}");
        }
        let query = async || {
            let command = CommandStatementQuery { query: "SELECT 1".into(), transaction_id: None };
            let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
            let mut request = tonic::Request::new(descriptor);
            request.metadata_mut().insert("cookie", cookie.parse().unwrap());
            let info = door.flight().await.get_flight_info(request).await.unwrap().into_inner();
            let mut request = tonic::Request::new(info.endpoint[0].ticket.clone().unwrap());
            request.metadata_mut().insert("cookie", cookie.parse().unwrap());
            let data = door.flight().await.do_get(request).await.unwrap().into_inner();
            data.try_collect::<Vec<_>>().await.unwrap();
            door.engine.options.lock().unwrap().last().unwrap().get("schema").cloned()
        };
        assert_eq!(query().await.as_deref(), Some("store"));
        act(&door, own, "SetSessionOptions", option("schema", None)).await;
        assert_eq!(query().await, None);
        act(&door, own, "SetSessionOptions", option("schema", Some("shop"))).await;
        assert_eq!(act(&door, own, "CloseSession", vec![]).await.0, [8, 1]);
        assert_eq!(query().await, None);
    })
    .await;
}

// Catalog calls

#[tokio::test]
async fn tables_are_listed_with_filters() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        let all = ["shop.people", "shop.people_view", "store.people"];
        let call = CommandGetTables::default;
        for (call, expected) in [
            (call(), &all[..]),
            (CommandGetTables { catalog: Some("small".into()), ..call() }, &all[..]),
            (CommandGetTables { catalog: Some("other".into()), ..call() }, &[]),
            (CommandGetTables { db_schema_filter_pattern: Some("sho_".into()), ..call() }, &all[..2]),
            (CommandGetTables { db_schema_filter_pattern: Some("s%".into()), ..call() }, &all[..]),
            (CommandGetTables { table_name_filter_pattern: Some("%view".into()), ..call() }, &all[1..2]),
            (CommandGetTables { table_name_filter_pattern: Some("people".into()), ..call() }, &[all[0], all[2]]),
            (CommandGetTables { table_types: vec!["VIEW".into()], ..call() }, &all[1..2]),
            (CommandGetTables { table_types: vec!["VIEW".into(), "TABLE".into()], ..call() }, &all[..]),
        ] {
            let info = flight.get_tables(call.clone()).await.unwrap();
            let batches = fetch(&mut flight, info).await;
            let schemas = column(&batches, "db_schema_name");
            let names = column(&batches, "table_name");
            let found: Vec<_> = schemas.iter().zip(&names).map(|(schema, name)| format!("{schema}.{name}")).collect();
            assert_eq!(found, expected, "{call:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn our_client_lists_tables_with_their_schemas() {
    with_front_door(|door| async move {
        let tables = door.client().await.tables().await.unwrap();
        let names: Vec<_> = tables.iter().map(|t| (t.namespace.as_str(), t.name.as_str(), t.kind)).collect();
        assert_eq!(names, [("shop", "people", "TABLE"), ("shop", "people_view", "VIEW"), ("store", "people", "TABLE")]);
        assert_eq!(tables[0].schema, people_schema());
    })
    .await;
}

#[tokio::test]
async fn the_other_catalog_calls_answer() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        let info = flight.get_catalogs().await.unwrap();
        assert_eq!(column(&fetch(&mut flight, info).await, "catalog_name"), ["small"]);

        for (pattern, expected) in
            [(None, &["shop", "store"][..]), (Some("st%"), &["store"]), (Some("sho_"), &["shop"]), (Some("x"), &[])]
        {
            let call = CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: pattern.map(str::to_owned) };
            let info = flight.get_db_schemas(call).await.unwrap();
            assert_eq!(column(&fetch(&mut flight, info).await, "db_schema_name"), expected, "{pattern:?}");
        }

        let info = flight.get_table_types().await.unwrap();
        assert_eq!(column(&fetch(&mut flight, info).await, "table_type"), ["TABLE", "VIEW"]);

        let wanted = vec![SqlInfo::FlightSqlServerName, SqlInfo::FlightSqlServerReadOnly];
        let info = flight.get_sql_info(wanted).await.unwrap();
        let batches = fetch(&mut flight, info).await;
        assert_eq!(batches[0].column(0).as_primitive::<UInt32Type>().values(), &[0, 3]);
        let info = flight.get_sql_info(vec![]).await.unwrap();
        assert!(rows(&fetch(&mut flight, info).await) > 20);

        let info = flight.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
        assert!(rows(&fetch(&mut flight, info).await) > 5);
        let info = flight.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: Some(12) }).await.unwrap();
        assert_eq!(column(&fetch(&mut flight, info).await, "type_name"), ["VARCHAR"]);
    })
    .await;
}

#[tokio::test]
async fn key_calls_return_no_rows() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        let table = || "people".to_owned();
        let primary = CommandGetPrimaryKeys { table: table(), ..Default::default() };
        let exported = CommandGetExportedKeys { table: table(), ..Default::default() };
        let imported = CommandGetImportedKeys { table: table(), ..Default::default() };
        for (info, columns) in [
            (flight.get_primary_keys(primary).await.unwrap(), 6),
            (flight.get_exported_keys(exported).await.unwrap(), 13),
            (flight.get_imported_keys(imported).await.unwrap(), 13),
            (flight.get_cross_reference(Default::default()).await.unwrap(), 13),
        ] {
            assert_eq!(info.clone().try_decode_schema().unwrap().fields().len(), columns);
            assert_eq!(rows(&fetch(&mut flight, info).await), 0);
        }
    })
    .await;
}

// Ingest

fn people_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]))
}

fn people_batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names: Vec<_> = ids.clone().map(|id| format!("person {id}")).collect();
    RecordBatch::try_new(
        people_schema(),
        vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(StringArray::from(names))],
    )
    .unwrap()
}

fn people(
    batches: impl Stream<Item = Result<RecordBatch, DataFusionError>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(people_schema(), batches))
}

fn into(table: &str, mode: IngestMode) -> IngestTarget {
    IngestTarget { namespace: Some("shop".into()), table: table.into(), mode, tag: None }
}

#[tokio::test]
async fn ingest_writes_by_its_mode() {
    with_front_door(|door| async move {
        let client = door.client().await;
        let hundred = || people(stream::iter((0..10).map(|i| Ok(people_batch(i * 10..i * 10 + 10)))));
        for (mode, expected) in [
            (IngestMode::Append, Err(ErrorKind::NotFound)),
            (IngestMode::Create, Ok(100)),
            (IngestMode::Create, Err(ErrorKind::AlreadyExists)),
            (IngestMode::Append, Ok(200)),
            (IngestMode::CreateAppend, Ok(300)),
            (IngestMode::Replace, Ok(100)),
        ] {
            let written = client.ingest(&into("bulk", mode), hundred()).await.map_err(|error| error.kind());
            assert_eq!(written, expected.map(|_| 100), "{mode:?}");
            if let Ok(total) = expected {
                assert_eq!(count(&client, "shop.bulk").await, total, "{mode:?}");
            }
        }
        assert_eq!(client.ingest(&into("empty", IngestMode::Create), people(stream::empty())).await.unwrap(), 0);
        assert_eq!(count(&client, "shop.empty").await, 0);
    })
    .await;
}

#[tokio::test]
async fn ingest_by_arrow_flights_client() {
    with_front_door(|door| async move {
        let command = CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: TableNotExistOption::Create as i32,
                if_exists: TableExistsOption::Append as i32,
            }),
            table: "bulk".into(),
            schema: Some("shop".into()),
            ..Default::default()
        };
        let batches = stream::iter([Ok(people_batch(0..5)), Ok(people_batch(5..9))]);
        assert_eq!(door.flight_sql().await.execute_ingest(command, batches).await.unwrap(), 9);
        assert_eq!(count(&door.client().await, "shop.bulk").await, 9);
    })
    .await;
}

#[tokio::test]
async fn an_upload_whose_input_fails_writes_nothing() {
    with_front_door(|door| async move {
        let client = door.client().await;
        let broken = bergmill_gateway::Error::new(ErrorKind::Conflict, "the disk is upside down");
        let input = people(stream::iter([Ok(people_batch(0..5)), Err(DataFusionError::from(broken))]));
        let error = client.ingest(&into("people", IngestMode::Append), input).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.to_string(), "the disk is upside down");
        door.engine.ingests_aborted.reaches(1).await;
        assert_eq!(count(&client, "shop.people").await, 3);
    })
    .await;
}

/// An upload that sends a batch and then waits forever.
fn unfinished() -> SendableRecordBatchStream {
    people(stream::iter([Ok(people_batch(0..5))]).chain(stream::pending()))
}

#[tokio::test]
async fn a_dropped_upload_writes_nothing() {
    with_front_door(|door| async move {
        let client = door.client().await;
        let target = into("people", IngestMode::Append);
        let ingest = client.ingest(&target, unfinished());
        tokio::time::timeout(Duration::from_millis(300), ingest).await.unwrap_err();
        door.engine.ingests_aborted.reaches(1).await;
        assert_eq!(count(&client, "shop.people").await, 3);
    })
    .await;
}

#[tokio::test]
async fn an_upload_whose_client_dies_writes_nothing() {
    with_front_door(|door| async move {
        let address = door.address.clone();
        // A separate runtime, so that ending it closes the socket without notice, as a killed process does.
        let elsewhere = tokio::runtime::Runtime::new().unwrap();
        elsewhere.spawn(async move {
            let client = Client::connect(&address).await.unwrap();
            client.ingest(&into("people", IngestMode::Append), unfinished()).await
        });
        door.engine.ingests_started.reaches(1).await;
        elsewhere.shutdown_background();
        door.engine.ingests_aborted.reaches(1).await;
        assert_eq!(count(&door.client().await, "shop.people").await, 3);
    })
    .await;
}

// Errors

#[tokio::test]
async fn errors_keep_their_kind_and_message() {
    with_front_door(|door| async move {
        let client = door.client().await;
        for (sql, kind, words) in [
            ("SELEC 1", ErrorKind::InvalidInput, "SELEC"),
            ("SELECT * FROM shop.missing", ErrorKind::NotFound, "shop.missing"),
            ("SELECT missing FROM shop.people", ErrorKind::InvalidInput, "missing"),
            ("CREATE TABLE shop.people (id INT)", ErrorKind::AlreadyExists, "people"),
        ] {
            let error = client.execute(sql, None).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{sql}: {error}");
            assert!(error.to_string().contains(words), "{sql}: {error}");
        }
        let mut flight = door.flight_sql().await;
        let (code, message) = status(flight.execute("SELEC 1".into(), None).await.unwrap_err());
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.contains("SELEC"), "{message}");

        // A message longer than a header arrives truncated.
        let long = format!("SELECT * FROM shop.\"{}\"", "x".repeat(50_000));
        let error = client.execute(&long, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    })
    .await;
}

#[tokio::test]
async fn an_invalid_tag_is_refused_before_the_statement_runs() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        flight.set_header(format!("{}step", headers::SUMMARY_PREFIX), "no key");
        let sql = "INSERT INTO shop.people VALUES (4, 'Edsger')";
        let (code, message) = status(flight.execute_update(sql.into(), None).await.unwrap_err());
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.contains(headers::COMMIT_KEY), "{message}");
        assert_eq!(count(&door.client().await, "shop.people").await, 3);
    })
    .await;
}

#[tokio::test]
async fn forged_tickets_and_handles_are_invalid() {
    with_front_door(|door| async move {
        let mut flight = door.flight().await;
        let forged = TicketStatementQuery { statement_handle: b"\xff\xff".as_slice().into() };
        let forged_schema =
            TicketStatementQuery { statement_handle: b"q\0\0\0\x09not ArrowSELECT 1".as_slice().into() };
        let forged_handle = CommandPreparedStatementQuery { prepared_statement_handle: b"\xff".as_slice().into() };
        let unknown = Any { type_url: "type.googleapis.com/nothing".into(), value: Default::default() };
        for ticket in [
            b"\xff\xff\xff".to_vec(),
            Vec::new(),
            unknown.encode_to_vec(),
            forged.as_any().encode_to_vec(),
            forged_schema.as_any().encode_to_vec(),
            forged_handle.as_any().encode_to_vec(),
        ] {
            let status = flight.do_get(Ticket::new(ticket.clone())).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{ticket:?}: {status}");
        }
        let descriptor = FlightDescriptor::new_cmd(forged_handle.as_any().encode_to_vec());
        let status = flight.get_flight_info(descriptor.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");

        let no_schema = CommandStatementIngest { table: "people".into(), ..Default::default() };
        let no_schema = FlightDescriptor::new_cmd(no_schema.as_any().encode_to_vec());
        for messages in [vec![], vec![FlightData::new()], vec![FlightData::new().with_descriptor(no_schema)]] {
            let status = flight.do_put(stream::iter(messages.clone())).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{messages:?}: {status}");
        }
    })
    .await;
}

#[tokio::test]
async fn unsupported_calls_are_reported_as_such() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        let (code, message) = status(flight.begin_transaction().await.unwrap_err());
        assert_eq!(code, Code::Unimplemented);
        assert!(message.contains("transactions are not supported"), "{message}");
        let (code, _) = status(flight.end_transaction("1".into(), EndTransaction::Commit).await.unwrap_err());
        assert_eq!(code, Code::Unimplemented);
        let (code, _) = status(flight.execute("SELECT 1".into(), Some("1".into())).await.unwrap_err());
        assert_eq!(code, Code::Unimplemented);
        let unknown = flight.do_action(Action::new("RenewFlightEndpoint", vec![])).await.map(|_| ());
        assert_eq!(status(unknown.unwrap_err()).0, Code::Unimplemented);
    })
    .await;
}

// The connection

#[tokio::test]
async fn a_handshake_lets_everyone_in() {
    with_front_door(|door| async move {
        let mut flight = door.flight_sql().await;
        flight.handshake("anyone", "anything").await.unwrap();
        // ADBC and JDBC give up without a token.
        let token = flight.token().unwrap().clone();
        assert!(token.starts_with("anonymous-"), "{token}");
        flight.handshake("anyone", "anything").await.unwrap();
        // A token is a session.
        assert_ne!(*flight.token().unwrap(), token);
        assert!(flight.execute("SELECT 1".into(), None).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_failed_connection_names_the_address() {
    // A port that was free a moment ago, so nothing listens on it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for (address, kind) in [
        (address.as_str(), ErrorKind::Unavailable),
        ("grpc+unix://localhost:1", ErrorKind::Unsupported),
        ("grpc+tls://localhost:1", ErrorKind::Unavailable),
        ("no address at all", ErrorKind::InvalidInput),
    ] {
        let error = Client::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(address), "{error}");
    }
}

#[tokio::test]
async fn calls_run_concurrently_on_one_connection() {
    with_front_door(|door| async move {
        let client = door.client().await;
        let calls = (0..50).map(|i| {
            let client = client.clone();
            async move {
                let sql = format!("SELECT {i} + count(*) FROM generate_series(1, 10000)");
                let batches: Vec<_> = client.query(&sql).await.unwrap().try_collect().await.unwrap();
                assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 10_000 + i);
            }
        });
        futures::future::join_all(calls).await;
    })
    .await;
}

#[tokio::test]
async fn shutting_down_lets_a_running_call_end() {
    let door = FrontDoor::open().await;
    let client = door.client().await;
    let mut answer = client.query("SELECT value FROM generate_series(1, 1000000)").await.unwrap();
    let first = answer.next().await.unwrap().unwrap();
    door.stop.send(()).unwrap();
    let rest: Vec<_> = answer.try_collect().await.unwrap();
    assert_eq!(first.num_rows() + rows(&rest), 1_000_000);
    drop(client);
    tokio::time::timeout(Duration::from_secs(10), door.server).await.unwrap().unwrap().unwrap();
}
