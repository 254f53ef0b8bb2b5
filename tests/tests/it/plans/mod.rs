//! The plans of the shipped pipelines and of TPC-H, against files that hold what they were.
//!
//! A plan decides what a query costs, and a rule, a statistic or another version of DataFusion changes plans that
//! nobody looks at. So each query has two files in `tests/plans/`: `NAME.whole.txt` is the plan of one executor with
//! two vcores, which runs a query uncut, and `NAME.staged.txt` the stages that two such executors ran.
//!
//! `cargo build && BERGMILL_COMPLETE=1 cargo test -p bergmill-tests plans` writes the files, to be reviewed in the
//! diff.
//!
//! Of a pipeline's step these are the SELECTs, because `EXPLAIN` takes no `INSERT`. The tables are small, so that one
//! side of most joins is collected which would be exchanged if there were more rows.

mod frozen;
mod text;

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use bergmill_experiments::{Suite, TPCH_TABLES, tpch_table};
use bergmill_gateway::{Client, IngestMode, IngestTarget};
use bergmill_generator::{Shop, ShopParams};
use bergmill_jobs::shipped;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

use crate::process::run;
use crate::warehouse::{Cluster, cluster};
use frozen::Frozen;

const ONE_EXECUTOR: [&str; 4] = ["--executors", "1", "--vcores", "2"];
/// No query is small here: all of them go to the executors.
const TWO_EXECUTORS: [&str; 6] = ["--executors", "2", "--vcores", "2", "--local-query-bytes", "0"];

/// `lineitem` is read in several ranges, and no other table is about to be: files that become a little larger or
/// smaller change no plan.
const TPCH_SCALE: f64 = 0.01;

/// As many as make a scan of a day's events one of several ranges.
const EVENTS: u64 = 100_000;
/// The day that the pipelines run for, and when they do.
const DAY: &str = "2026-02-14";
const NOW: &str = "2026-02-15T02:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_have_the_plans_in_the_files() {
    let cluster = cluster(&ONE_EXECUTOR, None).await;
    make_shop(&cluster).await;
    let mut plans = Vec::new();
    for pipeline in shipped().unwrap() {
        let rendered = pipeline.render(DAY.parse().unwrap(), NOW.parse().unwrap(), &Default::default()).unwrap();
        for step in rendered.steps {
            let mut queries = Vec::new();
            for output in step.outputs.into_iter().flatten() {
                // Later steps read it.
                update(&cluster.client, &output.create).await;
                update(&cluster.client, &output.insert).await;
                queries.push((output.table.to_string(), output.select));
            }
            queries.extend(step.queries);
            plans.push(Plan { name: format!("{}/{}", pipeline.name, step.name), queries });
        }
    }
    check("pipelines", &cluster, &plans).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tpch_has_the_plans_in_the_files() {
    let cluster = cluster(&ONE_EXECUTOR, None).await;
    update(&cluster.client, "CREATE SCHEMA tpch").await;
    for table in TPCH_TABLES {
        ingest(&cluster.client, "tpch", table.name(), IngestMode::Create, tpch_table(table, TPCH_SCALE)).await;
    }
    let plans: Vec<_> = Suite::tpch()
        .queries
        .into_iter()
        .map(|query| Plan { name: query.name.clone(), queries: vec![(query.name, query.sql)] })
        .collect();
    check("tpch", &cluster, &plans).await;
}

/// What one file is about: queries with their names.
struct Plan {
    name: String,
    queries: Vec<(String, String)>,
}

async fn check(suite: &str, cluster: &Cluster, plans: &[Plan]) {
    let mut frozen = Frozen::new(suite);
    let (_process, staged) = cluster.another(&TWO_EXECUTORS).await;
    for Plan { name, queries } in plans {
        let (mut whole_plans, mut staged_plans) = (Vec::new(), Vec::new());
        for (query, sql) in queries {
            let sql = sql.trim().trim_end_matches(';');
            let plan = explained(&cluster.client, &format!("EXPLAIN {sql}"), "physical_plan").await;
            whole_plans.push((query.as_str(), text::whole(&plan)));
            let plan = explained(&staged, &format!("EXPLAIN ANALYZE {sql}"), "plan_with_metrics").await;
            staged_plans.push((query.as_str(), text::staged(&plan)));
        }
        frozen.check(&format!("{name}.whole.txt"), &file_text(&whole_plans));
        frozen.check(&format!("{name}.staged.txt"), &file_text(&staged_plans));
    }
    frozen.finish();
}

/// A file's text: a plan, or several under their names.
fn file_text(plans: &[(&str, String)]) -> String {
    match plans {
        [(_, plan)] => plan.clone(),
        plans => plans.iter().map(|(name, plan)| format!("== {name}\n{plan}")).collect::<Vec<_>>().join("\n"),
    }
}

/// The text that an `EXPLAIN` gives under `plan_type`.
async fn explained(client: &Client, sql: &str, part: &str) -> String {
    let rows = client.query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    for batch in &batches {
        let (types, plans) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        if let Some(row) = (0..batch.num_rows()).find(|row| types.value(*row) == part) {
            return plans.value(row).to_string();
        }
    }
    panic!("{sql}: no {part} in {batches:?}");
}

/// The tables that the pipelines read: two days of the shop, and the log lines of the daily report.
async fn make_shop(cluster: &Cluster) {
    let client = &cluster.client;
    let start = "2026-02-13".parse().unwrap();
    let params = ShopParams { events: EVENTS, reviews: 1_000, days: 2, start, ..ShopParams::default() };
    let shop = Shop::new(params).unwrap();
    for namespace in ["raw", "processed", "aggregated"] {
        update(client, &format!("CREATE SCHEMA IF NOT EXISTS {namespace}")).await;
    }
    for table in &bergmill_generator::TABLES[..2] {
        update(client, table.ddl).await;
    }
    // A file a partition, on machines with any number of cores.
    update(client, "ALTER TABLE raw.shopping_events SET TBLPROPERTIES ('write.distribution-mode' = 'hash')").await;
    let days = 0..shop.days();
    let events = days.clone().flat_map(|day| shop.events(day)).collect();
    let reviews = days.flat_map(|day| shop.reviews(day)).collect();
    ingest(client, "raw", "shopping_events", IngestMode::Append, stream(events)).await;
    ingest(client, "raw", "reviews", IngestMode::Append, stream(reviews)).await;
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../jobs/pipelines/daily_report/ecommerce_logs.csv");
    let logs = logs.to_str().expect("UTF-8 path");
    let loaded = run(&["load", logs, "--into", "raw.ecommerce_logs", "--connect", &cluster.door]);
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
}

fn stream(batches: Vec<RecordBatch>) -> SendableRecordBatchStream {
    let schema = batches[0].schema();
    Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches.into_iter().map(Ok))))
}

async fn ingest(client: &Client, namespace: &str, table: &str, mode: IngestMode, rows: SendableRecordBatchStream) {
    let target = IngestTarget { namespace: Some(namespace.into()), table: table.into(), mode, tag: None };
    client.ingest(&target, rows).await.unwrap_or_else(|e| panic!("{table}: {e}"));
}

async fn update(client: &Client, sql: &str) {
    client.update(sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}
