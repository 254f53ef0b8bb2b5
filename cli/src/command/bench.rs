//! `bergmill bench`: the cluster against plain DataFusion, on the same files.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bergmill_experiments::{Measured, Options, Progress, Query, Suite, TPCH_TABLES, run as measure, tpch_table};
use bergmill_gateway::{Client, IngestMode, IngestTarget};
use bergmill_jobs::{Interval, shipped_named};
use chrono::{NaiveDate, Utc};
use clap::{Subcommand, ValueEnum};

use super::job::date;
use crate::cluster::{Connected, Target};
use crate::memory;
use crate::progress::Display;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    suite: Which,
    /// Timed repetitions of each query
    #[arg(long, default_value_t = 3, value_name = "N", global = true)]
    repeat: usize,
    /// Run only this query; may be repeated
    #[arg(long, value_name = "NAME", global = true)]
    query: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value = "markdown", global = true)]
    format: Format,
    /// Partitions of plain DataFusion [default: the machine's cores]
    #[arg(long, value_name = "N", global = true)]
    partitions: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// The 22 queries of TPC-H; its tables are created in namespace tpch if missing
    Tpch {
        /// Scale factor; 1 is about a gigabyte of text
        #[arg(long, default_value_t = 1.0, value_name = "SF", value_parser = scale)]
        scale: f64,
        #[command(flatten)]
        target: Target,
    },
    /// The SELECTs of pipeline daily_analytics; run `bergmill demo --events N` in the same folder first
    DailyAnalytics {
        /// The day to query
        #[arg(long, default_value = "2026-02-14", value_name = "DATE", value_parser = date)]
        date: NaiveDate,
        #[command(flatten)]
        target: Target,
    },
    /// Your own queries, one per file
    Files {
        /// SQL files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    Markdown,
    /// All times
    Json,
}

/// Measures the suite and prints the result.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let display = Display::new();
    let (suite, connected) = match &arguments.suite {
        Which::Tpch { scale, target } => {
            let connected = target.open().await?;
            make_tpch(*scale, &connected.client, &display).await?;
            (Suite::tpch(), connected)
        }
        Which::DailyAnalytics { date, target } => (daily_analytics(*date)?, target.open().await?),
        Which::Files { files, target } => (of_files(files)?, target.open().await?),
    };
    let suite = suite.only(&arguments.query)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options { repeat: arguments.repeat, partitions: arguments.partitions.unwrap_or(cores) };
    let Connected { client, .. } = &connected;
    let report = measure(&suite, client, options, &Lines).await?;
    match arguments.format {
        Format::Markdown => print!("{report}"),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    if let Some(peak) = memory::peak_rss() {
        eprintln!("peak memory of this process, plain DataFusion included: {peak}");
    }
    Ok(ExitCode::SUCCESS)
}

struct Lines;

impl Progress for Lines {
    fn measured(&self, query: &Measured) {
        let Measured { name, rows, .. } = query;
        let (cluster, plain) = (query.cluster_median(), query.datafusion_median());
        eprintln!("{name:24} {rows:>8} rows   cluster {cluster:7.3} s   plain DataFusion {plain:7.3} s");
    }
}

fn daily_analytics(day: NaiveDate) -> Result<Suite> {
    let pipeline = shipped_named("daily_analytics")?;
    let rendered = pipeline.render(Interval::of(day), Utc::now(), &toml::Table::new())?;
    let outputs = rendered.steps.into_iter().flat_map(|step| step.outputs).flatten();
    let queries = outputs.map(|o| Query { name: o.table.table().to_string(), sql: o.select }).collect();
    Ok(Suite { name: pipeline.name.clone(), queries })
}

/// The queries in these files, named like them.
pub(super) fn of_files(files: &[PathBuf]) -> Result<Suite> {
    let query = |file: &PathBuf| {
        let sql = std::fs::read_to_string(file).with_context(|| format!("file {}", file.display()))?;
        let name = file.file_stem().map_or_else(|| file.display().to_string(), |s| s.to_string_lossy().into_owned());
        Ok(Query { name, sql: sql.trim().trim_end_matches(';').to_string() })
    };
    let queries = files.iter().map(query).collect::<Result<Vec<_>>>()?;
    Ok(Suite { name: "files".to_string(), queries })
}

async fn make_tpch(scale: f64, client: &Client, display: &Display) -> Result<()> {
    let wanted = format!("TPC-H at scale factor {scale}");
    let schema = "SELECT 1 FROM information_schema.tables WHERE table_schema = 'tpch' AND table_name = 'region'";
    client.update("CREATE SCHEMA IF NOT EXISTS tpch", None).await?;
    let found = count(client, schema).await?;
    if found > 0 {
        // The number of suppliers shows the scale: 10,000 per unit.
        #[expect(clippy::cast_precision_loss, reason = "a count of suppliers")]
        let there = count(client, "SELECT s_suppkey FROM tpch.supplier").await? as f64 / 10_000.0;
        if (there - scale).abs() > 0.001 {
            anyhow::bail!("namespace tpch holds TPC-H at scale factor {there}, not {scale}; use another --data folder");
        }
        return Ok(());
    }
    // `region` is loaded last: if it exists, all tables exist.
    for table in TPCH_TABLES {
        let task = display.begin(&format!("tpch.{}", table.name()), 0);
        let target = IngestTarget {
            namespace: Some("tpch".to_string()),
            table: table.name().to_string(),
            mode: IngestMode::Replace,
            tag: None,
        };
        let rows = client.ingest(&target, tpch_table(table, scale)).await.with_context(|| wanted.clone())?;
        task.done(&format!("{rows} rows"));
    }
    Ok(())
}

async fn count(client: &Client, sql: &str) -> Result<u64> {
    use futures::TryStreamExt;
    let rows = client.query(sql).await?;
    Ok(rows.try_fold(0, |n, batch| async move { Ok(n + batch.num_rows() as u64) }).await?)
}

fn scale(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() && (0.001..=1000.0).contains(&n) => Ok(n),
        _ => Err("give a number from 0.001 to 1000".to_string()),
    }
}
