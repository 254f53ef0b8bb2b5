//! External failures: a full disk, a damaged file, a killed process, a concurrent writer. Tables stay consistent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bergmill_gateway::{Client, ErrorKind};
use futures::TryStreamExt;

use crate::process::{binary, run, serve};

/// Rows of each INSERT.
const ROWS: i64 = 2_000;

async fn count(client: &Client, table: &str) -> i64 {
    // Not `count(*)`, which would not read the files.
    let sql = format!("SELECT count(x + 0) FROM {table}");
    let batches: Vec<RecordBatch> = client.query(&sql).await.unwrap().try_collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

fn insert(table: &str) -> String {
    format!("INSERT INTO {table} SELECT value AS x FROM generate_series(1, {ROWS})")
}

fn data_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        match entry.is_dir() {
            true => found.extend(data_files(&entry)),
            false if entry.extension().is_some_and(|e| e == "parquet") => found.push(entry),
            false => {}
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_killed_at_any_moment_leaves_complete_commits() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    {
        let (_server, door) = serve(folder.path(), &[]);
        let client = Client::connect(&door).await.unwrap();
        client.update("CREATE SCHEMA raw", None).await.unwrap();
        client.update("CREATE TABLE raw.t (x BIGINT)", None).await.unwrap();
    }
    for milliseconds in [40, 90, 130, 210, 340] {
        let (mut server, door) = serve(folder.path(), &[]);
        let client = Client::connect(&door).await.unwrap();
        let before = count(&client, "raw.t").await;
        assert_eq!(before % ROWS, 0, "a commit is visible completely or not at all");
        let at_most_one_more = before - acknowledged * ROWS;
        assert!(at_most_one_more == 0 || at_most_one_more == ROWS, "{before} rows, {acknowledged} acknowledged");
        acknowledged = before / ROWS;

        let writing = tokio::spawn(async move {
            let mut done = 0;
            while client.update(&insert("raw.t"), None).await.is_ok() {
                done += 1;
            }
            done
        });
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        server.kill();
        acknowledged += writing.await.unwrap();
    }
    let (_server, door) = serve(folder.path(), &[]);
    let client = Client::connect(&door).await.unwrap();
    let rows = count(&client, "raw.t").await;
    assert!(
        rows == acknowledged * ROWS || rows == (acknowledged + 1) * ROWS,
        "{rows} rows, {acknowledged} acknowledged"
    );
    // And the next writer is not blocked.
    client.update(&insert("raw.t"), None).await.unwrap();
    assert_eq!(count(&client, "raw.t").await, rows + ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_write_to_one_table_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_one, first) = serve(folder.path(), &[]);
    let (_other, second) = serve(folder.path(), &[]);
    let clients = [Client::connect(&first).await.unwrap(), Client::connect(&second).await.unwrap()];
    clients[0].update("CREATE SCHEMA raw", None).await.unwrap();
    clients[0].update("CREATE TABLE raw.t (x BIGINT)", None).await.unwrap();
    let writers = clients.clone().map(|client| {
        tokio::spawn(async move {
            for _ in 0..10 {
                client.update(&insert("raw.t"), None).await.unwrap();
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    for client in &clients {
        assert_eq!(count(client, "raw.t").await, 20 * ROWS);
    }

    // Replacing rows that another writer has just replaced is a conflict, and the table is one writer's or the other's.
    clients[0].update("CREATE TABLE raw.r (x BIGINT)", None).await.unwrap();
    let replacers = clients.clone().map(|client| {
        tokio::spawn(async move {
            let mut conflicts = 0;
            for _ in 0..10 {
                let replace = insert("raw.r").replace("INTO", "OVERWRITE");
                match client.update(&replace, None).await {
                    Ok(rows) => assert_eq!(rows, ROWS as u64),
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Conflict, "{e}");
                        conflicts += 1;
                    }
                }
            }
            conflicts
        })
    });
    let mut conflicts = 0;
    for replacer in replacers {
        conflicts += replacer.await.unwrap();
    }
    assert!(conflicts < 20, "one writer wins");
    assert_eq!(count(&clients[0], "raw.r").await, ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_data_file_is_an_error_and_other_tables_are_unharmed() {
    let folder = tempfile::tempdir().unwrap();
    // Few bytes are read in the scheduler's process, many by the executors: both must report it.
    for more in [&[][..], &["--local-query-bytes", "0"]] {
        let (_server, door) = serve(folder.path(), more);
        let client = Client::connect(&door).await.unwrap();
        client.update("CREATE SCHEMA IF NOT EXISTS raw", None).await.unwrap();
        for table in ["a", "b"] {
            client.update(&format!("CREATE TABLE raw.{table} (x BIGINT)"), None).await.unwrap();
            client.update(&insert(&format!("raw.{table}")), None).await.unwrap();
        }
        let [file] = &data_files(&folder.path().join("warehouse/raw/a"))[..] else { panic!("one data file") };
        let bytes = std::fs::read(file).unwrap();
        let half = &bytes[..bytes.len() / 2];
        let garbled: Vec<u8> =
            bytes.iter().enumerate().map(|(i, b)| if i > 4 && i < 400 { b ^ 0x5a } else { *b }).collect();
        for damaged in [&[][..], half, &garbled] {
            std::fs::write(file, damaged).unwrap();
            // A server that has not read the file before.
            let (_fresh, door) = serve(folder.path(), more);
            let client = Client::connect(&door).await.unwrap();
            let read =
                async { client.query("SELECT sum(x) FROM raw.a").await?.try_collect::<Vec<RecordBatch>>().await };
            let e = read.await.unwrap_err();
            assert!(!e.to_string().is_empty());
            assert_eq!(count(&client, "raw.b").await, ROWS);
        }
        std::fs::remove_file(file).unwrap();
        let read = async { client.query("SELECT sum(x) FROM raw.a").await?.try_collect::<Vec<RecordBatch>>().await };
        let e = read.await.unwrap_err().to_string();
        assert!(e.contains(file.file_name().unwrap().to_str().unwrap()), "{e}");
        for table in ["a", "b"] {
            client.update(&format!("DROP TABLE raw.{table}"), None).await.unwrap();
        }
        std::fs::remove_dir_all(folder.path().join("warehouse")).unwrap();
    }
}

#[test]
fn a_damaged_parquet_file_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let bad = folder.path().join("bad.parquet");
    std::fs::write(&bad, b"PAR1 this is no Parquet file PAR1").unwrap();
    let (data, bad) = (data.to_str().unwrap(), bad.to_str().unwrap());
    assert!(run(&["sql", "--data", data, "-e", "CREATE SCHEMA raw"]).status.success());
    let out = run(&["load", "--data", data, bad, "--into", "raw.t"]);
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && err.contains("bad.parquet"), "{err}");
    let out = run(&["load", "--data", data, "/no/such/file.csv", "--into", "raw.t"]);
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && err.contains("/no/such/file.csv"), "{err}");
    let out = run(&["sql", "--data", data, "-e", "SELECT * FROM raw.t"]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("table raw.t not found"));
}

/// Uses a file system of six megabytes in its own mount namespace. If the system does not allow one, the test reports
/// that it was skipped.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_the_table_is_unchanged() {
    use std::fmt::Write as _;

    let folder = tempfile::tempdir().unwrap();
    let in_namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command.env("DISK", folder.path().join("disk")).env("BERGMILL", binary()).env("FILES", folder.path());
        command.stdin(Stdio::null()).output()
    };
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    let mount = "mount -t tmpfs -o size=6m tmpfs \"$DISK\"";
    if !in_namespace(mount).is_ok_and(|out| out.status.success()) {
        eprintln!("SKIPPED: this system allows no mount namespace, so there is no small disk to fill");
        return;
    }
    let mut small = String::from("id,word\n");
    (0..100).for_each(|i| writeln!(small, "{i},word").unwrap());
    // Words that do not compress: about 20 MB.
    let (mut large, mut state) = (String::from("id,word\n"), 42u64);
    for i in 0..300_000 {
        write!(large, "{i},").unwrap();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            write!(large, "{state:016x}").unwrap();
        }
        large.push('\n');
    }
    std::fs::write(folder.path().join("small.csv"), small).unwrap();
    std::fs::write(folder.path().join("large.csv"), large).unwrap();
    let script = format!(
        "{mount} || exit 99
         \"$BERGMILL\" sql --data \"$DISK\" -e 'CREATE SCHEMA raw' || exit 98
         \"$BERGMILL\" load --data \"$DISK\" \"$FILES/small.csv\" --into raw.t || exit 97
         \"$BERGMILL\" load --data \"$DISK\" \"$FILES/large.csv\" --into raw.t && exit 96
         \"$BERGMILL\" sql --data \"$DISK\" --format csv -e 'SELECT count(id) AS n, max(id) AS last FROM raw.t' || exit 95
         find \"$DISK\" -name '*.parquet' | wc -l"
    );
    let out = in_namespace(&script).unwrap();
    let (output, err) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{:?}\n{output}\n{err}", out.status);
    assert!(err.contains("No space left on device"), "{err}");
    assert!(output.contains("n,last\n100,99\n"), "{output}");
    assert_eq!(output.lines().last().map(str::trim), Some("1"), "the files of the load that failed are gone: {output}");
}
