//! The scheduler's settings, which the command line and the configuration file fill.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bergmill_access::Access;
use bergmill_tls::{ClusterTls, ServerTls};

/// Settings of a scheduler process.
#[derive(Debug, Clone)]
pub struct SchedulerConfig {
    /// Address where executors register and report. Port 0 picks a free port.
    pub cluster_addr: SocketAddr,
    /// The certificates by which the processes of the cluster admit each other; without them, everyone who reaches a
    /// port is admitted.
    pub cluster_tls: Option<ClusterTls>,
    /// Host name or address at which executors reach this scheduler.
    pub advertised_host: String,
    /// Address of the front door, for Flight SQL. Port 0 picks a free port.
    pub listen: SocketAddr,
    /// Address of the front door over HTTP. Port 0 picks a free port.
    pub http: Option<SocketAddr>,
    /// Address of the front door for clients of Postgres. Port 0 picks a free port.
    pub postgres: Option<SocketAddr>,
    /// The certificate of the front door; without it, connections are not encrypted.
    pub tls: Option<ServerTls>,
    /// The users; without them, the front door is open to everyone who reaches it.
    pub access: Option<Access>,
    /// Whether everyone is admitted while there are no users. Otherwise nobody is.
    pub open_without_users: bool,
    /// Address of the scheduler's metrics, `GET /metrics` over HTTP. Port 0 picks a free port.
    pub metrics: Option<SocketAddr>,
    /// An executor without a heartbeat for this long is lost; its tasks run elsewhere.
    pub executor_timeout: Duration,
    /// A query that reads at most this many bytes of data files, and is not expected to compare many pairs of rows,
    /// runs in the scheduler's own process.
    pub local_query_bytes: u64,
    /// Memory that queries in the scheduler's own process may hold before they spill, in bytes.
    pub local_memory_bytes: usize,
    /// Folder for the spill files of those queries and for event logs.
    pub work_dir: PathBuf,
    /// File that keeps the statements of `system.queries` over a restart.
    pub journal: Option<PathBuf>,
    /// File to which the audit is appended.
    pub audit: Option<PathBuf>,
}

impl SchedulerConfig {
    /// Loopback, free ports, quick loss detection: for the embedded cluster and tests.
    pub fn embedded(work_dir: PathBuf) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            cluster_addr: any,
            cluster_tls: None,
            advertised_host: "127.0.0.1".to_string(),
            listen: any,
            http: None,
            postgres: None,
            tls: None,
            access: None,
            open_without_users: true,
            metrics: None,
            executor_timeout: Duration::from_secs(20),
            local_query_bytes: 4 * 1024 * 1024,
            local_memory_bytes: 512 * 1024 * 1024,
            work_dir,
            journal: None,
            audit: None,
        }
    }
}
