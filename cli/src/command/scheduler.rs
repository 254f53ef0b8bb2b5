//! `bergmill scheduler`: the scheduler as its own process.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bergmill_scheduler::SchedulerConfig;
use tempfile::TempDir;

use crate::settings::{Members, Scheduler, Tables, with_file};
use crate::signals::StopSignals;

/// Arguments of `scheduler`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Configuration file (TOML); flags and environment variables override it
    #[arg(long, env = "BERGMILL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    tables: Tables,
    #[command(flatten)]
    scheduler: Scheduler,
    #[command(flatten)]
    members: Members,
}

/// Runs the scheduler until Ctrl-C or SIGTERM.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let tables = arguments.tables.with_file(arguments.config.as_deref())?;
    let settings = with_file(arguments.scheduler, arguments.config.as_deref(), "scheduler")?;
    let cluster_tls = with_file(arguments.members, arguments.config.as_deref(), "cluster")?.tls()?;
    let temporary = TempDir::with_prefix("bergmill-").context("temporary folder for spilled data")?;
    let cluster_addr = settings.cluster_listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 50050)));
    let listen = settings.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 50051)));
    let insecure = settings.insecure_listen.unwrap_or(false);
    let tls = settings.tls()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let doors = [Some(listen), settings.http_listen, settings.postgres_listen];
    let doors: Vec<SocketAddr> = doors.into_iter().flatten().collect();
    if tls.is_none() {
        for door in &doors {
            closed(*door, "no --tls-cert and --tls-key", insecure)?;
        }
    }
    if cluster_tls.is_none() {
        only_loopback(cluster_addr, insecure)?;
    }
    let advertised_host = settings.advertise.unwrap_or_else(|| cluster_addr.ip().to_string());
    if advertised_host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified()) {
        bail!(
            "executors cannot connect to {advertised_host}; set the host at which they reach this scheduler: --advertise HOST"
        );
    }
    let mut config = SchedulerConfig {
        cluster_addr,
        cluster_tls,
        advertised_host,
        listen,
        http: settings.http_listen,
        postgres: settings.postgres_listen,
        tls,
        access: None,
        open_without_users: insecure || doors.iter().all(|door| door.ip().is_loopback()),
        metrics: settings.metrics_listen,
        executor_timeout: Duration::from_secs(settings.executor_timeout.unwrap_or(20).max(2)),
        local_query_bytes: settings.local_query_bytes.unwrap_or(4 * 1024 * 1024),
        local_memory_bytes: usize::try_from(settings.memory_mib.unwrap_or(512)).unwrap_or(usize::MAX) * 1024 * 1024,
        work_dir: settings.work_dir.unwrap_or_else(|| temporary.path().to_path_buf()),
        journal: Some(tables.journal()),
        audit: Some(tables.audit()),
    };
    let mut signals = StopSignals::listen()?;
    let start = async {
        let users = tables.users().await?;
        if !users.has_users().await? {
            for door in doors {
                closed(door, "no users", insecure)?;
            }
        }
        config.access = Some(users);
        Ok(bergmill_scheduler::start(config, tables.open().await?).await?)
    };
    let Some(running) = signals.or_stop(start).await? else { return Ok(ExitCode::SUCCESS) };
    println!("warehouse {}", tables.location());
    println!("executors register at {}", running.cluster_addr);
    if let Some(metrics) = running.metrics {
        println!("metrics http://{metrics}/metrics");
    }
    println!("front door {}", running.listen);
    if let Some(http) = running.http {
        println!("front door {scheme}://{http}");
    }
    if let Some(postgres) = running.postgres {
        println!("front door postgresql://{postgres}");
    }
    signals.received().await;
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Refuses to open the front door to the network if it lacks what protects it. If `insecure` says that the network is
/// closed, says what that means instead.
fn closed(listen: SocketAddr, lacks: &str, insecure: bool) -> Result<()> {
    if listen.ip().is_loopback() {
        return Ok(());
    }
    if !insecure {
        bail!(
            "{listen} can be reached from the network, and the front door has {lacks}: make a certificate with `bergmill \
             certs` and a user with `bergmill user add`, or see --insecure-listen"
        );
    }
    let meaning = match lacks {
        "no users" => "anyone who reaches it can read and change all tables",
        _ => "anyone on the way can read passwords and rows",
    };
    eprintln!("warning: --insecure-listen: the front door {listen} has {lacks}, so {meaning}");
    Ok(())
}

/// Refuses to open a port between processes to the network if the cluster has no certificates. If `insecure` says that
/// the network is closed, says what that means instead.
pub fn only_loopback(addr: SocketAddr, insecure: bool) -> Result<()> {
    if addr.ip().is_loopback() {
        return Ok(());
    }
    if !insecure {
        bail!(
            "{addr} can be reached from the network, and the ports between processes have no --cluster-ca, --cluster-cert \
             and --cluster-key: make them with `bergmill certs`, or see --insecure-listen"
        );
    }
    eprintln!(
        "warning: --insecure-listen: {addr} admits processes without a certificate, so anyone who reaches it can run tasks \
         and read their results"
    );
    Ok(())
}
