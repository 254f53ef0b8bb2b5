//! Prepared statements with parameters, as other clients use them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::{FlightSqlServiceClient, PreparedStatement};
use bergmill_gateway::Client;
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};

use crate::process::serve;

type Flight = FlightSqlServiceClient<Channel>;

async fn flight(door: &str) -> Flight {
    let endpoint = Endpoint::from_shared(format!("http://{door}")).unwrap();
    FlightSqlServiceClient::new_from_inner(FlightServiceClient::new(endpoint.connect().await.unwrap()))
}

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let named = columns.into_iter().enumerate().map(|(n, column)| (n.to_string(), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

fn ids(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// The rows of a prepared query with these values, as text.
async fn rows(flight: &mut Flight, query: &mut PreparedStatement<Channel>, values: RecordBatch) -> Vec<String> {
    query.set_parameters(values).unwrap();
    let info = query.execute().await.unwrap();
    let announced = Arc::new(info.clone().try_decode_schema().unwrap());
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<RecordBatch> = flight.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    assert!(batches.iter().all(|batch| batch.schema() == announced));
    let text = pretty_format_batches(&batches).unwrap().to_string();
    text.lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.trim_matches(['|', ' ']).to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_bound_by_number_or_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &["--executors", "1"]);
    let client = Client::connect(&door).await.unwrap();
    for sql in [
        "CREATE SCHEMA raw",
        "CREATE TABLE raw.t (id BIGINT, name VARCHAR, at TIMESTAMP)",
        "INSERT INTO raw.t VALUES (1, 'one', TIMESTAMP '2026-02-14 00:00:00'), (2, 'two', NULL)",
    ] {
        client.update(sql, None).await.unwrap();
    }
    let mut flight = flight(&door).await;
    for sql in
        ["SELECT name FROM raw.t WHERE id = $1 AND name <> $2", "SELECT name FROM raw.t WHERE id = ? AND name <> ?"]
    {
        let mut query = flight.prepare(sql.to_string(), None).await.unwrap();
        let types: Vec<_> = query.parameter_schema().unwrap().fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(types, [DataType::Int64, DataType::Utf8], "{sql}");
        assert_eq!(query.dataset_schema().unwrap().field(0).name(), "name");
        for (id, name, expected) in [
            (Some(2), Some("x"), &["two"][..]),
            (Some(2), Some("two"), &[]),
            (None, Some("x"), &[]),
            (Some(1), None, &[]),
        ] {
            assert_eq!(rows(&mut flight, &mut query, batch(vec![ids(&[id]), texts(&[name])])).await, expected);
        }
        // What other statements commit is visible to the next execution.
        client.update("INSERT INTO raw.t VALUES (3, 'three', NULL)", None).await.unwrap();
        let three = batch(vec![ids(&[Some(3)]), texts(&[Some("x")])]);
        assert_eq!(rows(&mut flight, &mut query, three).await, ["three"]);
        client.update("DELETE FROM raw.t WHERE id = 3", None).await.unwrap();
        // Executed once for each row.
        let both = batch(vec![ids(&[Some(1), Some(2)]), texts(&[Some("x"), Some("y")])]);
        let mut found = rows(&mut flight, &mut query, both).await;
        found.sort();
        assert_eq!(found, ["one", "two"]);
        query.close().await.unwrap();
    }

    for (sql, expected) in [
        ("SELECT $1 + id FROM raw.t WHERE id = 1", "8"),
        ("SELECT id FROM raw.t ORDER BY id DESC LIMIT $1 - 6", "2"),
        ("SELECT count(*) FROM raw.t WHERE id IN ($1, 1)", "1"),
        ("SELECT max(id) FROM raw.t VERSION AS OF 'main' WHERE id < $1", "2"),
    ] {
        let mut query = flight.prepare(sql.to_string(), None).await.unwrap();
        assert_eq!(rows(&mut flight, &mut query, batch(vec![ids(&[Some(7)])])).await, [expected], "{sql}");
    }

    let mixed = flight.prepare("SELECT ?, $1".to_string(), None).await.unwrap_err().to_string();
    assert!(mixed.contains("either all `?` or all numbered"), "{mixed}");
    let mut query = flight.prepare("SELECT ? + ?".to_string(), None).await.unwrap();
    let none = query.execute().await.unwrap_err().to_string();
    assert!(none.contains("no values are bound"), "{none}");
    query.set_parameters(batch(vec![ids(&[Some(1)])])).unwrap();
    let few = query.execute().await.unwrap_err().to_string();
    assert!(few.contains("parameters up to $2, but 1 values are bound"), "{few}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_inserted_by_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &["--executors", "1"]);
    let client = Client::connect(&door).await.unwrap();
    for sql in ["CREATE SCHEMA raw", "CREATE TABLE raw.t (id BIGINT NOT NULL, name VARCHAR, price DECIMAL(9, 2))"] {
        client.update(sql, None).await.unwrap();
    }
    let mut flight = flight(&door).await;
    let mut insert = flight.prepare("INSERT INTO raw.t VALUES (?, ?, ?)".to_string(), None).await.unwrap();
    let types: Vec<_> = insert.parameter_schema().unwrap().fields().iter().map(|f| f.data_type().clone()).collect();
    assert_eq!(types, [DataType::Int64, DataType::Utf8, DataType::Decimal128(9, 2)]);
    assert!(insert.dataset_schema().unwrap().fields().is_empty());

    let n = 20_000;
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
    let names: ArrayRef = Arc::new((0..n).map(|n| (n % 2 == 0).then(|| n.to_string())).collect::<StringArray>());
    let prices: ArrayRef = Arc::new((0..n).map(|n| Some(format!("{n}.5"))).collect::<StringArray>());
    insert.set_parameters(batch(vec![numbers, names, prices])).unwrap();
    assert_eq!(insert.execute_update().await.unwrap(), n);
    let count = async |sql: &str| {
        let batches: Vec<RecordBatch> = client.query(sql).await.unwrap().try_collect().await.unwrap();
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    };
    assert_eq!(count("SELECT count(*) FROM raw.t").await, n);
    assert_eq!(count("SELECT count(name) FROM raw.t WHERE price = id + 0.50").await, n / 2);
    assert_eq!(count("SELECT count(*) FROM raw.\"t$snapshots\"").await, 1);

    // No rows are no execution, and a null in a required column is refused.
    insert.set_parameters(batch(vec![ids(&[]), texts(&[]), texts(&[])])).unwrap();
    assert_eq!(insert.execute_update().await.unwrap(), 0);
    insert.set_parameters(batch(vec![ids(&[None]), texts(&[None]), texts(&[None])])).unwrap();
    let error = insert.execute_update().await.unwrap_err().to_string();
    assert!(error.contains("id"), "{error}");
    assert_eq!(count("SELECT count(*) FROM raw.\"t$snapshots\"").await, 1);

    let mut delete = flight.prepare("DELETE FROM raw.t WHERE id = $1".to_string(), None).await.unwrap();
    delete.set_parameters(batch(vec![ids(&[Some(7)])])).unwrap();
    assert_eq!(delete.execute_update().await.unwrap(), 1);
    let mut update = flight.prepare("UPDATE raw.t SET name = $2 WHERE id = $1".to_string(), None).await.unwrap();
    update.set_parameters(batch(vec![ids(&[Some(8)]), texts(&[Some("eight")])])).unwrap();
    assert_eq!(update.execute_update().await.unwrap(), 1);
    assert_eq!(count("SELECT id FROM raw.t WHERE name = 'eight'").await, 8);
    update.set_parameters(batch(vec![ids(&[Some(8), Some(9)]), texts(&[None, None])])).unwrap();
    let error = update.execute_update().await.unwrap_err().to_string();
    assert!(error.contains("several rows of values"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_reads_the_tables_as_they_were_when_it_was_announced() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &["--executors", "1"]);
    let client = Client::connect(&door).await.unwrap();
    for sql in ["CREATE SCHEMA raw", "CREATE TABLE raw.t AS SELECT 1 AS id"] {
        client.update(sql, None).await.unwrap();
    }
    let mut flight = flight(&door).await;
    let info = flight.execute("SELECT count(*) FROM raw.t".to_string(), None).await.unwrap();
    client.update("INSERT INTO raw.t VALUES (2)", None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    // Planned once, so the first answer is of the announced plan; a plan is kept for one fetch.
    for expected in [1, 2] {
        let batches: Vec<RecordBatch> = flight.do_get(ticket.clone()).await.unwrap().try_collect().await.unwrap();
        let counted = batches[0].column(0).as_primitive::<Int64Type>();
        assert_eq!((counted.value(0), counted.len()), (expected, 1));
    }
}

/// The rows of a query of our own client, as text.
async fn texts_of(client: &Client, sql: &str) -> Vec<String> {
    let batches: Vec<RecordBatch> = client.query(sql).await.unwrap().try_collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(1);
    lines.map(|line| line.trim_matches(['|', ' ']).to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_for_the_later_statements_of_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &["--executors", "1", "--vcores", "2"]);
    let (client, other) = (Client::connect(&door).await.unwrap(), Client::connect(&door).await.unwrap());
    for sql in [
        "CREATE SCHEMA raw",
        "CREATE SCHEMA sales",
        "USE sales",
        "CREATE TABLE t AS SELECT 1 AS id",
        "INSERT INTO t VALUES (2), (3)",
        "DELETE FROM t WHERE id = 3",
        "ALTER TABLE t ADD COLUMN x INT",
        "CREATE VIEW v AS SELECT id FROM t",
    ] {
        client.update(sql, None).await.unwrap();
    }
    assert_eq!(texts_of(&client, "SELECT id FROM t ORDER BY id").await, ["1", "2"]);
    assert_eq!(texts_of(&client, "SELECT sum(id) FROM v JOIN t USING (id)").await, ["3"]);
    assert_eq!(texts_of(&client, "DESCRIBE t").await.len(), 2);
    let missing = other.query("SELECT id FROM t").await.unwrap_err();
    assert!(missing.to_string().contains("raw.t"), "{missing}");
    assert_eq!(texts_of(&other, "SELECT count(*) FROM sales.v").await, ["2"]);
    let wrong = client.update("USE sale", None).await.unwrap_err().to_string();
    assert_eq!(wrong, "namespace sale not found; did you mean sales?");

    let at = "SELECT CAST(CAST('2026-02-14 09:00:00' AS TIMESTAMP WITH TIME ZONE) AS TEXT) || '' FROM t LIMIT 1";
    assert_eq!(texts_of(&client, at).await, ["2026-02-14T09:00:00Z"]);
    client.update("SET TIME ZONE 'Asia/Seoul'", None).await.unwrap();
    let ran = "SELECT execution FROM system.queries WHERE statement LIKE 'SELECT CAST(CAST%' ORDER BY submitted_at DESC LIMIT 1";
    for (place, execution) in [("cluster", "whole"), ("local", "local"), ("auto", "local")] {
        client.update(&format!("SET bergmill.execution = {place}"), None).await.unwrap();
        assert_eq!(texts_of(&client, at).await, ["2026-02-14T09:00:00+09:00"], "{place}");
        assert_eq!(texts_of(&client, ran).await, [execution], "{place}");
    }
    let options = "SELECT options FROM system.sessions WHERE options <> ''";
    let expected = "bergmill.execution=auto, schema=sales, time_zone=Asia/Seoul";
    assert_eq!(texts_of(&other, options).await, [expected]);
    client.update("RESET schema", None).await.unwrap();
    assert!(client.query("SELECT id FROM t").await.is_err());
    let unknown = client.update("SET datafusion.execution.batch_size = 1", None).await.unwrap_err();
    assert!(unknown.to_string().contains("there is no option datafusion.execution.batch_size"), "{unknown}");

    // Without a token or a cookie there is nothing to which an option could belong.
    let mut flight = flight(&door).await;
    let none = flight.execute("USE sales".to_string(), None).await.unwrap_err().to_string();
    assert!(none.contains("this client has none"), "{none}");
    flight.handshake("anyone", "anything").await.unwrap();
    flight.execute("USE sales".to_string(), None).await.unwrap();
    assert!(flight.execute("SELECT id FROM t".to_string(), None).await.is_ok());
}
