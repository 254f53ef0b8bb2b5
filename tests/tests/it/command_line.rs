//! What a user types and reads: exit codes, output formats, errors that say what to do.

use crate::process::{Process, run, serve};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `bergmill sql` over a front door and returns exit success, standard output, standard error.
fn sql(door: &str, arguments: &[&str]) -> (bool, String, String) {
    let mut all = vec!["sql", "--connect", door];
    all.extend(arguments);
    let out = run(&all);
    (out.status.success(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn rows_come_in_each_format() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &[]);
    let ask = |format: &str| sql(&door, &["--format", format, "-e", "SELECT 1 AS n, '배송' AS word, NULL AS nothing"]);
    assert_eq!(ask("csv"), (true, "n,word,nothing\n1,배송,\n".into(), String::new()));
    assert_eq!(ask("json"), (true, "[{\"n\":1,\"word\":\"배송\",\"nothing\":null}]\n".into(), String::new()));
    assert_eq!(ask("ndjson"), (true, "{\"n\":1,\"word\":\"배송\",\"nothing\":null}\n".into(), String::new()));
    let markdown = "| n | word | nothing |\n| ---: | --- | --- |\n| 1 | 배송 | NULL |\n";
    assert_eq!(ask("markdown"), (true, markdown.into(), String::new()));
    assert_eq!(
        ask("vertical"),
        (true, "-[ 1 ]---\nn       | 1\nword    | 배송\nnothing | NULL\n".into(), String::new())
    );
    let (ok, table, _) = ask("table");
    assert!(ok && table.contains("| n | word") && table.contains("NULL"), "{table}");
}

#[test]
fn rows_come_as_files_that_arrow_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &[]);
    let statement = "SELECT value AS n, 'x' AS word FROM generate_series(1, 20000)";
    let ask = |format: &str| {
        let out = run(&["sql", "--connect", &door, "--format", format, "-e", statement]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        out.stdout
    };
    let stream = ask("arrow");
    let read = arrow::ipc::reader::StreamReader::try_new(&stream[..], None).unwrap();
    assert_eq!(read.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 20_000);
    let parquet = folder.path().join("rows.parquet");
    std::fs::write(&parquet, ask("parquet")).unwrap();
    let loaded = run(&["load", "--into", "raw.rows", "--connect", &door, parquet.to_str().unwrap()]);
    assert!(loaded.status.success(), "{}", text(&loaded.stderr));
    let (_, sum, _) = sql(&door, &["--format", "csv", "-e", "SELECT sum(n) AS s, count(*) AS c FROM raw.rows"]);
    assert_eq!(sum, "s,c\n200010000,20000\n");
}

#[test]
fn a_mistake_is_shown_in_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &[]);
    let (ok, _, err) = sql(&door, &["-e", "SELECT 1 AS a\nFROM (VALUES (1)) AS t WHER a > 1"]);
    assert!(!ok && err.contains("FROM (VALUES (1)) AS t WHER a > 1\n                       ^\n"), "{err}");
}

#[test]
fn wrong_input_is_an_error_that_says_what_was_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &[]);
    let run_all = |statements: &str| sql(&door, &["-e", statements]);
    assert!(run_all("CREATE SCHEMA raw; CREATE TABLE raw.events (id BIGINT, kind TEXT)").0);
    let check = |statement: &str, expected: &str| {
        let (ok, _, err) = run_all(statement);
        assert!(!ok && err.contains(expected), "{statement}: {err}");
    };
    check("SELECT * FROM raw.evnts", "table raw.evnts not found; did you mean raw.events?");
    check("SELECT * FROM rwa.events", "namespace rwa not found; did you mean raw?");
    check("SELECT knd FROM raw.events", "Did you mean 'raw.events.kind'");
    check("SELEC 1", "SQL");
    check("CREATE TABLE raw.events (id BIGINT)", "table raw.events already exists");
    check("CREATE TABLE raw.x (id BIGINT) PARTITIONED BY (day(ts))", "column ts not found; there are id");
    check("INSERT INTO raw.events VALUES (1)", "got 1 values in row 0 but expected 2");
    check("SELECT * FROM raw.\"events$nonsense\"", "there are events$snapshots, events$history");
    let out = run(&["job", "run", "daily_report", "--date", "2026-13-45", "--connect", &door]);
    assert!(!out.status.success() && text(&out.stderr).contains("is not a date like 2026-02-14"));
    let out = run(&["job", "run", "daily_repot", "--date", "2026-02-14", "--connect", &door]);
    assert!(!out.status.success() && text(&out.stderr).contains("pipeline daily_repot not found"));
}

#[test]
fn a_taken_port_and_an_unreachable_door_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, door) = serve(folder.path(), &[]);
    let out = run(&["serve", "--data", folder.path().to_str().unwrap(), "--listen", &door]);
    assert!(
        !out.status.success() && text(&out.stderr).contains(&format!("cannot listen on {door}")),
        "{}",
        text(&out.stderr)
    );
    let out = run(&["serve", "--data", folder.path().to_str().unwrap(), "--listen", "0.0.0.0:0"]);
    assert!(!out.status.success() && text(&out.stderr).contains("serve listens on 127.0.0.1"), "{}", text(&out.stderr));
    let out = run(&["sql", "--connect", "127.0.0.1:1", "-e", "SELECT 1"]);
    assert!(
        !out.status.success() && text(&out.stderr).contains("cannot connect to 127.0.0.1:1"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn a_cluster_stops_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _door) = serve(folder.path(), &[]);
    assert!(server.terminate());
}

#[test]
fn damaged_metadata_is_named_and_other_tables_are_unharmed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (server, door) = serve(folder.path(), &[]);
    let made =
        "CREATE SCHEMA raw; CREATE TABLE raw.a (x INT); CREATE TABLE raw.b (x INT); INSERT INTO raw.b VALUES (7)";
    assert!(sql(&door, &["-e", made]).0);
    drop::<Process>(server);
    let metadata = folder.path().join("warehouse/raw/a/metadata");
    for file in std::fs::read_dir(metadata).unwrap() {
        std::fs::write(file.unwrap().path(), "{").unwrap();
    }
    let out = run(&["sql", "--data", data, "-e", "SELECT * FROM raw.a"]);
    assert!(!out.status.success() && text(&out.stderr).contains("metadata file"), "{}", text(&out.stderr));
    let out = run(&["sql", "--data", data, "--format", "csv", "-e", "SELECT * FROM raw.b"]);
    assert_eq!(text(&out.stdout), "x\n7\n");
}
