//! `bergmill executor`: an executor as its own process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use bergmill_executor::{ExecutorConfig, Stop};
use bergmill_storage::Stores;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::memory;
use crate::settings::{Catalog, Executor, Members, Storage, with_file};
use crate::signals::StopSignals;

const MIB: u64 = 1024 * 1024;

/// Arguments of `executor`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Configuration file (TOML); flags and environment variables override it
    #[arg(long, env = "BERGMILL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    executor: Executor,
    #[command(flatten)]
    members: Members,
    #[command(flatten)]
    storage: Storage,
    #[command(flatten)]
    catalog: Catalog,
}

/// Runs the executor until Ctrl-C or SIGTERM: it drains after the first of these signals, and stops at the second.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let settings = with_file(arguments.executor, arguments.config.as_deref(), "executor")?;
    let storage = with_file(arguments.storage, arguments.config.as_deref(), "storage")?;
    let catalog = with_file(arguments.catalog, arguments.config.as_deref(), "catalog")?;
    let stores = Stores::new(storage.config()?);
    if let Some(vendor) = catalog.vendor()? {
        stores.set_vendor(vendor);
    }
    let temporary = TempDir::with_prefix("bergmill-").context("temporary folder for shuffled and spilled data")?;
    let scheduler = settings.scheduler.unwrap_or_else(|| "127.0.0.1:50050".to_string());
    let (scheduler_host, scheduler_port) = scheduler
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)))
        .with_context(|| format!("scheduler {scheduler} is not host:port"))?;
    let listen = settings.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let tls = with_file(arguments.members, arguments.config.as_deref(), "cluster")?.tls()?;
    if tls.is_none() {
        super::scheduler::only_loopback(listen, settings.insecure_listen.unwrap_or(false))?;
    }
    let vcores = settings.vcores.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let memory = settings.memory_mib.map_or_else(memory::for_queries, |mib| mib.saturating_mul(MIB)).max(64 * MIB);
    // For an unspecified address, the scheduler uses the one that it sees.
    let host = Some(listen.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
    let drain_timeout = Duration::from_secs(settings.drain_timeout.unwrap_or(300));
    let mut signals = StopSignals::listen()?;
    println!("executor for scheduler {scheduler}: {vcores} vcores, {} MiB for tasks", memory / MIB);
    let config = ExecutorConfig {
        scheduler_host,
        scheduler_port,
        connect_timeout: Duration::from_secs(settings.connect_timeout.unwrap_or(30).max(1)),
        bind: listen.ip(),
        advertised_host: settings.advertise.or(host),
        flight_port: listen.port(),
        task_port: settings.task_port.unwrap_or(0),
        tls,
        vcores,
        memory_bytes: memory,
        work_dir: settings.work_dir.unwrap_or_else(|| temporary.path().to_path_buf()),
        stores,
        heartbeat: Duration::from_secs(settings.heartbeat.unwrap_or(3).max(1)),
        drain_timeout,
        health: settings.health_listen,
        metrics: settings.metrics_listen,
    };
    let (stop, requests) = watch::channel(Stop::No);
    let signalled = async {
        signals.received().await;
        println!("draining: stops when no query needs it, in at most {} s", drain_timeout.as_secs());
        stop.send_replace(Stop::Drain);
        signals.received().await;
        stop.send_replace(Stop::Now);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        stopped = bergmill_executor::run(config, requests) => stopped?,
        () = signalled => {}
    }
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}
