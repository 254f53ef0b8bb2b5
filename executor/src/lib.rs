//! The executor process: runs the scheduler's tasks, and serves their results to other executors.
//!
//! Thin on purpose: Ballista's executor does the work. This crate sets its codec, functions, memory and timeouts,
//! serves its ports, and lets it stop without disturbing queries.
//!
//! ```
//! use std::net::Ipv4Addr;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bergmill_catalog::Warehouse;
//! use bergmill_executor::{ExecutorConfig, Stop};
//! use bergmill_scheduler::SchedulerConfig;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let warehouse = Warehouse::open_local(folder.path(), "bergmill").await?;
//! let stores = Arc::clone(warehouse.stores());
//! let config = SchedulerConfig::embedded(folder.path().join("scheduler"));
//! let cluster = bergmill_scheduler::start(config, warehouse).await?;
//!
//! let config = ExecutorConfig {
//!     scheduler_host: cluster.cluster_addr.ip().to_string(),
//!     scheduler_port: cluster.cluster_addr.port(),
//!     connect_timeout: Duration::from_secs(10),
//!     bind: Ipv4Addr::LOCALHOST.into(),
//!     advertised_host: Some("127.0.0.1".to_string()),
//!     flight_port: 0,
//!     task_port: 0,
//!     tls: None,
//!     vcores: 2,
//!     memory_bytes: 64 << 20,
//!     work_dir: folder.path().join("executor"),
//!     stores,
//!     heartbeat: Duration::from_secs(3),
//!     drain_timeout: Duration::from_secs(60),
//!     health: None,
//!     metrics: None,
//! };
//! let (stop, requests) = tokio::sync::watch::channel(Stop::No);
//! let executor = tokio::spawn(bergmill_executor::run(config, requests));
//! cluster.scheduler.wait_for_executors(1, Duration::from_secs(10)).await?;
//! assert_eq!(cluster.scheduler.executors().await?, [2]);
//!
//! stop.send_replace(Stop::Drain);
//! executor.await??;
//! assert!(cluster.scheduler.executors().await?.is_empty());
//! # Ok(())
//! # }
//! ```

mod ended;
mod health;
mod heartbeat;
mod metrics;
mod peers;
mod process;
mod query_files;
mod reports;
mod rows;
mod scheduler;
mod shuffle_files;
mod stage;
mod tasks;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ballista_executor::health::ExecutorHealth;
use bergmill_engine::serve_metrics;
use bergmill_storage::Stores;
use bergmill_tls::ClusterTls;
use tokio::sync::watch;

use crate::metrics::Metrics;

/// Result of the executor crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an executor did not start or why it stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on: it is in use, or not this machine's.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The requested address.
        addr: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The folder for shuffle data cannot be created.
    #[error("cannot use {path} as the executor's work folder: {source}")]
    WorkDir {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// No scheduler answers at this address.
    #[error("cannot reach scheduler {scheduler} within {waited:?}: {reason}")]
    Unreachable {
        /// `host:port` of the scheduler.
        scheduler: String,
        /// How long it was tried.
        waited: Duration,
        /// Why the last attempt failed.
        reason: String,
    },
    /// The scheduler has not answered several heartbeats in a row.
    #[error("lost contact with scheduler {scheduler}: it did not answer the last heartbeats")]
    Lost {
        /// `host:port` of the scheduler.
        scheduler: String,
    },
    /// The scheduler received no heartbeat for too long, and gave this executor up.
    #[error("scheduler {scheduler} received no heartbeat for too long and does not count on this executor any more")]
    GivenUp {
        /// `host:port` of the scheduler.
        scheduler: String,
    },
    /// The scheduler did not register this executor.
    #[error("scheduler {scheduler} did not register this executor: {reason}")]
    NotRegistered {
        /// `host:port` of the scheduler.
        scheduler: String,
        /// The scheduler's reason, or why it could not be asked.
        reason: String,
    },
    /// The threads of tasks cannot be started.
    #[error("cannot start the threads of tasks: {source}")]
    Threads {
        /// The system's error.
        source: std::io::Error,
    },
    /// A part of the executor failed.
    #[error("the executor failed: {reason}")]
    Service {
        /// What failed, and why.
        reason: String,
    },
}

