//! `bergmill experiment`: measurements of real processes, their report, and the comparison of two runs.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::ipc::writer::FileWriter;

use crate::process::{run, serve};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The measurements in a folder.
fn measurements(folder: &Path) -> Vec<serde_json::Value> {
    let lines = std::fs::read_to_string(folder.join("measurements.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether the scheduler's record of the statements was found. Those that run in its process have no tasks.
fn scheduler_knows(measured: &serde_json::Value) -> bool {
    ["planning", "compute"].iter().any(|part| measured["breakdown"][part].as_f64().unwrap() > 0.0)
}

#[test]
fn workers_are_measured_reported_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (first, data, config) = (out("first"), out("data"), out("experiment.toml"));
    std::fs::write(&config, "[workers]\nevents = 20000\nrepeat = 9\nworkloads = ['join', 'data-quality']\n").unwrap();
    let arguments = ["--config", &config, "--data", &data, "--workers", "1,2", "--repeat", "1"];
    let experiment = |out: &str| run(&[&["experiment", "workers", "--out", out], arguments.as_slice()].concat());

    let done = experiment(&first);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let measured = measurements(&folder.path().join("first"));
    // Both workloads on both sizes, and the query on plain DataFusion.
    assert_eq!(measured.len(), 6, "{measured:?}");
    assert_eq!(measured.iter().filter(|m| m["engine"] == "datafusion").count(), 2, "{measured:?}");
    for m in &measured {
        let number = |key: &str| m[key].as_f64().unwrap_or_else(|| panic!("{key} in {m}"));
        assert_eq!((number("input_rows"), m["repetition"].as_u64()), (20_000.0, Some(1)));
        assert!(number("wall_seconds") > 0.0 && number("result_rows") > 0.0, "{m}");
        let parts: f64 = m["breakdown"].as_object().unwrap().values().map(|part| part.as_f64().unwrap()).sum();
        // What the scheduler counts may exceed what the client waits for by the rounding of clocks.
        assert!((parts - number("wall_seconds")).abs() < 0.05 * number("wall_seconds") + 0.02, "{m}");
        let executors = if m["engine"] == "bergmill" { m["workers"].as_u64().unwrap() } else { 1 };
        assert_eq!(m["executor_cpu_seconds"].as_array().unwrap().len() as u64, executors);
        assert!(scheduler_knows(m), "{m}");
    }
    let hashes = |workload: &str| -> Vec<&str> {
        let of = measured.iter().filter(|m| m["workload"] == workload);
        of.map(|m| m["result_hash"].as_str().unwrap()).collect()
    };
    assert_eq!(hashes("join"), [hashes("join")[0]; 4]);
    assert!(hashes("data-quality")[0] == hashes("data-quality")[1] && hashes("data-quality")[0] != hashes("join")[0]);
    let report = std::fs::read_to_string(folder.path().join("first/report.md")).unwrap();
    assert!(report.contains("## data-quality") && text(&done.stdout).contains("## join"), "{report}");
    assert!(std::fs::read_to_string(folder.path().join("first/join-time.svg")).unwrap().starts_with("<svg"));

    let again = experiment(&first);
    assert!(!again.status.success() && text(&again.stderr).contains("--out"), "{}", text(&again.stderr));
    let compared = run(&["experiment", "--compare", &first, &first]);
    assert!(text(&compared.stdout).contains("| join | 2 |"), "{}", text(&compared.stdout));
    assert!(text(&compared.stdout).contains("cannot tell"), "{}", text(&compared.stdout));
    let unknown = run(&["experiment", "workers", "--out", &out("second"), "--data", &data, "--workloads", "cubes"]);
    assert!(text(&unknown.stderr).contains("no workload cubes"), "{}", text(&unknown.stderr));
    let none = run(&["experiment", "--compare", &first, &out("nothing")]);
    assert!(!none.status.success() && text(&none.stderr).contains("measurements.jsonl"), "{}", text(&none.stderr));
}

#[test]
fn weak_scaling_gives_each_worker_the_same_work_and_a_running_cluster_is_measured_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let settings =
        "scaling = 'weak'\nworkers = [1, 2]\nevents = 8000\nrepeat = 1\nworkloads = ['join', 'data-quality']\n";
    std::fs::write(folder.path().join("weak.toml"), format!("[workers]\n{settings}")).unwrap();
    let (config, data) = (path("weak.toml"), path("data"));
    let done = run(&["experiment", "workers", "--config", &config, "--out", &path("weak"), "--data", &data]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let measured = measurements(&folder.path().join("weak"));
    assert_eq!(measured.len(), 6, "{measured:?}");
    for m in &measured {
        assert_eq!(
            (m["scaling"].as_str(), m["input_rows"].as_u64()),
            (Some("weak"), m["workers"].as_u64().map(|n| n * 8000))
        );
    }
    let hash = |engine: &str, workers: u64| {
        let of = |m: &&serde_json::Value| m["engine"] == engine && m["workers"] == workers && m["workload"] == "join";
        measured.iter().find(of).unwrap()["result_hash"].clone()
    };
    assert_eq!((hash("bergmill", 1), hash("bergmill", 2)), (hash("datafusion", 1), hash("datafusion", 2)));
    assert_ne!(hash("bergmill", 1), hash("bergmill", 2));
    assert!(text(&done.stdout).contains("8000 events for each worker"), "{}", text(&done.stdout));
    assert!(folder.path().join("weak/efficiency.svg").exists());

    let (_cluster, door) = serve(&folder.path().join("data/2-workers"), &["--executors", "2", "--vcores", "1"]);
    let connect =
        |more: &[&str]| run(&[&["experiment", "workers", "--connect", &door, "--repeat", "1"], more].concat());
    let done = connect(&["--out", &path("running"), "--workloads", "join,data-quality"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let measured = measurements(&folder.path().join("running"));
    assert_eq!(measured.len(), 2, "{measured:?}");
    for m in &measured {
        assert_eq!((m["workers"].as_u64(), m["input_rows"].as_u64()), (Some(2), Some(16_000)), "{m}");
        assert!(m["scheduler_cpu_seconds"].is_null() && m["peak_rss"].as_array().unwrap().is_empty(), "{m}");
        assert!(scheduler_knows(m) && m["other_cores"].is_null(), "{m}");
    }
    assert_eq!(measured[0]["result_hash"], hash("bergmill", 2));
    assert!(text(&done.stdout).contains("2 executors with 2 vcores"), "{}", text(&done.stdout));
    let chosen = connect(&["--out", &path("chosen"), "--workers", "4"]);
    assert!(text(&chosen.stderr).contains("numbers of workers cannot be chosen"), "{}", text(&chosen.stderr));
}

/// Another engine: it has the same rows for each query.
const ENGINE: &str = r#"#!/bin/sh
[ "$2" = spark ] && echo 'answer {"failed":"no Java"}' && exit
echo 'answer {"ready":{"version":"1.2.3"}}'
while read -r query; do
    cp "$ROWS" "$(echo "$query" | sed 's/.*"result":"\([^"]*\)".*/\1/')"
    echo 'answer {"ran":{"seconds":0.5}}'
done
"#;

#[test]
fn peers_are_measured_where_they_are_installed_and_have_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let demo = run(&["demo", "--events", "5000", "--reviews", "100", "--data", &path("data")]);
    assert!(demo.status.success(), "{}", text(&demo.stderr));
    std::fs::write(path("events.sql"), "SELECT count(*) AS events FROM shopping_events LIMIT 1;").unwrap();
    std::fs::write(path("reviews.sql"), "SELECT count(*) AS reviews FROM reviews").unwrap();
    let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![5000])) as _)]).unwrap();
    let mut file = FileWriter::try_new(std::fs::File::create(path("rows.arrow")).unwrap(), &rows.schema()).unwrap();
    file.write(&rows).unwrap();
    file.finish().unwrap();
    std::fs::write(path("python"), ENGINE.replace("$ROWS", &path("rows.arrow"))).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path("python"), executable).unwrap();

    let peers = |out: &str, more: &[&str]| {
        let (out, data, python) = (path(out), path("data"), path("python"));
        let common = ["experiment", "peers", "--out", &out, "--data", &data, "--python", &python, "--repeat", "2"];
        run(&[&common, more].concat())
    };
    let engines = "bergmill-staged,datafusion,duckdb,spark";
    let queries = [path("events.sql"), path("reviews.sql")];
    let done = peers("first", &["--engines", engines, "--cores", "2", "--queries", &queries[0], &queries[1]]);
    // The engine has other rows for one of the queries.
    assert!(!done.status.success() && text(&done.stderr).contains("1 results differ"), "{}", text(&done.stderr));
    let measured = measurements(&folder.path().join("first"));
    let count = |engine: &str, query: &str| {
        measured.iter().filter(|m| m["engine"] == engine && m["query"] == query && m["result_rows"] == 1).count()
    };
    for engine in ["bergmill", "bergmill-staged", "datafusion"] {
        assert_eq!((count(engine, "events"), count(engine, "reviews")), (2, 2), "{engine}");
    }
    assert_eq!((count("duckdb", "events"), count("duckdb", "reviews"), count("spark", "events")), (2, 0, 0));
    for m in &measured {
        assert!(m["wall_seconds"].as_f64().unwrap() > 0.0 && m["peak_rss"].as_u64().unwrap() > 0, "{m}");
    }
    let report = std::fs::read_to_string(folder.path().join("first/report.md")).unwrap();
    assert!(report.contains("| duckdb | 1.2.3 | 1 |") && report.contains("| reviews | 1 |"), "{report}");
    assert!(report.contains("- spark: no Java. If packages are missing"), "{report}");
    assert!(report.contains("- duckdb, reviews: other rows than Bergmill"), "{report}");
    assert!(std::fs::read_to_string(folder.path().join("first/relative.svg")).unwrap().starts_with("<svg"));
    let compared = run(&["experiment", "--compare", &path("first"), &path("first")]);
    assert!(text(&compared.stdout).contains("| events | duckdb |"), "{}", text(&compared.stdout));

    let other_shop = peers("second", &[]);
    assert!(text(&other_shop.stderr).contains("a shop in June 2024"), "{}", text(&other_shop.stderr));
    let unknown = peers("third", &["--engines", "oracle"]);
    assert!(text(&unknown.stderr).contains("no engine oracle"), "{}", text(&unknown.stderr));
}

