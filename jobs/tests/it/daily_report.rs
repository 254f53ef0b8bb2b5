//! daily_report over the shop's sample log of fifteen rows, whose results are known.

use std::fs::File;
use std::path::Path;

use bergmill_jobs::{Pipeline, RunOptions, RunRecord, Silent, run, shipped_named, status};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::small_cluster::SmallCluster;

async fn cluster() -> SmallCluster {
    let cluster = SmallCluster::new().await;
    let csv = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ecommerce_logs.csv");
    let table = "CREATE EXTERNAL TABLE raw.ecommerce_logs STORED AS CSV LOCATION";
    cluster.sql(&format!("{table} '{csv}' OPTIONS ('format.has_header' 'true')")).await;
    cluster
}

fn pipeline() -> Pipeline {
    shipped_named("daily_report").unwrap_or_else(|error| panic!("{error}"))
}

async fn run_day(cluster: &SmallCluster, folder: &Path, date: &str) -> RunRecord {
    let options = RunOptions::new(folder.join("reports"), folder.join("exports"));
    let record = run(&pipeline(), date.parse().unwrap(), cluster, &options, &Silent).await.unwrap();
    let errors: Vec<String> = record.steps.iter().filter_map(|step| step.error.clone()).collect();
    assert!(record.succeeded(), "{errors:#?}");
    record
}

async fn check_truth(cluster: &SmallCluster) {
    let tables = [
        (
            "aggregated.category_stats ORDER BY total_events DESC, category",
            vec![
                "2026-02-14|electronics|6|3|299.99|1",
                "2026-02-14|clothing|4|2|99.98|1",
                "2026-02-14|books|3|1|59.97|1",
                "2026-02-14|home|2|1|0.00|0",
            ],
        ),
        ("aggregated.hourly_activity ORDER BY hour", vec!["2026-02-14|9|13|6", "2026-02-14|10|2|2"]),
        (
            "aggregated.funnel ORDER BY count DESC",
            vec!["2026-02-14|view|7", "2026-02-14|add_to_cart|5", "2026-02-14|purchase|3"],
        ),
        (
            "aggregated.user_behavior ORDER BY user_id",
            vec![
                "2026-02-14|101|3|1|299.99|1",
                "2026-02-14|102|3|1|99.98|1",
                "2026-02-14|103|3|1|59.97|1",
                "2026-02-14|104|2|1|0.00|1",
                "2026-02-14|105|2|1|0.00|1",
                "2026-02-14|106|1|1|0.00|1",
                "2026-02-14|107|1|1|0.00|1",
            ],
        ),
    ];
    for (table, expected) in tables {
        assert_eq!(cluster.lines(&format!("SELECT * FROM {table}")).await, expected, "{table}");
    }
}

const REPORT: &str = "\
E-COMMERCE DAILY REPORT - 2026-02-14
====================================

Category statistics
  Category     Events  Users  Revenue  Purchases
  -----------  ------  -----  -------  ---------
  electronics       6      3   299.99          1
  clothing          4      2    99.98          1
  books             3      1    59.97          1
  home              2      1     0.00          0

Hourly activity
  Hour  Events  Users
  ----  ------  -----
     9      13      6
    10       2      2

Funnel
  Event type   Count
  -----------  -----  ------------------------------
  view             7  ██████████████████████████████
  add_to_cart      5  █████████████████████▍
  purchase         3  ████████████▉

User behavior (top 5 by revenue)
  User  Events  Sessions   Spent  Categories
  ----  ------  --------  ------  ----------
  101        3         1  299.99           1
  102        3         1   99.98           1
  103        3         1   59.97           1
  104        2         1    0.00           1
  105        2         1    0.00           1

All users: 7, events 15, sessions 7, spent 459.94
";

#[tokio::test]
async fn fifteen_rows() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let record = run_day(&cluster, folder.path(), "2026-02-14").await;
        check_truth(&cluster).await;
        assert_eq!(record.reports[0].text, REPORT);
        let rows: Vec<u64> = record.steps.iter().map(|step| step.rows()).collect();
        assert_eq!(rows, [4, 2, 3, 7, 0]);
    }
    let report = folder.path().join("reports/daily_report/2026/02/14/report.txt");
    assert_eq!(std::fs::read_to_string(report).unwrap(), REPORT);
}

#[tokio::test]
async fn exports_are_parquet() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().unwrap();
    // A day without rows has files too, with a schema but no rows.
    for (date, expected) in [("2026-02-14", [4, 2, 3, 7]), ("2026-02-13", [0, 0, 0, 0])] {
        run_day(&cluster, folder.path(), date).await;
        let day = folder.path().join("exports").join(date.replace('-', "/"));
        for (name, rows) in ["category_stats", "hourly_activity", "funnel", "user_behavior"].iter().zip(expected) {
            let path = day.join(name).join(format!("{name}.parquet"));
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            assert_eq!(reader.schema().field(0).name(), "date");
            assert_eq!(reader.metadata().file_metadata().num_rows(), rows, "{name}");
        }
    }
    check_truth(&cluster).await;
}

#[tokio::test]
async fn status_reports_what_has_run() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().unwrap();
    let before = status(&pipeline(), &cluster).await.unwrap();
    assert_eq!(before.len(), 4);
    assert!(before.iter().all(|table| table.intervals.is_empty()));

    run_day(&cluster, folder.path(), "2026-02-14").await;
    run_day(&cluster, folder.path(), "2026-02-13").await;
    let last = run_day(&cluster, folder.path(), "2026-02-14").await;
    let after = status(&pipeline(), &cluster).await.unwrap();
    let funnel = after.iter().find(|table| table.table.table() == "funnel").unwrap();
    assert_eq!(funnel.step, "funnel");
    let intervals: Vec<String> = funnel.intervals.iter().map(|committed| committed.interval.to_string()).collect();
    assert_eq!(intervals, ["2026-02-13", "2026-02-14"]);
    let committed = &funnel.intervals[1];
    assert_eq!((committed.rows, committed.run_id.as_str()), (Some(3), last.run_id.as_str()));
    assert_eq!(committed.code_hash, funnel.intervals[0].code_hash);
    assert!(committed.duration.is_some());
}
