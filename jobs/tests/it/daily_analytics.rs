//! daily_analytics over the small shop: the rows of every table, reruns, and the effect of dirty events.

use std::path::Path;

use bergmill_jobs::{Pipeline, RunOptions, RunRecord, Silent, StepState, run, shipped_named};
use chrono::DateTime;

use crate::shop::{Event, REVIEWS, events, fill_events, fill_reviews};
use crate::small_cluster::SmallCluster;

const TABLES: [&str; 10] = [
    "processed.purchases",
    "aggregated.data_quality",
    "aggregated.daily_sales",
    "aggregated.category_sales",
    "aggregated.hourly_traffic",
    "aggregated.product_conversion",
    "aggregated.review_mentions",
    "aggregated.review_sentiment",
    "aggregated.daily_metrics",
    "aggregated.product_ratings",
];

async fn cluster(events: &[Event]) -> SmallCluster {
    let cluster = SmallCluster::new().await;
    fill_events(&cluster, events);
    fill_reviews(&cluster, &REVIEWS);
    cluster
}

fn pipeline() -> Pipeline {
    shipped_named("daily_analytics").unwrap_or_else(|error| panic!("{error}"))
}

async fn run_day(cluster: &SmallCluster, folder: &Path, parameters: &str) -> RunRecord {
    let mut options = RunOptions::new(folder.join("reports"), folder.join("exports"));
    options.now = DateTime::parse_from_rfc3339("2026-02-16T08:00:00Z").unwrap().to_utc();
    options.parameters = parameters.parse().unwrap();
    let interval = "2026-02-14".parse().unwrap();
    run(&pipeline(), interval, cluster, &options, &Silent).await.unwrap()
}

async fn check(cluster: &SmallCluster, sql: &str, expected: &[&str]) {
    assert_eq!(cluster.lines(sql).await, expected, "{sql}");
}

fn assert_done(record: &RunRecord) {
    let errors: Vec<String> = record.steps.iter().filter_map(|step| step.error.clone()).collect();
    assert!(record.succeeded(), "{errors:#?}");
}

#[tokio::test]
async fn every_table_has_the_answer() {
    let cluster = cluster(&events()).await;
    let folder = tempfile::tempdir().unwrap();
    let record = run_day(&cluster, folder.path(), "").await;
    assert_done(&record);

    check(
        &cluster,
        "SELECT date, total_sales, orders, buyers, round(avg_order, 2) FROM aggregated.daily_sales",
        &["2026-02-14|50.49|3|2|16.83"],
    )
    .await;
    let sql = "SELECT * FROM aggregated.category_sales ORDER BY category";
    check(&cluster, sql, &["2026-02-14|books|2|2|3|29.99", "2026-02-14|home|1|1|1|20.50"]).await;
    let sql = "SELECT hour, event_type, events, sessions FROM aggregated.hourly_traffic ORDER BY hour, event_type";
    let traffic = [
        "0|search|1|1",
        "9|add_cart|1|1",
        "9|purchase|1|1",
        "9|view|3|2",
        "10|add_cart|1|1",
        "23|purchase|2|1",
        "23|search|1|1",
        "23|view|1|1",
    ];
    check(&cluster, sql, &traffic).await;
    let sql = "SELECT * FROM aggregated.product_conversion ORDER BY product_id";
    let conversion =
        ["2026-02-14|p1|2|2|2|1.0|1.0|1.0", "2026-02-14|p2|1|0|1|0.0||1.0", "2026-02-14|p3|1|0|0|0.0||0.0"];
    check(&cluster, sql, &conversion).await;

    let sql = "SELECT * FROM aggregated.review_mentions ORDER BY topic";
    let mentions = [
        "2026-02-14|delivery|2|0|2|4.5",
        "2026-02-14|packaging|1|1|0|2.0",
        "2026-02-14|price|0|0|0|",
        "2026-02-14|quality|2|1|1|3.0",
    ];
    check(&cluster, sql, &mentions).await;
    let sql =
        "SELECT polarity, word, reviews FROM aggregated.review_sentiment WHERE reviews > 0 ORDER BY polarity, word";
    let words = [
        "negative|별로|1",
        "negative|불만족|1",
        "negative|엉망|1",
        "negative|추천 안|1",
        "positive|만족|1",
        "positive|빨라|1",
        "positive|좋아|1",
        "positive|추천|1",
    ];
    check(&cluster, sql, &words).await;
    let sql = "SELECT rating, reviews, share FROM aggregated.rating_distribution ORDER BY rating";
    check(&cluster, sql, &["1|1|0.2", "2|1|0.2", "4|1|0.2", "5|2|0.4"]).await;
    let sql = "SELECT product_id, reviews, round(avg_rating, 3) FROM aggregated.product_ratings ORDER BY product_id";
    check(&cluster, sql, &["p1|3|3.333", "p2|2|3.5"]).await;

    let sql = "SELECT metric, round(value, 3), numerator, denominator FROM aggregated.daily_metrics ORDER BY metric";
    let metrics = [
        "cart_to_purchase_rate|0.5|1|2",
        "conversion_rate|0.667|2|3",
        "events_per_session|3.667|11|3",
        "repeat_buyer_rate|0.333|1|3",
        "repurchase_rate|0.5|1|2",
        "sessions|3.0|3|1",
        "view_rate|0.667|2|3",
        "view_to_cart_rate|1.0|2|2",
    ];
    check(&cluster, sql, &metrics).await;
    check(&cluster, "SELECT level, count(*) FROM aggregated.data_quality GROUP BY level", &["ok|16"]).await;
}