/// Settings of an executor process.
#[derive(Debug, Clone)]
pub struct ExecutorConfig {
    /// Host of the scheduler.
    pub scheduler_host: String,
    /// The scheduler's port for executors.
    pub scheduler_port: u16,
    /// How long to try to reach the scheduler before giving up.
    pub connect_timeout: Duration,
    /// Address to listen on.
    pub bind: IpAddr,
    /// Host name or address at which the scheduler and executors reach this one; `None` uses the address that the
    /// scheduler sees.
    pub advertised_host: Option<String>,
    /// Port for results and shuffles; 0 picks a free one.
    pub flight_port: u16,
    /// Port for tasks; 0 picks a free one.
    pub task_port: u16,
    /// The certificates by which the processes of the cluster admit each other; without them, everyone who reaches a
    /// port is admitted.
    pub tls: Option<ClusterTls>,
    /// Task slots: number of partitions that run at a time.
    pub vcores: usize,
    /// Memory that tasks may hold before they spill, in bytes, shared evenly by the vcores.
    pub memory_bytes: u64,
    /// Folder for shuffle data and spills.
    pub work_dir: PathBuf,
    /// The object stores of the tables' files. Plans carry no endpoints or credentials of them.
    pub stores: Arc<Stores>,
    /// Interval between heartbeats to the scheduler.
    pub heartbeat: Duration,
    /// How long a draining executor stays for queries that need its tasks or rows.
    pub drain_timeout: Duration,
    /// Address that answers `GET /ready` over HTTP: 200 while the scheduler answers heartbeats, otherwise 503.
    pub health: Option<SocketAddr>,
    /// Address of the executor's metrics, `GET /metrics` over HTTP.
    pub metrics: Option<SocketAddr>,
}

impl ExecutorConfig {
    /// `host:port` of the scheduler.
    fn scheduler(&self) -> String {
        format!("{}:{}", self.scheduler_host, self.scheduler_port)
    }
}

/// Whether an executor is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It is not.
    No,
    /// It takes no more tasks, finishes those that it runs, and stops when no query needs their rows.
    Drain,
    /// It stops at once. Queries that need its tasks or rows restart.
    Now,
}

/// Runs an executor until `requests` or the scheduler stops it.
pub async fn run(mut config: ExecutorConfig, mut requests: watch::Receiver<Stop>) -> Result<()> {
    config.vcores = config.vcores.max(1);
    std::fs::create_dir_all(&config.work_dir)
        .map_err(|source| Error::WorkDir { path: config.work_dir.clone(), source })?;
    let metrics = Metrics::new(config.vcores, config.memory_bytes);
    let health = ExecutorHealth::new();
    let probed = health.clone();
    let probes = answers(config.health, |listener| health::serve(listener, probed)).await?;
    let (scraped, ready) = (metrics.clone(), health.clone());
    let scrapes =
        answers(config.metrics, |listener| serve_metrics(listener, move || std::future::ready(scraped.gather(&ready))));
    let scrapes = scrapes.await?;
    tokio::select! {
        done = process::run(&config, metrics, health, &mut requests) => done,
        failed = probes => failed,
        failed = scrapes => failed,
    }
}

/// Opens a port for HTTP, if an address is configured. The returned future serves it and ends only with an error.
async fn answers<F: Future<Output = std::io::Result<()>>>(
    addr: Option<SocketAddr>,
    serve: impl FnOnce(tokio::net::TcpListener) -> F,
) -> Result<impl Future<Output = Result<()>>> {
    let failed = |addr| move |source| Error::Listen { addr, source };
    let listener = match addr {
        Some(addr) => Some((addr, tokio::net::TcpListener::bind(addr).await.map_err(failed(addr))?)),
        None => None,
    };
    Ok(async move {
        match listener {
            Some((addr, listener)) => serve(listener).await.map_err(failed(addr)),
            None => std::future::pending().await,
        }
    })
}
