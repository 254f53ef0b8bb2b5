//! `bergmill demo`: a shop's day from generated data to reports, with one command.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bergmill_gateway::{Client, IngestMode, IngestTarget};
use bergmill_generator::{Shop, ShopParams, TABLES};
use bergmill_jobs::{Interval, RunOptions, run as run_pipeline, shipped_named};
use chrono::NaiveDate;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;

use super::job::date;
use crate::cluster::Target;
use crate::memory;
use crate::progress::{Display, seconds};
use crate::query::FrontDoor;

/// Batches generated ahead of the one being sent.
const BATCHES_AHEAD: usize = 4;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Rows of raw.shopping_events
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    events: u64,
    /// Rows of raw.reviews
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    reviews: u64,
    /// Days over which the events are spread
    #[arg(long, default_value_t = 1, value_name = "N")]
    days: u32,
    /// First day
    #[arg(long, default_value = "2026-02-14", value_name = "DATE", value_parser = date)]
    start: NaiveDate,
    /// The same seed gives the same rows
    #[arg(long, default_value_t = 42, value_name = "N")]
    seed: u64,
    /// Share of flawed events, for the data quality checks to find
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    dirty: f64,
    #[command(flatten)]
    target: Target,
}

/// Generates the shop, fills the tables, runs the pipelines, prints the reports.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let started = Instant::now();
    let shop = Shop::new(ShopParams {
        seed: arguments.seed,
        events: arguments.events,
        reviews: arguments.reviews,
        start: arguments.start,
        days: arguments.days,
        users: users(arguments.events),
        dirty: arguments.dirty,
        ..ShopParams::default()
    })?;
    let last_day = shop.date(shop.days() - 1).context("the period has no last day")?;

    let display = Display::new();
    let starting = display.begin("start the cluster", 0);
    let connected = arguments.target.open().await?;
    let client = &connected.client;
    starting.done("scheduler and executors ready");
    fill(&shop, client, &display).await?;

    let mut failed = false;
    let logs_day = NaiveDate::from_ymd_opt(2026, 2, 14).context("the day of the logs")?;
    for (name, day) in [("daily_analytics", last_day), ("daily_report", logs_day)] {
        let pipeline = shipped_named(name)?;
        let options = RunOptions::new(connected.folder.join("reports"), connected.folder.join("exports"));
        let query = FrontDoor(client.clone());
        let record = run_pipeline(&pipeline, Interval::of(day), &query, &options, &display).await?;
        failed |= !record.succeeded();
        for report in &record.reports {
            println!("\n{}", report.text.trim_end());
            for file in &report.files {
                println!("report: {}", file.display());
            }
        }
    }
    let folder = connected.folder.display();
    println!("\ntables:  {}", connected.tables);
    println!("reports: {folder}/reports    exports: {folder}/exports");
    let memory = memory::peak_rss().map_or(String::new(), |peak| format!(" and at most {peak} of memory"));
    println!("\nThe whole demo took {}{memory}. Next, try:", seconds(started.elapsed()));
    println!("  bergmill sql --data {folder} -e \"SELECT * FROM aggregated.daily_sales\"");
    println!("  bergmill job status --data {folder}");
    println!("  bergmill serve --data {folder}");
    if failed {
        bail!("a step of a pipeline failed; see above");
    }
    Ok(ExitCode::SUCCESS)
}

/// The number of users of a shop with so many events.
pub(super) fn users(events: u64) -> u32 {
    u32::try_from((events / 50).clamp(1_000, 1_000_000)).unwrap_or(1_000_000)
}

const LOGS_TABLE: &str = "CREATE TABLE IF NOT EXISTS raw.ecommerce_logs (
  timestamp TIMESTAMP, user_id BIGINT, session_id TEXT, event_type TEXT, product_id TEXT, category TEXT,
  price DECIMAL(10, 2), quantity INT
) PARTITIONED BY (day(timestamp))";
const LOGS: &[u8] = include_bytes!("../../../jobs/pipelines/daily_report/ecommerce_logs.csv");