#[tokio::test]
async fn a_rerun_changes_nothing_and_other_dates_stay() {
    let cluster = cluster(&events()).await;
    let folder = tempfile::tempdir().unwrap();
    assert_done(&run_day(&cluster, folder.path(), "").await);
    cluster.sql("INSERT INTO aggregated.daily_sales VALUES (DATE '2026-02-13', 1, 1, 1, 1)").await;
    let mut before = Vec::new();
    for table in TABLES {
        before.push(cluster.lines(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).await);
    }
    assert_done(&run_day(&cluster, folder.path(), "").await);
    for (table, before) in TABLES.iter().zip(before) {
        assert_eq!(cluster.lines(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).await, before, "{table}");
    }
    check(&cluster, "SELECT date FROM aggregated.daily_sales ORDER BY date", &["2026-02-13", "2026-02-14"]).await;
}

#[tokio::test]
async fn parameters_change_the_look_back() {
    let cluster = cluster(&events()).await;
    let folder = tempfile::tempdir().unwrap();
    assert_done(&run_day(&cluster, folder.path(), "lookback_days = 60").await);
    let sql =
        "SELECT metric, numerator, denominator FROM aggregated.daily_metrics WHERE metric LIKE 'rep%' ORDER BY metric";
    check(&cluster, sql, &["repeat_buyer_rate|2|3", "repurchase_rate|2|2"]).await;
}

/// The day with additional rows, one flaw of each kind.
fn dirty() -> Vec<Event> {
    let mut events = events();
    let purchase = events[4].clone();
    let view = events[1].clone();
    events.push(purchase.clone());
    events.push(Event { cents: Some(-100), ..purchase.clone() });
    events.push(Event { id: None, ..view.clone() });
    events.push(Event { id: Some("d1"), category: None, ..view.clone() });
    events.push(Event { id: Some("d2"), kind: "hover", ..view.clone() });
    events.push(Event { id: Some("d3"), quantity: Some(0), ..purchase.clone() });
    events.push(Event { id: Some("d4"), at: "2999-12-31T00:00:00Z", ..view.clone() });
    events.push(Event { id: Some("d5"), at: "1970-01-01T00:00:00Z", ..view });
    events
}

