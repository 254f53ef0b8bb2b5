//! The cluster that a command uses: one in this process, or one that runs elsewhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bergmill_access::Access;
use bergmill_executor::{ExecutorConfig, Stop};
use bergmill_gateway::{Client, ConnectOptions, Credentials};
use bergmill_scheduler::{Running, SchedulerConfig};
use clap::Args;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::login::Login;
use crate::memory;
use crate::settings::{Embedded, Tables, with_file};
use crate::signals::StopSignals;

/// How long executors of this process may take to register.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long executors may take to stop after a signal.
const STOP_GRACE: Duration = Duration::from_secs(5);
const MIB: u64 = 1024 * 1024;

/// Which cluster a command is for.
#[derive(Debug, Args)]
pub struct Target {
    /// Connect to the cluster at this address instead of starting one in this process
    #[arg(long, env = "BERGMILL_CONNECT", value_name = "HOST:PORT")]
    connect: Option<String>,
    #[command(flatten)]
    login: Login,
    /// Configuration file (TOML); flags and environment variables override it
    #[arg(long, env = "BERGMILL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    tables: Tables,
    #[command(flatten)]
    embedded: Embedded,
}

/// A connection to a cluster, and the cluster itself when it is in this process.
pub struct Connected {
    pub client: Client,
    pub folder: PathBuf,
    /// The catalog and the location of the tables, for display.
    pub tables: String,
    _cluster: Option<Cluster>,
}

impl Target {
    /// A cluster in this process over the tables of a folder, with other settings from `config`.
    pub fn in_folder(folder: PathBuf, config: Option<PathBuf>) -> Self {
        let (login, embedded) = (Login::default(), Embedded::default());
        Self { connect: None, login, config, tables: Tables::in_folder(folder), embedded }
    }

    /// Connects to the cluster, or starts one in this process, which stops on Ctrl-C and SIGTERM.
    pub async fn open(&self) -> Result<Connected> {
        self.open_until(StopSignals::listen()?).await
    }

    /// Connects to the cluster, or starts one in this process, which stops on these signals.
    pub async fn open_until(&self, signals: StopSignals) -> Result<Connected> {
        let file = self.config.as_deref();
        let tables = self.tables.clone().with_file(file)?;
        let (folder, described) = (tables.folder(), format!("{} and {}", tables.catalog(), tables.location()));
        if let Some(address) = &self.connect {
            return Ok(Connected {
                client: self.login.connect(address).await?,
                folder,
                tables: described,
                _cluster: None,
            });
        }
        let embedded = with_file(self.embedded.clone(), file, "embedded")?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let cluster = Cluster::start(&tables, &embedded, listen, Server::default(), signals).await?;
        let client = cluster.client().await?;
        Ok(Connected { client, folder, tables: described, _cluster: Some(cluster) })
    }
}

/// Scheduler and executors in this process.
pub struct Cluster {
    scheduler: Running,
    users: Access,
    executors: JoinSet<bergmill_executor::Result<()>>,
    _work: TempDir,
}

/// What a server has, and the cluster of a single command does not.
#[derive(Debug, Default)]
pub struct Server {
    /// The address for HTTP.
    pub http: Option<SocketAddr>,
    /// The address for clients of Postgres.
    pub postgres: Option<SocketAddr>,
    /// The file that keeps its statements.
    pub journal: Option<PathBuf>,
    /// The file of its audit.
    pub audit: Option<PathBuf>,
}

