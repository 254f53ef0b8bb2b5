//! `bergmill-correctness`: compares the results of clusters with those of other engines, and prints the differences.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bergmill_correctness::corpus::{Package, run_file};
use bergmill_correctness::{Clusters, Report, Shape, random, run_suite};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Checks that results are the same on every execution path.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// DataFusion's own sqllogictest corpus, against plain DataFusion.
    Corpus {
        /// Only files whose names contain one of these, separated by commas
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        #[command(flatten)]
        options: Options,
    },
    /// TPC-DS or TPC-H, against DuckDB: a folder created by `tpc.py`.
    Tpc {
        /// tpcds or tpch
        suite: String,
        /// The folder
        folder: PathBuf,
        /// Only these queries, such as 01,72
        #[arg(long, value_name = "NUMBERS")]
        only: Option<String>,
        #[command(flatten)]
        options: Options,
    },
    /// Random queries over random tables, against plain DataFusion and DuckDB.
    Random {
        /// Seed of tables and queries [default: from the clock, and printed]
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
        /// Number of queries
        #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
        queries: u64,
        /// Number of the first query, to repeat one
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        first: u64,
        /// Compare with DuckDB as well
        #[arg(long)]
        duckdb: bool,
        /// A Python that has the package duckdb and pyarrow [default: that of correctness/run]
        #[arg(long, value_name = "FILE")]
        python: Option<PathBuf>,
        /// Seconds for reducing a failing case
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        shrink: u64,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// Shapes to run, separated by commas
    #[arg(long, value_name = "NAMES", default_value = "local,whole,2x1,3x2")]
    shape: String,
    /// Folder for every outcome as a line of JSON, and for the tables
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seconds until a query counts as hung
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { command } = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    // Dropping the other branches stops their clusters.
    tokio::select! {
        done = run(command) => done,
        _ = tokio::signal::ctrl_c() => bail!("stopped"),
        _ = terminate.recv() => bail!("stopped"),
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Corpus { only, options } => corpus(only.as_deref(), &options).await,
        Command::Tpc { suite, folder, only, options } => {
            let timeout = Duration::from_secs(options.timeout);
            let mut clusters = Clusters::start(&Shape::named(&options.shape)?, timeout).await?;
            let mut report = Report::new(options.out.as_deref(), &suite)?;
            run_suite(&suite, &folder, only.as_deref(), &mut clusters, timeout, &mut report).await?;
            finish(&report, &options, &suite)
        }
        Command::Random { seed, queries, first, duckdb, python, shrink, options } => {
            let settings = random::Settings {
                seed: seed.unwrap_or_else(random::seed_of_the_clock),
                first,
                queries,
                shapes: Shape::named(&options.shape)?,
                python: duckdb.then(|| python.unwrap_or_else(random::default_python)),
                out: options.out.clone(),
                timeout: Duration::from_secs(options.timeout),
                shrink_time: Duration::from_secs(shrink),
                time: None,
            };
            let mut report = Report::new(options.out.as_deref(), "random")?;
            let summary = random::run(&settings, &mut report).await?;
            for case in &summary.cases {
                println!("{case}");
            }
            finish(&report, &options, "random")
        }
    }
}

async fn corpus(only: Option<&str>, options: &Options) -> Result<ExitCode> {
    let package = Package::find()?;
    let mut files = package.files()?;
    files.retain(|file| only.is_none_or(|only| only.split(',').any(|part| file.contains(part))));
    let timeout = Duration::from_secs(options.timeout);
    let mut clusters = Clusters::start(&Shape::named(&options.shape)?, timeout).await?;
    let mut report = Report::new(options.out.as_deref(), "corpus")?;
    for file in &files {
        let (started, before) = (Instant::now(), (report.equal(), report.found().len()));
        run_file(&package, file, &mut clusters, timeout, &mut report).await?;
        let (equal, found) = (report.equal() - before.0, report.found().len() - before.1);
        eprintln!("{file}: {equal} equal, {found} not, {:.0} s", started.elapsed().as_secs_f64());
    }
    finish(&report, options, "corpus")
}

/// Prints the report; the exit code says whether all results were equal, except for known differences.
fn finish(report: &Report, options: &Options, name: &str) -> Result<ExitCode> {
    print!("{}\n{}", report.list(), report.tables());
    if let Some(folder) = &options.out {
        std::fs::write(folder.join(format!("{name}.md")), report.tables())?;
    }
    Ok(if report.unknown() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
