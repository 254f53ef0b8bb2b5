//! `bergmill serve`: all roles in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cluster::{Cluster, Server};
use crate::settings::{Embedded, Tables, with_file};
use crate::signals::StopSignals;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address of the front door for Flight SQL clients
    #[arg(long, env = "BERGMILL_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// Address of the front door over HTTP [default: none]
    #[arg(long, env = "BERGMILL_HTTP_LISTEN", value_name = "ADDR")]
    http_listen: Option<SocketAddr>,
    /// Address of the front door for clients of Postgres [default: none]
    #[arg(long, env = "BERGMILL_POSTGRES_LISTEN", value_name = "ADDR")]
    postgres_listen: Option<SocketAddr>,
    /// Configuration file (TOML); flags and environment variables override it
    #[arg(long, env = "BERGMILL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    tables: Tables,
    #[command(flatten)]
    embedded: Embedded,
}

/// Runs the cluster until Ctrl-C.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let doors = [Some(arguments.listen), arguments.http_listen, arguments.postgres_listen];
    if let Some(door) = doors.into_iter().flatten().find(|door| !door.ip().is_loopback()) {
        bail!(
            "{door} can be reached from the network; serve listens on 127.0.0.1 or [::1] only, and `bergmill scheduler` \
             has TLS"
        );
    }
    let tables = arguments.tables.with_file(arguments.config.as_deref())?;
    let embedded = with_file(arguments.embedded, arguments.config.as_deref(), "embedded")?;
    let mut signals = StopSignals::listen()?;
    let (journal, audit) = (Some(tables.journal()), Some(tables.audit()));
    let server = Server { http: arguments.http_listen, postgres: arguments.postgres_listen, journal, audit };
    let start = Cluster::start(&tables, &embedded, arguments.listen, server, StopSignals::listen()?);
    let Some(mut cluster) = signals.or_stop(start).await? else { return Ok(ExitCode::SUCCESS) };
    println!("warehouse {}", tables.location());
    println!("front door {}", cluster.listen());
    if let Some(http) = cluster.http() {
        println!("front door http://{http}");
    }
    if let Some(postgres) = cluster.postgres() {
        println!("front door postgresql://{postgres}");
    }
    println!("try: bergmill sql --connect {}", cluster.listen());
    tokio::select! {
        stopped = cluster.stopped() => stopped?,
        () = signals.received() => cluster.stopping().await?,
    }
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}