impl Cluster {
    /// Starts a cluster over the warehouse, which is created if missing. It listens for Flight SQL, and its executors
    /// stop on `signals`.
    pub async fn start(
        tables: &Tables,
        settings: &Embedded,
        listen: SocketAddr,
        server: Server,
        mut signals: StopSignals,
    ) -> Result<Self> {
        let (warehouse, users) = (tables.open().await?, tables.users().await?);
        let stores = Arc::clone(warehouse.stores());
        let work = TempDir::with_prefix("bergmill-").context("temporary folder for shuffled and spilled data")?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let executors = settings.executors.unwrap_or(2).max(1);
        let vcores = settings.vcores.unwrap_or_else(|| cores.div_ceil(executors)).max(1);
        let memory = settings.memory_mib.map_or_else(memory::for_queries, |mib| mib.saturating_mul(MIB)).max(64 * MIB);

        let mut config = SchedulerConfig::embedded(work.path().join("scheduler"));
        config.listen = listen;
        (config.http, config.postgres) = (server.http, server.postgres);
        (config.journal, config.audit) = (server.journal, server.audit);
        config.access = Some(users.clone());
        // Loads and small queries run in the scheduler's process; they get a third, the executors the rest.
        config.local_memory_bytes = usize::try_from(memory / 3).unwrap_or(usize::MAX);
        if let Some(bytes) = settings.local_query_bytes {
            config.local_query_bytes = bytes;
        }
        let scheduler = bergmill_scheduler::start(config, warehouse).await?;
        let mut running = JoinSet::new();
        let (stop, requests) = watch::channel(Stop::No);
        for _ in 0..executors {
            let config = ExecutorConfig {
                scheduler_host: scheduler.cluster_addr.ip().to_string(),
                scheduler_port: scheduler.cluster_addr.port(),
                connect_timeout: START_TIMEOUT,
                bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
                advertised_host: Some(Ipv4Addr::LOCALHOST.to_string()),
                flight_port: 0,
                task_port: 0,
                // On loopback, as the scheduler.
                tls: None,
                vcores,
                memory_bytes: memory * 2 / 3 / executors as u64,
                // The executors share a folder, so they read each other's shuffle files instead of fetching them. The
                // names of these files have the job, stage and task.
                work_dir: work.path().join("executors"),
                stores: Arc::clone(&stores),
                heartbeat: Duration::from_secs(3),
                // The scheduler of this process stops with them: no query could go on.
                drain_timeout: Duration::ZERO,
                health: None,
                metrics: None,
            };
            running.spawn(bergmill_executor::run(config, requests.clone()));
        }
        running.spawn(async move {
            signals.received().await;
            stop.send_replace(Stop::Now);
            Ok(())
        });
        let mut cluster = Self { scheduler, users, executors: running, _work: work };
        let registered = cluster.scheduler.scheduler.clone();
        tokio::select! {
            done = registered.wait_for_executors(executors, START_TIMEOUT) => done?,
            Some(stopped) = cluster.executors.join_next() => {
                stopped??;
                anyhow::bail!("stopped before the executors had registered");
            }
        }
        Ok(cluster)
    }

    /// Where the front door listens.
    pub fn listen(&self) -> SocketAddr {
        self.scheduler.listen
    }

    /// Where the front door listens for HTTP.
    pub fn http(&self) -> Option<SocketAddr> {
        self.scheduler.http
    }

    /// Where the front door listens for clients of Postgres.
    pub fn postgres(&self) -> Option<SocketAddr> {
        self.scheduler.postgres
    }

    /// A client of this process, which needs no login: its user can read the tables without this cluster.
    async fn client(&self) -> Result<Client> {
        let credentials = Some(Credentials::Token(self.users.own_session()?));
        let options = ConnectOptions { credentials, ..ConnectOptions::default() };
        Ok(Client::connect_with(&self.listen().to_string(), &options).await?)
    }

    /// Waits until one of the executors stops, which they do on Ctrl-C and SIGTERM, and then for the others.
    pub async fn stopped(&mut self) -> Result<()> {
        if let Some(stopped) = self.executors.join_next().await {
            stopped??;
        }
        self.stopping().await
    }

    /// Waits for the executors, after a signal.
    pub async fn stopping(&mut self) -> Result<()> {
        let all = async {
            while let Some(stopped) = self.executors.join_next().await {
                stopped??;
            }
            Ok(())
        };
        tokio::time::timeout(STOP_GRACE, all).await.unwrap_or(Ok(()))
    }
}
