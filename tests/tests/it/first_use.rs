//! The first statements over an empty warehouse.

use bergmill_gateway::{Client, ErrorKind, IngestMode, IngestTarget};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

use crate::observed::Door;

async fn rows(client: &Client, sql: &str) -> usize {
    let batches: Vec<_> = client.query(sql).await.unwrap().try_collect().await.unwrap();
    batches.iter().map(arrow::array::RecordBatch::num_rows).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_a_namespace_needs_none_to_be_created() {
    let schema = bergmill_generator::events_schema();
    let ingest = async |door: &Door| {
        let target = IngestTarget { namespace: None, table: "t".into(), mode: IngestMode::Create, tag: None };
        let none = futures::stream::empty();
        let input = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), none));
        door.client.ingest(&target, input).await.unwrap();
    };
    for sql in ["CREATE TABLE t (a INT)", "CREATE TABLE t AS SELECT 1 AS a", "CREATE VIEW t AS SELECT 1 AS a", ""] {
        let door = Door::open().await;
        let e = door.client.query("SELECT * FROM t").await.unwrap_err();
        assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::NotFound, "table raw.t not found"));
        match sql {
            "" => ingest(&door).await,
            sql => drop(door.update(sql).await),
        }
        assert_eq!(rows(&door.client, "SHOW NAMESPACES").await, 1, "{sql}");
        rows(&door.client, "SELECT * FROM raw.t").await;
        // Creating it afterwards reports that it exists.
        let e = door.client.update("CREATE SCHEMA raw", None).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
        door.update("CREATE SCHEMA IF NOT EXISTS raw").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_namespaces_are_created_by_hand() {
    let door = Door::open().await;
    let e = door.client.update("CREATE TABLE rwa.t (a INT)", None).await.unwrap_err();
    assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::NotFound, "namespace rwa not found"));
    door.update("CREATE SCHEMA raw").await;
    door.update("DROP SCHEMA raw").await;
    assert_eq!(rows(&door.client, "SHOW NAMESPACES").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_first_writers_make_one_namespace() {
    let door = Door::open().await;
    let writers = (0..6).map(|n| {
        let client = door.client.clone();
        tokio::spawn(async move { client.update(&format!("CREATE TABLE t{n} (a INT)"), None).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(rows(&door.client, "SHOW TABLES IN raw").await, 6);
}
