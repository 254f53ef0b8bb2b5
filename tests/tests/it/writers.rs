//! Many concurrent writers of one table: acknowledged rows exist exactly once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bergmill_gateway::{Client, ErrorKind};
use futures::TryStreamExt;

use crate::warehouse::cluster;

const WRITERS: i64 = 4;
const APPENDS: i64 = 100;
/// The ids of each writer's rows start at a multiple of this.
const RANGE: i64 = 1_000;
/// The range of ids, relative to each writer's first, that the deleter deletes.
const DELETED: std::ops::Range<i64> = 30..60;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_and_deletes_at_once_lose_and_duplicate_nothing() {
    let cluster = cluster(&["--executors", "1", "--vcores", "2"], None).await;
    let (client, door) = (&cluster.client, &cluster.door);
    client.update("CREATE SCHEMA raw", None).await.unwrap();
    client.update("CREATE TABLE raw.t (id BIGINT NOT NULL, writer BIGINT)", None).await.unwrap();

    let appending = (0..WRITERS).map(|writer| {
        let door = door.clone();
        tokio::spawn(async move {
            let client = Client::connect(&door).await.unwrap();
            for n in 0..APPENDS {
                let id = writer * RANGE + n;
                // An append never conflicts: it succeeds, whatever the others do.
                let rows = client.update(&format!("INSERT INTO raw.t VALUES ({id}, {writer})"), None).await.unwrap();
                assert_eq!(rows, 1);
            }
        })
    });
    let appending: Vec<_> = appending.collect();
    let done = Arc::new(AtomicBool::new(false));
    let deleting = {
        let (door, done) = (door.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let client = Client::connect(&door).await.unwrap();
            let (mut deleted, mut conflicts) = (0, 0);
            loop {
                // The last round sees all appended rows.
                let last = done.load(Ordering::SeqCst);
                for writer in 0..WRITERS {
                    let (from, to) = (writer * RANGE + DELETED.start, writer * RANGE + DELETED.end);
                    match client.update(&format!("DELETE FROM raw.t WHERE id >= {from} AND id < {to}"), None).await {
                        Ok(rows) => deleted += rows,
                        Err(e) if e.kind() == ErrorKind::Conflict => conflicts += 1,
                        Err(e) => panic!("{e}"),
                    }
                }
                if last {
                    return (deleted, conflicts);
                }
            }
        })
    };
    for appending in appending {
        appending.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let (deleted, conflicts) = deleting.await.unwrap();

    let stays = |n: &i64| !DELETED.contains(n);
    let expected: Vec<i64> =
        (0..WRITERS).flat_map(|w| (0..APPENDS).filter(stays).map(move |n| w * RANGE + n)).collect();
    assert_eq!(numbers(client, "SELECT id FROM raw.t ORDER BY id").await, expected);
    assert_eq!(deleted, u64::try_from(WRITERS).unwrap() * DELETED.count() as u64, "each deleted row is counted once");
    let snapshots = numbers(client, "SELECT snapshot_id FROM raw.\"t$snapshots\"").await;
    assert_eq!(snapshots.len(), snapshots.iter().collect::<BTreeSet<_>>().len());
    let retries = "SELECT coalesce(sum(arrow_cast(regexp_match(summary, 'commit-retries\":\"(\\d+)')[1], 'Int64')), 0) \
                   FROM raw.\"t$snapshots\"";
    println!(
        "{} appends by {WRITERS} writers, {deleted} rows deleted: {conflicts} deletes conflicted, {} commit retries",
        WRITERS * APPENDS,
        numbers(client, retries).await[0]
    );
}

async fn numbers(client: &Client, sql: &str) -> Vec<i64> {
    let batches: Vec<RecordBatch> = client.query(sql).await.unwrap().try_collect().await.unwrap();
    batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}
