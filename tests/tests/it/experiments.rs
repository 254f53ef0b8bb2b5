//! `bergmill experiment`: measurements of real processes, their report, and the comparison of two runs.

use crate::process::run;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
    let lines = std::fs::read_to_string(folder.path().join("first/measurements.jsonl")).unwrap();
    let measured: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Both workloads on both sizes, and the query on plain DataFusion.
    assert_eq!(measured.len(), 6, "{lines}");
    assert_eq!(measured.iter().filter(|m| m["engine"] == "datafusion").count(), 2, "{lines}");
    for m in &measured {
        let number = |key: &str| m[key].as_f64().unwrap_or_else(|| panic!("{key} in {m}"));
        assert_eq!((number("input_rows"), m["repetition"].as_u64()), (20_000.0, Some(1)));
        assert!(number("wall_seconds") > 0.0 && number("result_rows") > 0.0, "{m}");
        let parts: f64 = m["breakdown"].as_object().unwrap().values().map(|part| part.as_f64().unwrap()).sum();
        // What the scheduler counts may exceed what the client waits for by the rounding of clocks.
        assert!((parts - number("wall_seconds")).abs() < 0.05 * number("wall_seconds") + 0.02, "{m}");
        let executors = if m["engine"] == "bergmill" { m["workers"].as_u64().unwrap() } else { 1 };
        assert_eq!(m["executor_cpu_seconds"].as_array().unwrap().len() as u64, executors);
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
fn sort_orders_are_measured_reported_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (first, data, config) = (out("first"), out("data"), out("experiment.toml"));
    let parts = "file-mib = 1\nrow-group-rows = 4096\npage-rows = 512\n";
    std::fs::write(&config, format!("[sort-order]\nevents = 60000\nrepeat = 9\n{parts}")).unwrap();
    let done =
        run(&["experiment", "sort-order", "--out", &first, "--config", &config, "--data", &data, "--repeat", "1"]);
    assert!(done.status.success(), "{}", text(&done.stderr));

    let lines = std::fs::read_to_string(folder.path().join("first/measurements.jsonl")).unwrap();
    let measured: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
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