/// Creates the tables of a shop, and replaces their rows.
pub(super) async fn fill(shop: &Shop, client: &Client, display: &Display) -> Result<()> {
    let days = || 0..shop.days();
    for statement in ["CREATE SCHEMA IF NOT EXISTS raw", LOGS_TABLE].iter().copied().chain(TABLES.iter().map(|t| t.ddl))
    {
        client.update(statement, None).await?;
    }
    let rows = |count: fn(&Shop, u32) -> u64| days().map(|day| count(shop, day)).sum::<u64>();
    let events = {
        let (shop, schema) = (shop.clone(), bergmill_generator::events_schema());
        stream(schema, move || (0..shop.days()).flat_map(move |day| shop.events(day)))
    };
    let reviews = {
        let (shop, schema) = (shop.clone(), bergmill_generator::reviews_schema());
        stream(schema, move || (0..shop.days()).flat_map(move |day| shop.reviews(day)))
    };
    let products = {
        let shop = shop.clone();
        stream(bergmill_generator::products_schema(), move || shop.products())
    };
    let users = {
        let shop = shop.clone();
        stream(bergmill_generator::users_schema(), move || shop.users())
    };
    let one = |batch: RecordBatch| stream(batch.schema(), move || std::iter::once(batch));
    tokio::try_join!(replace(client, display, "shopping_events", rows(Shop::event_rows), events), async {
        replace(client, display, "reviews", rows(Shop::review_rows), reviews).await?;
        replace(client, display, "products", u64::from(shop.params().products), products).await?;
        replace(client, display, "users", u64::from(shop.params().users), users).await?;
        replace(client, display, "categories", 0, one(shop.categories())).await?;
        replace(client, display, "brands", 0, one(shop.brands())).await?;
        replace(client, display, "ecommerce_logs", 0, logs()?).await
    })?;
    Ok(())
}

/// Replaces a table's rows, so that the demo can be run again in the same folder.
async fn replace(
    client: &Client,
    display: &Display,
    table: &str,
    rows: u64,
    input: SendableRecordBatchStream,
) -> Result<()> {
    let task = display.begin(&format!("raw.{table}"), rows);
    let target = IngestTarget {
        namespace: Some("raw".to_string()),
        table: table.to_string(),
        mode: IngestMode::Replace,
        tag: None,
    };
    let counted = counted(input, task.counter());
    let written = client.ingest(&target, counted).await.with_context(|| format!("filling raw.{table}"))?;
    task.done(&format!("{written} rows"));
    Ok(())
}

fn counted(input: SendableRecordBatchStream, bar: indicatif::ProgressBar) -> SendableRecordBatchStream {
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::TryStreamExt;
    let schema = input.schema();
    Box::pin(RecordBatchStreamAdapter::new(schema, input.inspect_ok(move |b| bar.inc(b.num_rows() as u64))))
}

/// Batches generated on their own thread, a few ahead of the sender.
fn stream<I>(schema: SchemaRef, batches: impl FnOnce() -> I + Send + 'static) -> SendableRecordBatchStream
where
    I: Iterator<Item = RecordBatch>,
{
    let mut builder = RecordBatchReceiverStream::builder(schema, BATCHES_AHEAD);
    let sender = builder.tx();
    builder.spawn_blocking(move || {
        for batch in batches() {
            if sender.blocking_send(Ok(batch)).is_err() {
                // The reader is gone: the load failed and reports why.
                break;
            }
        }
        Ok(())
    });
    builder.build()
}

/// The fifteen log lines of the daily report.
fn logs() -> Result<SendableRecordBatchStream> {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let schema = Arc::new(Schema::new(vec![
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("user_id", DataType::Int64, true),
        text("session_id"),
        text("event_type"),
        text("product_id"),
        text("category"),
        Field::new("price", DataType::Decimal128(10, 2), true),
        Field::new("quantity", DataType::Int32, true),
    ]));
    let reader = arrow::csv::ReaderBuilder::new(Arc::clone(&schema)).with_header(true).build(LOGS)?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(stream(schema, move || batches.into_iter()))
}
