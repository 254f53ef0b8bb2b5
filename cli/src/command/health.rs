//! `bergmill health`: checks a scheduler or an executor and reports the result as an exit code, for process
//! supervisors.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bergmill_gateway::{Client, ErrorKind};
use futures::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::login::Login;

/// A process that does not answer within this time is not healthy.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `health`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    process: Process,
    #[command(flatten)]
    login: Login,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Process {
    /// Front door of a scheduler, which must answer a query, or refuse it because it needs a login
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
    /// Address of an executor's --health-listen; the scheduler must answer its heartbeats
    #[arg(long, value_name = "HOST:PORT")]
    executor: Option<String>,
}

/// Succeeds if the process answers and is healthy.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let probe = async {
        if let Some(address) = &arguments.process.connect {
            front_door(address, &arguments.login).await?;
        }
        if let Some(address) = &arguments.process.executor {
            executor(address).await?;
        }
        Ok(ExitCode::SUCCESS)
    };
    tokio::time::timeout(TIMEOUT, probe).await.context("no answer within 10 seconds")?
}

async fn front_door(address: &str, login: &Login) -> Result<()> {
    // A check has no user: a server that asks for one answers.
    let rows = match Client::connect_with(address, &login.without_user()).await?.query("SELECT 1").await {
        Err(e) if e.kind() == ErrorKind::Unauthenticated => return Ok(()),
        rows => rows?,
    };
    let batches: Vec<_> = rows.try_collect().await?;
    match batches.iter().map(|b| b.num_rows()).sum() {
        1 => Ok(()),
        n => bail!("{address} answered SELECT 1 with {n} rows"),
    }
}

/// Sends one request by hand, to avoid a dependency on an HTTP client.
async fn executor(address: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let request = format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.with_context(|| format!("request to {address}"))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.with_context(|| format!("answer of {address}"))?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    bail!("{address} is not ready: {}", answer.lines().last().unwrap_or("no answer"));
}
