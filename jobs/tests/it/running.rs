//! Runs: order, events, failures, audits before the commit, and errors before anything starts.

use std::path::Path;
use std::sync::Mutex;

use bergmill_jobs::{Event, JobError, Pipeline, RunOptions, RunRecord, Silent, StepState, run, shipped_named};

use crate::small_cluster::SmallCluster;

const DEFINITION: &str = "
name = \"small\"
description = \"two branches and what joins them\"
inputs = [\"raw.numbers\"]
[parameters]
least = 0
[[step]]
name = \"left\"
[[step.output]]
table = \"aggregated.left_side\"
sql = \"left.sql\"
columns = [\"date DATE\", \"n BIGINT\"]
[[step.audit]]
name = \"not_small\"
table = \"aggregated.left_side\"
expect = \"n >= {{ least }}\"
[[step]]
name = \"right\"
[[step.output]]
table = \"aggregated.right_side\"
sql = \"right.sql\"
columns = [\"date DATE\", \"n BIGINT\"]
[[step]]
name = \"joined\"
[[step.output]]
table = \"aggregated.joined\"
sql = \"joined.sql\"
columns = [\"date DATE\", \"n BIGINT\"]
[[step]]
name = \"last\"
after = [\"joined\"]
[step.report]
text = \"last.txt\"
queries.n = \"SELECT n FROM aggregated.joined WHERE date = {{ date }}\"
";

async fn setting() -> (SmallCluster, Pipeline, tempfile::TempDir) {
    let cluster = SmallCluster::new().await;
    cluster.sql("CREATE TABLE raw.numbers AS VALUES (1), (2), (3)").await;
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("pipeline.toml", DEFINITION),
        ("left.sql", "SELECT {{ date }} AS date, MIN(column1) AS n FROM raw.numbers"),
        ("right.sql", "SELECT {{ date }} AS date, MAX(column1) AS n FROM raw.numbers;\n"),
        (
            "joined.sql",
            "SELECT {{ date }} AS date, l.n + r.n AS n FROM aggregated.left_side l JOIN aggregated.right_side r USING (date)",
        ),
        ("last.txt", "{% for row in n %}{{ row.n }}{% endfor %}\n"),
    ];
    for (file, text) in files {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let pipeline = Pipeline::load(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    (cluster, pipeline, folder)
}

fn options(folder: &Path, parameters: &str) -> RunOptions {
    let mut options = RunOptions::new(folder.join("reports"), folder.join("exports"));
    options.parameters = parameters.parse().unwrap();
    options
}

async fn run_with(cluster: &SmallCluster, pipeline: &Pipeline, folder: &Path, parameters: &str) -> RunRecord {
    let interval = "2026-02-14".parse().unwrap();
    run(pipeline, interval, cluster, &options(folder, parameters), &Silent).await.unwrap()
}

fn states(record: &RunRecord) -> Vec<StepState> {
    record.steps.iter().map(|step| step.state).collect()
}

use StepState::{Done, Failed, Skipped};

#[tokio::test]
async fn a_folder_runs_and_reports_events() {
    let (cluster, pipeline, folder) = setting().await;
    let reported = Mutex::new(Vec::new());
    let progress = |event: Event| {
        let line = match event {
            Event::RunStarted { pipeline, steps, .. } => format!("{pipeline}: {}", steps.join(" ")),
            Event::StepStarted { step } => format!("start {step}"),
            Event::OutputWritten { table, rows, .. } => format!("wrote {rows} to {table}"),
            Event::FileWritten { path, .. } => format!("file {}", path.file_name().unwrap().display()),
            Event::StepFinished(step) => format!("{:?} {}", step.state, step.name),
        };
        reported.lock().unwrap().push(line);
    };
    let interval = "2026-02-14".parse().unwrap();
    let record = run(&pipeline, interval, &cluster, &options(folder.path(), ""), &progress).await.unwrap();
    assert_eq!(states(&record), [Done; 4]);
    assert_eq!(record.reports[0].text, "4");
    let reported = reported.into_inner().unwrap();
    assert_eq!(reported[..3], ["small: left right joined last", "start left", "start right"]);
    let end =
        ["start joined", "wrote 1 to aggregated.joined", "Done joined", "start last", "file report.txt", "Done last"];
    assert_eq!(reported[reported.len() - 6..], end);
}

#[tokio::test]
async fn a_failed_step_stops_only_what_depends_on_it() {
    let (cluster, pipeline, folder) = setting().await;
    cluster.break_on("OVERWRITE aggregated.left_side");
    let record = run_with(&cluster, &pipeline, folder.path(), "").await;
    assert_eq!(states(&record), [Failed, Done, Skipped, Skipped]);
    assert_eq!(record.steps[0].error.as_deref(), Some("write aggregated.left_side: no executor is alive"));
    assert_eq!(record.steps[2].error.as_deref(), Some("left failed"));
    assert_eq!(record.steps[3].error.as_deref(), Some("joined was skipped"));
    assert_eq!(cluster.lines("SELECT n FROM aggregated.right_side").await, ["3"]);
}

#[tokio::test]
async fn an_audit_keeps_bad_rows_from_readers() {
    let (cluster, pipeline, folder) = setting().await;
    assert!(run_with(&cluster, &pipeline, folder.path(), "").await.succeeded());
    cluster.sql("INSERT INTO raw.numbers VALUES (0)").await;
    let record = run_with(&cluster, &pipeline, folder.path(), "least = 1").await;
    assert_eq!(states(&record), [Failed, Done, Skipped, Skipped]);
    let error = record.steps[0].error.clone().unwrap();
    assert_eq!(error, "audit not_small: 1 rows for aggregated.left_side break n >= 1");
    assert_eq!(cluster.lines("SELECT n FROM aggregated.left_side").await, ["1"]);
}

#[tokio::test]
async fn nothing_starts_when_something_is_wrong() {
    let (cluster, pipeline, folder) = setting().await;
    let interval = "2026-02-14".parse().unwrap();
    let error = run(&pipeline, interval, &cluster, &options(folder.path(), "laest = 1"), &Silent).await.unwrap_err();
    assert_eq!(error.to_string(), "parameter laest: the pipeline has no such parameter");
    cluster.break_on("CREATE SCHEMA");
    let error = run(&pipeline, interval, &cluster, &options(folder.path(), ""), &Silent).await.unwrap_err();
    assert!(matches!(error, JobError::Query { .. }));
}

#[tokio::test]
async fn a_full_or_forbidden_disk_fails_the_step() {
    let (cluster, pipeline, folder) = setting().await;
    std::fs::write(folder.path().join("reports"), "a file where a folder should be").unwrap();
    let record = run_with(&cluster, &pipeline, folder.path(), "").await;
    assert_eq!(states(&record), [Done, Done, Done, Failed]);
    assert!(record.steps[3].error.clone().unwrap().contains("reports"));
}

#[test]
fn all_folders_of_a_folder() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");
    let loaded = Pipeline::load_all(Path::new(shipped)).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<&str> = loaded.iter().map(|pipeline| pipeline.name.as_str()).collect();
    assert_eq!(names, ["daily_analytics", "daily_report"]);
    // The embedded files are equal to those in the folder.
    for pipeline in &loaded {
        let interval = "2026-02-14".parse().unwrap();
        let now = chrono::DateTime::UNIX_EPOCH;
        let sql = |pipeline: &Pipeline| format!("{:?}", pipeline.render(interval, now, &toml::Table::new()).unwrap());
        assert_eq!(sql(pipeline), sql(&shipped_named(&pipeline.name).unwrap()));
    }
    let missing = Pipeline::load(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(matches!(missing, JobError::File { .. }));
}