#[tokio::test]
async fn dirty_events_stop_what_depends_on_them() {
    let cluster = cluster(&dirty()).await;
    let folder = tempfile::tempdir().unwrap();
    let record = run_day(&cluster, folder.path(), "").await;
    let states: Vec<StepState> = record.steps.iter().map(|step| step.state).collect();
    use StepState::{Failed, Skipped};
    assert_eq!(states, [Failed, Skipped, Skipped, Skipped, Skipped]);
    assert!(record.reports.is_empty() && !folder.path().join("reports").exists());

    // The check results are committed, and the step's error names the worst of them.
    let sql = "SELECT check_name, column_name, failed_rows, total_rows FROM aggregated.data_quality WHERE level = 'fail' \
               ORDER BY check_name, column_name";
    let failed = [
        "bad_quantities|quantity|1|17",
        "duplicate_event_ids|event_id|2|17",
        "invalid_timestamps|timestamp|2|19",
        "missing_required||2|17",
        "negative_prices|price|1|17",
        "null_ratio|category|1|15",
        "null_ratio|event_id|1|17",
        "unknown_event_types|event_type|1|17",
    ];
    check(&cluster, sql, &failed).await;
    let error = record.steps[0].error.clone().unwrap();
    assert!(error.contains("duplicate_event_ids of event_id: 2 of 17 rows, above the limit 0.01"), "{error}");
    assert_eq!(record.steps[1].error.as_deref(), Some("check_data_quality failed"));
    assert_eq!(record.steps[4].error.as_deref(), Some("check_data_quality failed"));
}

#[tokio::test]
async fn with_lenient_limits_flaws_warn_and_money_is_still_right() {
    let cluster = cluster(&dirty()).await;
    let folder = tempfile::tempdir().unwrap();
    let names = ["null_ratio", "missing_required", "duplicate_event_ids", "invalid_timestamps", "unknown_event_types"];
    let names = names.into_iter().chain(["negative_prices", "bad_quantities"]);
    let lenient: String = names.map(|name| format!("thresholds.{name}.fail = 0.5\n")).collect();
    assert_done(&run_day(&cluster, folder.path(), &lenient).await);
    check(&cluster, "SELECT total_sales, orders, buyers FROM aggregated.daily_sales", &["50.49|3|2"]).await;
    let sql = "SELECT event_type, events FROM aggregated.hourly_traffic WHERE event_type = 'hover'";
    check(&cluster, sql, &["hover|1"]).await;
}

#[tokio::test]
async fn a_day_without_events_fails_and_says_so() {
    let cluster = cluster(&events()[14..]).await;
    let folder = tempfile::tempdir().unwrap();
    let record = run_day(&cluster, folder.path(), "").await;
    assert_eq!(
        record.steps[0].error.as_deref(),
        Some("audit hard_checks: no_events: 1 of 1 rows, above the limit 0.0")
    );
}

#[tokio::test]
async fn a_day_without_reviews_or_purchases_has_a_report() {
    let cluster = SmallCluster::new().await;
    fill_events(&cluster, &events()[..4]);
    fill_reviews(&cluster, &[]);
    let folder = tempfile::tempdir().unwrap();
    assert_done(&run_day(&cluster, folder.path(), "").await);
    check(&cluster, "SELECT * FROM aggregated.daily_sales", &["2026-02-14|0.00|0|0|"]).await;
}

#[tokio::test]
async fn reports_are_written_in_three_formats() {
    let cluster = cluster(&events()).await;
    let folder = tempfile::tempdir().unwrap();
    let record = run_day(&cluster, folder.path(), "").await;
    let reports = folder.path().join("reports/daily_analytics/2026/02/14");
    let read = |name: &str| std::fs::read_to_string(reports.join(name)).unwrap();

    let text = read("report.txt");
    assert_eq!(record.reports[0].text, text);
    let expected = "\
DAILY ANALYTICS REPORT - 2026-02-14
===================================

Sales
  Total sales  Orders  Buyers  Average order
  -----------  ------  ------  -------------
        50.49       3       2          16.83

Sales by category
  Category  Orders  Buyers  Units  Sales
  --------  ------  ------  -----  -----  ------------------------------
  books          2       2      3  29.99  ██████████████████████████████
  home           1       1      1  20.50  ████████████████████▌
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("  positive  좋아           1\n"), "{text}");
    assert!(read("report.md").contains("| books | 2 | 2 | 3 | 29.99 |"));
    let html = read("report.html");
    assert_eq!(html.matches("<svg ").count(), 5);
    assert_eq!(html.matches("<svg ").count(), html.matches("</svg>").count());
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("src="), "nothing is fetched");
    if let Ok(kept) = std::env::var("BERGMILL_KEEP_REPORT") {
        std::fs::write(kept, html).unwrap();
    }
}
