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
