//! `bergmill`: arguments and output. The crates that the commands call do the work.

mod allocator;
mod cgroup;
mod cluster;
mod command;
mod login;
mod memory;
mod output;
mod progress;
mod prompt;
mod query;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// An analytics cluster over Apache Iceberg tables, for an online shop, in one binary.
#[derive(Debug, Parser)]
#[command(name = "bergmill", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Generate a shop's data, run the daily pipelines over it, and print the reports
    Demo(command::demo::Arguments),
    /// Run a whole cluster in this process until Ctrl-C
    Serve(command::serve::Arguments),
    /// Run a scheduler: the front door for clients, and the port where executors register
    Scheduler(command::scheduler::Arguments),
    /// Run an executor for a scheduler
    Executor(command::executor::Arguments),
    /// Run SQL statements, or open a prompt
    Sql(command::sql::Arguments),
    /// Load CSV, JSON lines or Parquet files into a table
    Load(command::load::Arguments),
    /// List and run pipelines, and show their status
    Job(command::job::Arguments),
    /// Add, change and list the users of an installation
    User(command::user::Arguments),
    /// Make certificates for TLS
    Certs(command::certs::Arguments),
    /// Check a scheduler or an executor; the exit code is the result
    Health(command::health::Arguments),
    /// Compare the speed of the cluster and plain DataFusion on the same files
    Bench(command::bench::Arguments),
    /// Run an experiment, with a report and plots
    Experiment(command::experiment::Arguments),
}

fn main() -> ExitCode {
    allocator::offer_freed_memory();
    bergmill_tls::install_provider();
    let arguments = Arguments::parse();
    // Commands print their own errors; servers log warnings.
    let serves = matches!(arguments.command, Command::Serve(_) | Command::Scheduler(_) | Command::Executor(_));
    let default = if serves { "warn" } else { "off" };
    let filter = EnvFilter::try_from_env("BERGMILL_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: cannot start threads: {e}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Demo(a) => command::demo::run(a).await,
            Command::Serve(a) => command::serve::run(a).await,
            Command::Scheduler(a) => command::scheduler::run(a).await,
            Command::Executor(a) => command::executor::run(a).await,
            Command::Sql(a) => command::sql::run(a).await,
            Command::Load(a) => command::load::run(a).await,
            Command::Job(a) => command::job::run(a).await,
            Command::User(a) => command::user::run(a).await,
            Command::Certs(a) => command::certs::run(a).await,
            Command::Health(a) => command::health::run(a).await,
            Command::Bench(a) => command::bench::run(a).await,
            Command::Experiment(a) => command::experiment::run(a).await,
        }
    });
    // Only servers still run; no one waits for them.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
