//! `bergmill certs`: certificates for an installation that has none.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use bergmill_tls::authority::{self, Request};

/// Names of the server that are in every certificate: those of this machine, and of the service in compose files.
const LOCAL_NAMES: [&str; 4] = ["localhost", "127.0.0.1", "::1", "scheduler"];

/// Arguments of `certs`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder for the certificates; an authority in it issues further ones
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// Host name or address at which clients reach the server, besides localhost, 127.0.0.1, ::1, scheduler and the
    /// name of this machine; may be repeated
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    /// Make a certificate for a client of this name; may be repeated. It does not admit to the ports between processes
    #[arg(long = "client", value_name = "NAME")]
    clients: Vec<String>,
    /// Days until the certificates expire
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=36500))]
    days: u64,
    /// Replace certificates that exist, but never the authority; a running server uses the new one without a restart
    #[arg(long)]
    force: bool,
}

/// Makes the certificates that are missing, or that are asked for.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { dir, names, clients, days, force } = arguments;
    let is_missing = |name: &str| !dir.join(name).exists();
    if !is_missing("server.pem") && !names.is_empty() && !force {
        bail!("{} exists already; --force replaces it", dir.join("server.pem").display());
    }
    // Those that exist are kept while others are added.
    let wants_server = is_missing("server.pem") || force;
    let server_names = if wants_server { server_names(names) } else { Vec::new() };
    let cluster = is_missing("cluster.pem") || force;
    if server_names.is_empty() && !cluster && clients.is_empty() {
        bail!("{} exists already; --force replaces it", dir.join("server.pem").display());
    }
    for file in authority::make(&dir, &Request { server_names, cluster, clients, days, replace: force })? {
        println!("{}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn server_names(given: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = LOCAL_NAMES.map(ToString::to_string).into();
    // A machine without a name has its other ones.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    for name in [host.trim().to_string()].into_iter().filter(|host| !host.is_empty()).chain(given) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
