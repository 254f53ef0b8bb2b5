//! Tables whose files are missing, truncated, garbled, or of a future format: an error that names the file, and the
//! table does not change.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bergmill_gateway::{Answer, Client, Error, ErrorKind};
use bergmill_storage::{S3Config, S3Keys, Secret, StorageConfig, Stores};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use futures::TryStreamExt;

use crate::warehouse::cluster;

/// A file that every read of a table needs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Metadata,
    ManifestList,
    Manifest,
    Data,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Missing,
    Empty,
    CutOff,
    Garbled,
    OfTheFuture,
}

const PARTS: [Part; 4] = [Part::Metadata, Part::ManifestList, Part::Manifest, Part::Data];
const DAMAGES: [Damage; 5] = [Damage::Missing, Damage::Empty, Damage::CutOff, Damage::Garbled, Damage::OfTheFuture];

impl Damage {
    /// The damaged file; `None` if it is missing.
    fn of(self, part: Part, bytes: &[u8]) -> Option<Vec<u8>> {
        let replaced = |old: &[u8], new: &[u8]| {
            let at = bytes.windows(old.len()).rposition(|w| w == old).unwrap_or_else(|| panic!("{part:?}: {old:?}"));
            [&bytes[..at], new, &bytes[at + old.len()..]].concat()
        };
        match self {
            Self::Missing => None,
            Self::Empty => Some(Vec::new()),
            Self::CutOff => Some(bytes[..bytes.len() / 2].to_vec()),
            Self::Garbled => {
                // Except the end of a Parquet file, which locates its footer: parquet 59 panics on a footer before the
                // start of the file if it was compiled with overflow checks.
                let last = bytes.len() - 8;
                let garble = |(i, b): (usize, &u8)| if i % 7 == 3 && i < last { b ^ 0x5a } else { *b };
                Some(bytes.iter().enumerate().map(garble).collect())
            }
            Self::OfTheFuture => Some(match part {
                Part::Metadata => replaced(br#""format-version":2"#, br#""format-version":9"#),
                // Avro's own magic ends with the version of its container.
                Part::ManifestList | Part::Manifest => replaced(b"Obj\x01", b"Obj\x09"),
                // Parquet's magic at the end of a file.
                Part::Data => replaced(b"PAR1", b"PAR9"),
            }),
        }
    }
}

const APPEND: &str = "INSERT INTO raw.{} VALUES (7, 7)";

/// Statements on a table besides an append, which reads no manifest and no data file.
const STATEMENTS: [&str; 5] = [
    "SELECT sum(x) FROM raw.{}",
    "UPDATE raw.{} SET y = y + 1 WHERE x % 2 = 0",
    "DELETE FROM raw.{} WHERE x % 3 = 0",
    "MERGE INTO raw.{} t USING raw.well s ON t.x = s.x WHEN MATCHED THEN UPDATE SET y = 0",
    "INSERT OVERWRITE raw.{} SELECT x + 1, y FROM raw.{}",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_damage_is_reported_and_changes_nothing() {
    // Few bytes are read in the scheduler's process, many by the executors: both must report it.
    for more in [&[][..], &["--local-query-bytes", "0"]] {
        let cluster = cluster(more, None).await;
        let client = &cluster.client;
        client.update("CREATE SCHEMA raw", None).await.unwrap();
        let made = "AS SELECT value AS x, CAST(value AS DECIMAL(10, 2)) AS y FROM generate_series(1, 500)";
        client.update(&format!("CREATE TABLE raw.well {made}"), None).await.unwrap();
        // A server that has read none of the damaged files before.
        let (_process, reader) = cluster.another(more).await;
        for part in PARTS {
            for damage in DAMAGES {
                let name = format!("{part:?}_{damage:?}").to_lowercase();
                client.update(&format!("CREATE TABLE raw.{name} {made}"), None).await.unwrap();
                check(client, &reader, &name, part, damage).await;
            }
        }
        // One damaged table does not hide the others.
        assert_eq!(
            integer(&reader, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'raw'").await,
            21
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_a_statement_does_not_need_are_not_read() {
    let cluster = cluster(&[], None).await;
    let client = &cluster.client;
    client.update("CREATE SCHEMA raw", None).await.unwrap();
    client.update("CREATE TABLE raw.t (k TEXT, x BIGINT) PARTITIONED BY (k)", None).await.unwrap();
    for (k, rows) in [("a", "1, 2"), ("b", "3, 4"), ("c", "5, 6, 7")] {
        let sql = format!("INSERT INTO raw.t SELECT '{k}', x FROM unnest([{rows}]) AS v (x)");
        client.update(&sql, None).await.unwrap();
    }
    let sql = "SELECT path FROM raw.\"t$manifests\" WHERE partition_summaries[1]['lower_bound'] = 'b'";
    let batches: Vec<RecordBatch> = client.query(sql).await.unwrap().try_collect().await.unwrap();
    let path = ArrayFormatter::try_new(batches[0].column(0), &FormatOptions::new()).unwrap().value(0).to_string();
    let (store, location) = locate(&path);
    let sound = store.get(&location).await.unwrap().bytes().await.unwrap();
    store.delete(&location).await.unwrap();

    // A server that has read none of the manifests before.
    let (_process, reader) = cluster.another(&[]).await;
    assert_eq!(integer(&reader, "SELECT CAST(sum(x) AS BIGINT) FROM raw.t WHERE k = 'c'").await, 18);
    for (sql, changed) in [
        ("UPDATE raw.t SET x = x + 10 WHERE k = 'c' AND x > 5", 2),
        ("DELETE FROM raw.t WHERE k = 'c' AND x = 5", 1),
        ("DELETE FROM raw.t WHERE k = 'a'", 2),
    ] {
        assert_eq!(reader.update(sql, None).await.unwrap(), changed, "{sql}");
    }
    assert_eq!(execute(&reader, "SELECT * FROM raw.t").await.unwrap_err().kind(), ErrorKind::Corrupt);
    store.put(&location, PutPayload::from(sound)).await.unwrap();
    assert_eq!(integer(&reader, "SELECT CAST(sum(x) AS BIGINT) FROM raw.t").await, 3 + 4 + 16 + 17);
}

async fn check(client: &Client, reader: &Client, name: &str, part: Part, damage: Damage) {
    let what = format!("{name}: {damage:?} {part:?}");
    let (store, location) = locate(&newest(client, name, part).await);
    // .../<table>/metadata/<file>, .../<table>/data/<file>, .../<table>/data/<write>/<file>
    let folder = Path::from_iter(location.parts().take_while(|p| !["metadata", "data"].contains(&p.as_ref())));
    let sound = store.get(&location).await.unwrap().bytes().await.unwrap();
    match damage.of(part, &sound) {
        None => store.delete(&location).await.unwrap(),
        Some(bytes) => drop(store.put(&location, PutPayload::from(bytes)).await.unwrap()),
    }
    let before = listed(store.as_ref(), &folder).await;
    let reads_no_files = [Part::Metadata, Part::ManifestList].contains(&part).then_some(APPEND);
    for statement in STATEMENTS.into_iter().chain(reads_no_files) {
        let sql = statement.replace("{}", name);
        let e = execute(reader, &sql).await.expect_err(&format!("{what}: {sql}"));
        let message = e.to_string();
        assert!(message.contains(location.filename().unwrap()), "{what}: {sql}: {message}");
        let kinds = match damage {
            Damage::OfTheFuture => [ErrorKind::Unsupported, ErrorKind::Corrupt],
            _ => [ErrorKind::Corrupt; 2],
        };
        assert!(kinds.contains(&e.kind()), "{what}: {sql}: {:?} {message}", e.kind());
        assert_eq!(listed(store.as_ref(), &folder).await, before, "{what}: {sql} left files");
    }
    store.put(&location, PutPayload::from(sound)).await.unwrap();
    assert_eq!(integer(reader, &format!("SELECT CAST(sum(x + y) AS BIGINT) FROM raw.{name}")).await, 250_500, "{what}");
    execute(reader, &APPEND.replace("{}", name)).await.unwrap();
}

/// The location of the newest file of that part.
async fn newest(client: &Client, name: &str, part: Part) -> String {
    let sql = match part {
        Part::Metadata | Part::ManifestList => format!("SELECT manifest_list FROM raw.\"{name}$snapshots\""),
        Part::Manifest => format!("SELECT path FROM raw.\"{name}$manifests\""),
        Part::Data => format!("SELECT file_path FROM raw.\"{name}$files\""),
    };
    let batches: Vec<RecordBatch> = client.query(&sql).await.unwrap().try_collect().await.unwrap();
    let found = ArrayFormatter::try_new(batches[0].column(0), &FormatOptions::new()).unwrap().value(0).to_string();
    if part != Part::Metadata {
        return found;
    }
    let (folder, _) = found.rsplit_once('/').unwrap();
    let (store, path) = locate(folder);
    let files = listed(store.as_ref(), &path).await;
    // Their names start with a number.
    let newest = files.iter().filter_map(|f| f.filename()).filter(|f| f.ends_with(".metadata.json")).max().unwrap();
    format!("{folder}/{newest}")
}

/// The store of a location, and the path there.
fn locate(location: &str) -> (Arc<dyn ObjectStore>, Path) {
    let (scheme, rest) = location.split_once("://").unwrap();
    let (bucket, path) = rest.split_once('/').unwrap();
    let var = |name: &str| std::env::var(name).ok();
    let keys = var("AWS_ACCESS_KEY_ID").zip(var("AWS_SECRET_ACCESS_KEY")).map(|(id, secret)| S3Keys {
        id,
        secret: Secret::new(secret),
        session_token: None,
    });
    let s3 = S3Config { endpoint: var("AWS_ENDPOINT_URL"), region: var("AWS_REGION"), keys, ..S3Config::default() };
    let url = ObjectStoreUrl::parse(format!("{scheme}://{bucket}")).unwrap();
    (Stores::new(StorageConfig { s3 }).at(url.as_ref()).unwrap(), Path::parse(path).unwrap())
}

async fn listed(store: &dyn ObjectStore, folder: &Path) -> Vec<Path> {
    let mut all: Vec<Path> = store.list(Some(folder)).map_ok(|file| file.location).try_collect().await.unwrap();
    all.sort();
    all
}

async fn execute(client: &Client, sql: &str) -> Result<(), Error> {
    if let Answer::Rows(rows) = client.execute(sql, None).await? {
        rows.try_collect::<Vec<_>>().await?;
    }
    Ok(())
}

async fn integer(client: &Client, sql: &str) -> i64 {
    let batches: Vec<RecordBatch> = client.query(sql).await.unwrap().try_collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}
