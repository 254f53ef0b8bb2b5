//! `bergmill experiment`: measurements with a report and plots.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bergmill_experiments::{
    ClusterSettings, ExperimentProgress, Measurement, PartSizes, RunsCompared, SortOrderMeasurement, SortOrderSettings,
    Timed, WorkersSettings, Workload, run_sort_order, run_workers, serve_plain_datafusion, workers_queries,
};
use bergmill_gateway::Client;
use bergmill_generator::{Shop, ShopParams};
use bergmill_jobs::{Interval, RenderedOutput, RenderedStep, shipped_named};
use chrono::{NaiveDate, Utc};
use clap::Subcommand;
use futures::TryStreamExt;

use super::demo;
use crate::cluster::Target;
use crate::progress::Display;
use crate::settings::{SortOrderOptions, WorkersOptions, with_file};
use crate::signals::StopSignals;

/// Rows of a shop per event.
const EVENTS_PER_REVIEW: u64 = 20;

/// Steps of the pipeline `daily_analytics` that are measured as jobs, and how reports name them.
const JOBS: [(&str, &str); 3] = [
    ("aggregate_daily_sales", "daily-aggregation"),
    ("analyze_reviews", "review-analysis"),
    ("check_data_quality", "data-quality"),
];

/// Arguments of `experiment`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Arguments {
    /// Compare the measurements in two folders
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"])]
    compare: Option<Vec<PathBuf>>,
    #[command(subcommand)]
    experiment: Option<Experiment>,
}

#[derive(Debug, Subcommand)]
enum Experiment {
    /// What more executors gain: queries and jobs on 1, 2, 4 and 8 executors with equal shares of the CPU
    Workers {
        /// Configuration file (TOML) with a section [workers]; flags override it. The processes of the clusters read
        /// it as well
        #[arg(long, env = "BERGMILL_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
        /// Folder of the shop's tables, which are generated if they are missing [default: data in the folder of --out]
        #[arg(long, env = "BERGMILL_DATA", value_name = "DIR")]
        data: Option<PathBuf>,
        #[command(flatten)]
        workers: WorkersOptions,
    },
    /// What another sort order of a table gains: the same queries of the same events in several orders
    SortOrder {
        /// Configuration file (TOML) with a section [sort-order]; flags override it. The processes of the cluster read
        /// it as well
        #[arg(long, env = "BERGMILL_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
        /// Folder of the shop's tables, which are generated if they are missing [default: data in the folder of --out]
        #[arg(long, env = "BERGMILL_DATA", value_name = "DIR")]
        data: Option<PathBuf>,
        #[command(flatten)]
        sort_order: SortOrderOptions,
    },
    /// Run queries from standard input on plain DataFusion, for an experiment
    #[command(hide = true)]
    PlainDatafusion {
        /// The front door of a cluster whose data files are read
        #[arg(long, value_name = "HOST:PORT")]
        connect: String,
        /// Partitions of a query
        #[arg(long, value_name = "N")]
        partitions: usize,
    },
}