#[test]
fn sort_orders_are_measured_reported_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (first, data, config) = (out("first"), out("data"), out("experiment.toml"));
    let parts = "file-mib = 1\nrow-group-rows = 4096\npage-rows = 512\n";
    std::fs::write(&config, format!("[sort-order]\nevents = 60000\nrepeat = 9\n{parts}")).unwrap();
    let done =
        run(&["experiment", "sort-order", "--out", &first, "--config", &config, "--data", &data, "--repeat", "1"]);
    assert!(done.status.success(), "{}", text(&done.stderr));

    let measured = measurements(&folder.path().join("first"));
    let lines = format!("{measured:?}");
    assert_eq!(measured.len(), 4 * 4, "{lines}");
    let of = |query: &str, layout: &str| {
        let found = measured.iter().find(|m| m["query"] == query && m["layout"] == layout);
        found.unwrap_or_else(|| panic!("no {query} of {layout}: {lines}"))
    };
    let number = |m: &serde_json::Value, key: &str| m[key].as_f64().unwrap_or_else(|| panic!("{key} in {m}"));
    for m in &measured {
        let table = &m["table"];
        assert!(table["rows"] == 60_000 && number(table, "files") > 1.0 && number(table, "row_groups") > 10.0, "{m}");
        assert!(number(m, "wall_seconds") > 0.0 && number(m, "scanned_bytes") > 0.0, "{m}");
        assert!(number(m, "scanned_bytes") <= number(table, "bytes"), "{m}");
        assert_eq!(m["result_hash"], of(m["query"].as_str().unwrap(), "unsorted")["result_hash"]);
        if m["query"] == "all events" {
            assert_eq!((number(m, "row_groups_pruned"), number(m, "row_groups")), (0.0, number(table, "row_groups")));
        }
    }
    let bytes = |query: &str, layout: &str| number(of(query, layout), "scanned_bytes");
    let product = |layout: &str| bytes("one product", layout);
    assert!(product("product_id") * 10.0 < product("unsorted"), "{lines}");
    assert!(product("z-order") * 2.0 < product("unsorted"), "{lines}");
    assert!(bytes("one hour", "timestamp") * 5.0 < bytes("one hour", "unsorted"), "{lines}");
    assert!(bytes("one hour", "z-order") * 2.0 < bytes("one hour", "unsorted"), "{lines}");
    let both = "one product in one hour";
    assert!(bytes(both, "z-order") < bytes("one hour", "z-order").min(product("z-order")), "{lines}");
    // The rows of one file are not in another, because the rows of each table were written in its order.
    let by_product = of("one product", "product_id");
    assert_eq!(number(by_product, "files_pruned") + 1.0, number(&by_product["table"], "files"), "{by_product}");
    assert!(
        number(by_product, "row_groups_pruned") > 0.0 && number(by_product, "page_rows_pruned") > 0.0,
        "{by_product}"
    );
    assert_eq!(number(of("one product", "unsorted"), "files_pruned"), 0.0);

    let report = std::fs::read_to_string(folder.path().join("first/report.md")).unwrap();
    assert!(report.contains("## one product\n") && text(&done.stdout).contains("| z-order |"), "{report}");
    for plot in ["bytes-read.svg", "time.svg"] {
        assert!(std::fs::read_to_string(folder.path().join("first").join(plot)).unwrap().starts_with("<svg"));
    }
    let compared = run(&["experiment", "--compare", &first, &first]);
    assert!(text(&compared.stdout).contains("| one product | product_id |"), "{}", text(&compared.stdout));
}
