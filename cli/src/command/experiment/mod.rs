//! `bergmill experiment`: measurements with a report and plots.

mod peers;
mod shop;
mod sort_order;
mod workers;

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bergmill_experiments::{
    ClusterSettings, ExperimentProgress, ExperimentReport, RunsCompared, serve_plain_datafusion,
};
use bergmill_gateway::Client;
use clap::Subcommand;

use self::shop::ShopFolder;
use crate::settings::{PeersOptions, SortOrderOptions, WorkersOptions, with_file};
use crate::signals::StopSignals;

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
        #[command(flatten)]
        shop: ShopFolder,
        #[command(flatten)]
        workers: WorkersOptions,
    },
    /// What another sort order of a table gains: the same queries of the same events in several orders
    SortOrder {
        #[command(flatten)]
        shop: ShopFolder,
        #[command(flatten)]
        sort_order: SortOrderOptions,
    },
    /// How other engines compare: the same queries on DuckDB, Spark, Sail and plain DataFusion over the same tables
    Peers {
        #[command(flatten)]
        shop: ShopFolder,
        #[command(flatten)]
        peers: PeersOptions,
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
        Some(Experiment::Workers { shop, workers }) => {
            Box::pin(workers::run(with_file(workers, shop.config.as_deref(), "workers")?, shop))
        }
        Some(Experiment::SortOrder { shop, sort_order }) => {
            Box::pin(sort_order::run(with_file(sort_order, shop.config.as_deref(), "sort-order")?, shop))
        }
        Some(Experiment::Peers { shop, peers }) => {
            Box::pin(peers::run(with_file(peers, shop.config.as_deref(), "peers")?, shop))
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

/// The folder of a run.
struct Out {
    folder: PathBuf,
    logs: PathBuf,
}

impl Out {
    /// Creates the folder of `--out`, or the default one, and in it that of the logs.
    fn create(given: Option<PathBuf>, default: &str) -> Result<Self> {
        let folder = given.unwrap_or_else(|| PathBuf::from(default));
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("folder {}", logs.display()))?;
        if folder.join("measurements.jsonl").exists() {
            bail!("{} has the measurements of another run; name another folder with --out", folder.display());
        }
        Ok(Self { folder, logs })
    }

    /// Writes and prints the report.
    fn finish(&self, report: &impl ExperimentReport) -> Result<()> {
        report.write(&self.folder)?;
        println!("{report}\nreport: {}", self.folder.join("report.md").display());
        Ok(())
    }

    /// A cluster of this program over the tables of a folder, whose executors have one vcore and one core each.
    fn cluster(&self, config: Option<&Path>, data: &Path) -> Result<ClusterSettings> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Ok(ClusterSettings {
            binary: std::env::current_exe().context("the path of this program")?,
            arguments: config.iter().flat_map(|file| ["--config".to_string(), text(file)]).collect(),
            scheduler_arguments: vec!["--data".to_string(), text(data)],
            vcores: 1,
            share: 1.0,
            memory_mib: 512,
            logs: self.logs.clone(),
        })
    }
}

struct Lines;

impl ExperimentProgress for Lines {
    fn step(&self, what: &str) {
        eprintln!("{what}");
    }

    fn measured(&self, measurement: &dyn fmt::Display) {
        eprintln!("{measurement}");
    }
}

/// Cores of this machine.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