/// Runs the experiment until its end, Ctrl-C or SIGTERM; its processes are stopped in each case.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    if let Some([before, after]) = arguments.compare.as_deref() {
        print!("{}", RunsCompared::read(before, after)?);
        return Ok(ExitCode::SUCCESS);
    }
    let experiment: Pin<Box<dyn Future<Output = Result<()>>>> = match arguments.experiment {
        Some(Experiment::Workers { config, data, workers }) => {
            let settings = with_file(workers, config.as_deref(), "workers")?;
            Box::pin(workers_experiment(settings, config, data))
        }
        Some(Experiment::SortOrder { config, data, sort_order }) => {
            let settings = with_file(sort_order, config.as_deref(), "sort-order")?;
            Box::pin(sort_order_experiment(settings, config, data))
        }
        Some(Experiment::PlainDatafusion { connect, partitions }) => {
            serve_plain_datafusion(&Client::connect(&connect).await?, partitions).await?;
            return Ok(ExitCode::SUCCESS);
        }
        None => bail!("name an experiment, or --compare BEFORE AFTER"),
    };
    let done = StopSignals::listen()?.or_stop(experiment).await?;
    Ok(if done.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn workers_experiment(settings: WorkersOptions, config: Option<PathBuf>, data: Option<PathBuf>) -> Result<()> {
    let out = settings.out.unwrap_or_else(|| PathBuf::from("experiment-workers"));
    let logs = logs_of_new_run(&out)?;
    let data = data.unwrap_or_else(|| out.join("data"));
    let sizes = settings.workers.unwrap_or_else(|| vec![1, 2, 4, 8]);
    let display = Display::new();
    let day = make_shop(&data, config.as_deref(), settings.events.unwrap_or(10_000_000), &display).await?;

    let mut workloads = workers_queries();
    workloads.extend(jobs(day)?);
    if let Some(wanted) = &settings.workloads {
        let known: Vec<_> = workloads.iter().map(|w| w.name.clone()).collect();
        if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
            bail!("there is no workload {unknown}; choose from {}", known.join(", "));
        }
        workloads.retain(|w| wanted.contains(&w.name));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let largest = sizes.iter().max().copied().unwrap_or(1).max(1);
    // Shares of hundredths of a core, of nine tenths of the machine.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let share = settings.share.unwrap_or_else(|| (cores as f64 * 90.0 / largest as f64).floor() / 100.0);
    let cluster = ClusterSettings {
        share,
        memory_mib: settings.worker_memory_mib.unwrap_or(512),
        ..cluster_settings(config.as_deref(), &data, logs)?
    };
    let options =
        WorkersSettings { workers: sizes, repeat: settings.repeat.unwrap_or(5), seed: settings.seed.unwrap_or(42) };
    let report = run_workers(&options, &cluster, &workloads, &out, &Lines).await?;
    report.write(&out)?;
    println!("{report}\nreport: {}", out.join("report.md").display());
    Ok(())
}

async fn sort_order_experiment(
    settings: SortOrderOptions,
    config: Option<PathBuf>,
    data: Option<PathBuf>,
) -> Result<()> {
    let out = settings.out.unwrap_or_else(|| PathBuf::from("experiment-sort-order"));
    let logs = logs_of_new_run(&out)?;
    let data = data.unwrap_or_else(|| out.join("data"));
    make_shop(&data, config.as_deref(), settings.events.unwrap_or(10_000_000), &Display::new()).await?;
    let cluster = ClusterSettings {
        vcores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_mib: settings.worker_memory_mib.unwrap_or(1024),
        ..cluster_settings(config.as_deref(), &data, logs)?
    };
    let options = SortOrderSettings {
        repeat: settings.repeat.unwrap_or(5),
        seed: settings.seed.unwrap_or(42),
        sizes: PartSizes {
            file_mib: settings.file_mib.unwrap_or(64),
            row_group_rows: settings.row_group_rows.unwrap_or(262_144),
            page_rows: settings.page_rows.unwrap_or(20_000),
        },
    };
    let report = run_sort_order(&options, &cluster, &out, &Lines).await?;
    report.write(&out)?;
    println!("{report}\nreport: {}", out.join("report.md").display());
    Ok(())
}

/// Creates the folder of a run, and in it that of its processes' logs.
fn logs_of_new_run(out: &Path) -> Result<PathBuf> {
    let logs = out.join("logs");
    std::fs::create_dir_all(&logs).with_context(|| format!("folder {}", logs.display()))?;
    if out.join("measurements.jsonl").exists() {
        bail!("{} has the measurements of another run; name another folder with --out", out.display());
    }
    Ok(logs)
}

/// A cluster of this program over the tables of a folder, whose executors have one vcore and one core each.
fn cluster_settings(config: Option<&Path>, data: &Path, logs: PathBuf) -> Result<ClusterSettings> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(ClusterSettings {
        binary: std::env::current_exe().context("the path of this program")?,
        arguments: config.iter().flat_map(|file| ["--config".to_string(), text(file)]).collect(),
        scheduler_arguments: vec!["--data".to_string(), text(data)],
        vcores: 1,
        share: 1.0,
        memory_mib: 512,
        logs,
    })
}

