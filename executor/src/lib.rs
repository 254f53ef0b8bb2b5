//! The executor process: runs the scheduler's tasks, and serves their results to other executors.
//!
//! Thin on purpose: Ballista's executor does the work. This crate sets its codec, functions, memory and timeouts.
//!
//! ```
//! use std::net::Ipv4Addr;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bergmill_catalog::Warehouse;
//! use bergmill_executor::ExecutorConfig;
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
//! let executor = tokio::spawn(bergmill_executor::run(ExecutorConfig {
//!     scheduler_host: cluster.cluster_addr.ip().to_string(),
//!     scheduler_port: cluster.cluster_addr.port(),
//!     connect_timeout: Duration::from_secs(10),
//!     bind: Ipv4Addr::LOCALHOST.into(),
//!     advertised_host: Some("127.0.0.1".to_string()),
//!     flight_port: 0,
//!     task_port: 0,
//!     vcores: 2,
//!     memory_bytes: 64 << 20,
//!     work_dir: folder.path().join("executor"),
//!     stores,
//!     heartbeat: Duration::from_secs(3),
//!     health: None,
//!     metrics: None,
//! }));
//! cluster.scheduler.wait_for_executors(1, Duration::from_secs(10)).await?;
//! assert_eq!(cluster.scheduler.executors().await?, [2]);
//! # executor.abort();
//! # Ok(())
//! # }
//! ```

mod health;
mod metrics;
mod stage;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::error::BallistaError;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use bergmill_engine::{MAX_MESSAGE_BYTES, PlanCodec, cluster_config, function_registry, runtime_env, serve_metrics};
use bergmill_storage::Stores;

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
    /// Ballista's executor failed, most often because the scheduler cannot be reached.
    #[error("executor for scheduler {scheduler}: {source}")]
    Process {
        /// `host:port` of the scheduler.
        scheduler: String,
        /// Ballista's error.
        source: Box<BallistaError>,
    },
}

impl Error {
    /// Whether one of Ballista's ports is in use.
    fn is_port_in_use(&self) -> bool {
        let Self::Process { source, .. } = self else { return false };
        let mut cause: Option<&(dyn std::error::Error + 'static)> = match source.as_ref() {
            BallistaError::IoError(e) => Some(e),
            BallistaError::TonicError(e) => Some(e),
            _ => None,
        };
        while let Some(current) = cause {
            if current.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::AddrInUse) {
                return true;
            }
            cause = current.source();
        }
        false
    }
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
    /// Address that answers `GET /ready` over HTTP: 200 while the scheduler answers heartbeats, otherwise 503.
    pub health: Option<SocketAddr>,
    /// Address of the executor's metrics, `GET /metrics` over HTTP.
    pub metrics: Option<SocketAddr>,
}

/// Age at which shuffle data that the scheduler did not clean up is deleted.
const SHUFFLE_TTL: Duration = Duration::from_secs(6 * 3600);
/// Interval between checks for such data.
const SHUFFLE_CLEANUP: Duration = Duration::from_secs(600);

/// Attempts to find free ports before a port in use is an error.
const MAX_BINDS: usize = 5;

/// Runs an executor until a signal or the scheduler stops it.
pub async fn run(config: ExecutorConfig) -> Result<()> {
    std::fs::create_dir_all(&config.work_dir)
        .map_err(|source| Error::WorkDir { path: config.work_dir.clone(), source })?;
    for _ in 1..MAX_BINDS {
        match run_once(&config).await {
            // Another process took the port between choosing it and listening on it: choose another.
            Err(e) if e.is_port_in_use() && (config.flight_port == 0 || config.task_port == 0) => {}
            done => return done,
        }
    }
    run_once(&config).await
}

async fn run_once(config: &ExecutorConfig) -> Result<()> {
    let scheduler = format!("{}:{}", config.scheduler_host, config.scheduler_port);
    let metrics = Metrics::new(config.vcores.max(1), config.memory_bytes);
    let process = Arc::new(process_config(config, metrics.clone())?);
    let health = process.health.clone();
    let probes = answers(config.health, |listener| health::serve(listener, health)).await?;
    let health = process.health.clone();
    let scrapes = answers(config.metrics, |listener| {
        serve_metrics(listener, move || std::future::ready(metrics.gather(&health)))
    });
    let scrapes = scrapes.await?;
    tokio::select! {
        done = start_executor_process(process) => done.map_err(|e| Error::Process { scheduler, source: Box::new(e) }),
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

fn process_config(config: &ExecutorConfig, metrics: Metrics) -> Result<ExecutorProcessConfig> {
    // Ballista binds port numbers. Both ports are held until both are known, so that they differ.
    let flight = reserve(config.bind, config.flight_port)?;
    let task = reserve(config.bind, config.task_port)?;
    let port = |l: &TcpListener, requested: u16| l.local_addr().map_or(requested, |a| a.port());
    let message = u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX);
    let vcores = config.vcores.max(1);
    let (spill, stores) = (config.work_dir.clone(), Arc::clone(&config.stores));
    Ok(ExecutorProcessConfig {
        executor_id: uuid::Uuid::new_v4().to_string(),
        bind_host: config.bind.to_string(),
        external_host: config.advertised_host.clone(),
        port: port(&flight, config.flight_port),
        grpc_port: port(&task, config.task_port),
        scheduler_host: config.scheduler_host.clone(),
        scheduler_port: config.scheduler_port,
        scheduler_connect_timeout_seconds: u16::try_from(config.connect_timeout.as_secs()).unwrap_or(u16::MAX),
        vcores,
        task_scheduling_policy: TaskSchedulingPolicy::PushStaged,
        work_dir: Some(config.work_dir.to_string_lossy().into_owned()),
        job_data_ttl_seconds: SHUFFLE_TTL.as_secs(),
        job_data_clean_up_interval_seconds: SHUFFLE_CLEANUP.as_secs(),
        grpc_max_decoding_message_size: message,
        grpc_max_encoding_message_size: message,
        executor_heartbeat_interval_seconds: config.heartbeat.as_secs().max(1),
        memory_pool_size: Some(config.memory_bytes),
        override_execution_engine: Some(Arc::new(stage::Engine::new(metrics))),
        override_function_registry: Some(Arc::new(function_registry())),
        override_config_producer: Some(Arc::new(move || cluster_config(vcores))),
        override_runtime_producer: Some(Arc::new(move |_| runtime_env(None, &spill, Arc::clone(&stores)))),
        override_physical_codec: Some(Arc::new(PlanCodec::default())),
        ..ExecutorProcessConfig::default()
    })
}

fn reserve(bind: IpAddr, port: u16) -> Result<TcpListener> {
    let addr = SocketAddr::new(bind, port);
    TcpListener::bind(addr).map_err(|source| Error::Listen { addr, source })
}