struct Lines;

impl ExperimentProgress<SortOrderMeasurement> for Lines {
    fn step(&self, what: &str) {
        eprintln!("{what}");
    }

    fn measured(&self, m: &SortOrderMeasurement) {
        eprintln!(
            "{:24} {:12} repetition {:>2}   {:9.1} ms   {:9.2} MiB read",
            m.query,
            m.layout,
            m.repetition,
            m.wall_seconds * 1000.0,
            m.scanned_bytes as f64 / f64::from(1 << 20)
        );
    }
}

impl ExperimentProgress<Measurement> for Lines {
    fn step(&self, what: &str) {
        eprintln!("{what}");
    }

    fn measured(&self, m: &Measurement) {
        eprintln!(
            "{:10} {:18} {:>2} workers   repetition {:>2}   {:8.2} s   {:8.2} CPU s",
            m.engine,
            m.workload,
            m.workers,
            m.repetition,
            m.wall_seconds,
            m.cpu_seconds()
        );
    }
}

/// Fills the tables of a shop with one day of events, unless the folder has a shop. Returns the day.
async fn make_shop(data: &Path, config: Option<&Path>, events: u64, display: &Display) -> Result<NaiveDate> {
    let connected = Target::in_folder(data.to_path_buf(), config.map(Path::to_path_buf)).open().await?;
    let client = &connected.client;
    let known = "SELECT 1 FROM information_schema.tables WHERE table_schema = 'raw' AND table_name = 'users'";
    if first(client, known).await?.is_none() {
        let params = ShopParams {
            events,
            reviews: events / EVENTS_PER_REVIEW,
            users: demo::users(events),
            ..ShopParams::default()
        };
        demo::fill(&Shop::new(params)?, client, display).await?;
    }
    let day = first(client, "SELECT CAST(CAST(max(timestamp) AS DATE) AS TEXT) FROM raw.shopping_events").await?;
    let day = day.with_context(|| format!("raw.shopping_events in {} has no rows", data.display()))?;
    Ok(day.parse()?)
}

/// The first column of the first row of a query, as text.
async fn first(client: &Client, sql: &str) -> Result<Option<String>> {
    let batches: Vec<_> = client.query(sql).await?.try_collect().await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    Ok(Some(arrow::util::display::array_value_to_string(batch.column(0), 0)?))
}

/// The jobs of a day.
fn jobs(day: NaiveDate) -> Result<Vec<Workload>> {
    let pipeline = shipped_named("daily_analytics")?;
    let rendered = pipeline.render(Interval::of(day), Utc::now(), &toml::Table::new())?;
    let step = |name: &str| rendered.steps.iter().find(|step| step.name == name);
    let job = |(name, title): &(&str, &str)| Ok(job(step(name).with_context(|| format!("no step {name}"))?, title));
    JOBS.iter().map(job).collect()
}

fn job(step: &RenderedStep, title: &str) -> Workload {
    let outputs = || step.outputs.iter().flatten();
    let schema = |output: &RenderedOutput| format!("CREATE SCHEMA IF NOT EXISTS {}", output.table.namespace());
    Workload {
        name: title.to_string(),
        setup: outputs().map(schema).chain(outputs().map(|output| output.create.clone())).collect(),
        timed: Timed::Job {
            statements: outputs().map(|output| output.insert.clone()).collect(),
            written: outputs().map(|output| format!("SELECT * FROM {}", output.table)).collect(),
        },
    }
}
