//! Starts and holds the scheduler: Ballista's server for executors, the front door for clients.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::serde::scheduler::ExecutorMetadata;
use ballista_scheduler::cluster::{BallistaCluster, JobState};
use ballista_scheduler::config::SchedulerConfig as BallistaConfig;
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::{SchedulerServer, SessionBuilder};
use bergmill_access::Access;
use bergmill_catalog::Warehouse;
use bergmill_engine::{
    MAX_MESSAGE_BYTES, MemoryLimit, PlanCodec, RoundTrip, cluster_config, over_tls, runtime_env, serve_metrics,
};
use bergmill_gateway::{Backend, Login, Security, Sessions};
use bergmill_tls::grpc::with_sources;
use datafusion::catalog::MemoryCatalogProviderList;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use crate::cluster_port;
use crate::config::SchedulerConfig;
use crate::draining::Draining;
use crate::error::{Error, ErrorKind, Result};
use crate::kept_plans::KeptPlans;
use crate::local::LocalRuntime;
use crate::login::UserLogin;
use crate::metrics::{Metrics, StatementMetrics};
use crate::planner::session_state;
use crate::prepared_plans::PreparedPlans;
use crate::results::ResultClients;
use crate::stages::{CountedVcores, EndedTasks, Gate};
use crate::system::{Audit, Executor, History, Journal, Outlets};

/// Age at which result files of finished queries are removed: clients read immediately, or not at all.
const RESULT_TTL: Duration = Duration::from_secs(120);
/// How long an executor may take to answer a call, as Ballista has it without TLS.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Interval between checks for lost executors.
const EXPIRY_CHECK: Duration = Duration::from_secs(2);

/// The scheduler: plans, runs and commits statements.
pub struct Scheduler {
    pub(crate) server: SchedulerServer<LogicalPlanNode, PhysicalPlanNode>,
    pub(crate) jobs: Arc<dyn JobState>,
    pub(crate) warehouse: Warehouse,
    pub(crate) access: Option<Access>,
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) local: LocalRuntime,
    pub(crate) results: ResultClients,
    pub(crate) history: History,
    pub(crate) metrics: Metrics,
    pub(crate) kept_plans: KeptPlans,
    pub(crate) prepared_plans: PreparedPlans,
    pub(crate) sessions: Sessions,
    pub(crate) local_query_bytes: u64,
    pub(crate) gate: Arc<Gate>,
    pub(crate) draining: Arc<Draining>,
    pub(crate) ended_tasks: Arc<EndedTasks>,
    pub(crate) round_trip: Arc<RoundTrip>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").finish_non_exhaustive()
    }
}

impl Scheduler {
    /// The tables behind this scheduler.
    pub fn warehouse(&self) -> &Warehouse {
        &self.warehouse
    }

    /// Task slots of each executor that takes tasks.
    pub async fn executors(&self) -> Result<Vec<usize>> {
        let executors = self.registered().await?;
        Ok(executors.iter().filter(|e| !e.drains).map(|e| e.metadata.specification.vcores as usize).collect())
    }

    /// All registered executors.
    pub(crate) async fn registered(&self) -> Result<Vec<Executor>> {
        let executors = self.server.state.executor_manager.get_executors_state().await?;
        let executor = |metadata: ExecutorMetadata| Executor { drains: self.draining.contains(&metadata.id), metadata };
        Ok(executors.into_iter().map(|(metadata, ..)| executor(metadata)).collect())
    }

    /// Waits until `n` executors have registered.
    pub async fn wait_for_executors(&self, n: usize, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let executors = self.executors().await?;
            if executors.len() >= n {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let what = format!("{} of {n} executors registered within {timeout:?}", executors.len());
                return Err(Error::new(ErrorKind::Unavailable, what));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A scheduler that runs in this process.
pub struct Running {
    /// The scheduler itself.
    pub scheduler: Arc<Scheduler>,
    /// Address where executors register.
    pub cluster_addr: SocketAddr,
    /// Address of the front door.
    pub listen: SocketAddr,
    /// Address of the front door over HTTP, if it is configured.
    pub http: Option<SocketAddr>,
    /// Address of the front door for clients of Postgres, if it is configured.
    pub postgres: Option<SocketAddr>,
    /// Address of the metrics, if they are configured.
    pub metrics: Option<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cluster_addr, listen, .. } = self;
        f.debug_struct("Running").field("cluster_addr", cluster_addr).field("listen", listen).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Starts a scheduler over `warehouse`: its ports are open when this returns.
pub async fn start(config: SchedulerConfig, warehouse: Warehouse) -> Result<Running> {
    let cluster = bind(config.cluster_addr, "executors").await?;
    let door = bind(config.listen, "the front door").await?;
    let http = match config.http {
        Some(addr) => Some(bind(addr, "HTTP").await?),
        None => None,
    };
    let postgres = match config.postgres {
        Some(addr) => Some(bind(addr, "Postgres").await?),
        None => None,
    };
    let cluster_addr = cluster.local_addr().map_err(|e| cannot_listen(config.cluster_addr, "executors", &e))?;
    let listen = door.local_addr().map_err(|e| cannot_listen(config.listen, "the front door", &e))?;
    let scrapes = match config.metrics {
        Some(addr) => Some(bind(addr, "metrics").await?),
        None => None,
    };

    let limit = MemoryLimit(config.local_memory_bytes);
    let runtime = runtime_env(Some(limit), &config.work_dir, Arc::clone(warehouse.stores()))?;
    let ballista = Arc::new(ballista_config(&config, cluster_addr, Arc::clone(&runtime)));
    let jobs = BallistaCluster::new_from_config(&ballista).await?.job_state();
    let round_trip = Arc::new(RoundTrip::new(Arc::clone(&runtime)));
    let gate = Arc::new(Gate::new(Arc::clone(&round_trip)));
    let (draining, ended_tasks) = (Arc::<Draining>::default(), Arc::<EndedTasks>::default());
    let executors = CountedVcores::new(Arc::clone(&gate), Arc::clone(&draining), Arc::clone(&ended_tasks));
    let state = BallistaCluster::new(Arc::new(executors), Arc::clone(&jobs));
    let server = create_scheduler(state, ballista).await?;
    let (grpc, members) = (server.clone(), config.cluster_tls.as_ref().map(|tls| tls.server()));
    let metrics = Metrics::new();
    let scheduler = Arc::new(Scheduler {
        server,
        jobs,
        warehouse,
        access: config.access.clone(),
        round_trip,
        gate,
        draining,
        ended_tasks,
        runtime,
        local: LocalRuntime::start()?,
        results: ResultClients::new(config.cluster_tls.as_ref()),
        history: history(metrics.statements.clone(), &config),
        kept_plans: KeptPlans::default(),
        prepared_plans: PreparedPlans::default(),
        sessions: Sessions::default(),
        metrics,
        local_query_bytes: config.local_query_bytes,
    });
    let backend: Arc<dyn Backend> = scheduler.clone();
    let drained = Arc::clone(&scheduler);
    let open_without_users = config.open_without_users;
    let audit = scheduler.history.audit().clone();
    let login = config.access.map(|access| Arc::new(UserLogin { access, open_without_users, audit }) as Arc<dyn Login>);
    let security = Security { tls: config.tls, login, sessions: scheduler.sessions.clone() };
    let http_addr = http.as_ref().and_then(|listener| listener.local_addr().ok());
    let postgres_addr = postgres.as_ref().and_then(|listener| listener.local_addr().ok());
    let mut tasks = Vec::new();
    if let Some(listener) = postgres {
        let (backend, security) = (Arc::clone(&backend), security.clone());
        tasks.push(tokio::spawn(async move {
            if let Err(e) = bergmill_gateway::serve_postgres(listener, backend, security, std::future::pending()).await
            {
                tracing::error!("the port for Postgres failed: {e}");
            }
        }));
    }
    if let Some(listener) = http {
        let (backend, security) = (Arc::clone(&backend), security.clone());
        tasks.push(tokio::spawn(async move {
            if let Err(e) = bergmill_gateway::serve_http(listener, backend, security, std::future::pending()).await {
                tracing::error!("the port for HTTP failed: {e}");
            }
        }));
    }
    tasks.extend([
        tokio::spawn(async move { drained.let_drained_go().await }),
        tokio::spawn(async move {
            if let Err(e) = cluster_port::serve(cluster, grpc, members).await {
                tracing::error!("the executors' port failed: {}", with_sources(&e));
            }
        }),
        tokio::spawn(async move {
            if let Err(e) = bergmill_gateway::serve(door, backend, security, std::future::pending()).await {
                tracing::error!("the front door failed: {e}");
            }
        }),
    ]);
    let mut metrics_addr = None;
    if let Some(listener) = scrapes {
        metrics_addr = listener.local_addr().ok();
        let scraped = Arc::clone(&scheduler);
        let gather = move || {
            let scheduler = Arc::clone(&scraped);
            async move { scheduler.metrics.gather(&scheduler).await }
        };
        tasks.push(tokio::spawn(async move {
            if let Err(e) = serve_metrics(listener, gather).await {
                tracing::error!("the port for metrics failed: {e}");
            }
        }));
    }
    Ok(Running {
        scheduler,
        cluster_addr,
        listen,
        http: http_addr,
        postgres: postgres_addr,
        metrics: metrics_addr,
        tasks,
    })
}

/// The history and the audit, in their files. A scheduler that cannot write them is still useful.
fn history(metrics: StatementMetrics, config: &SchedulerConfig) -> History {
    fn opened<T>(path: Option<&Path>, open: impl FnOnce(&Path) -> io::Result<T>, what: &str) -> Option<T> {
        let path = path?;
        open(path).inspect_err(|e| tracing::error!("{what}: {}: {e}", path.display())).ok()
    }

    let kept = opened(config.journal.as_deref(), Journal::open, "system.queries is not kept over a restart");
    let (journal, earlier) = kept.map_or((None, Vec::new()), |(journal, earlier)| (Some(journal), earlier));
    let audit = opened(config.audit.as_deref(), Audit::open, "the audit is in memory only").unwrap_or_default();
    History::new(Outlets { metrics, journal, audit }, earlier)
}

async fn bind(addr: SocketAddr, purpose: &str) -> Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|e| cannot_listen(addr, purpose, &e))
}

fn cannot_listen(addr: SocketAddr, purpose: &str, e: &std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot listen on {addr} for {purpose}: {e}"))
}

fn ballista_config(config: &SchedulerConfig, addr: SocketAddr, runtime: Arc<RuntimeEnv>) -> BallistaConfig {
    let message = u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX);
    let session_builder: SessionBuilder = Arc::new(move |session: SessionConfig| {
        Ok(session_state(session, Arc::clone(&runtime), Arc::new(MemoryCatalogProviderList::new())))
    });
    BallistaConfig {
        bind_host: addr.ip().to_string(),
        bind_port: addr.port(),
        external_host: config.advertised_host.clone(),
        // Measured: pull-staged takes 2.4 times as long on TPC-H, and 100 ms for the smallest query.
        scheduling_policy: TaskSchedulingPolicy::PushStaged,
        executor_timeout_seconds: config.executor_timeout.as_secs(),
        no_executors_grace_period_seconds: config.executor_timeout.as_secs(),
        expire_dead_executor_interval_seconds: EXPIRY_CHECK.as_secs(),
        finished_job_data_clean_up_interval_seconds: RESULT_TTL.as_secs(),
        finished_job_state_clean_up_interval_seconds: RESULT_TTL.as_secs(),
        grpc_server_max_decoding_message_size: message,
        grpc_server_max_encoding_message_size: message,
        grpc_client_max_message_size: message,
        override_config_producer: Some(Arc::new(|| cluster_config(1))),
        override_session_builder: Some(session_builder),
        override_physical_codec: Some(Arc::new(PlanCodec::default())),
        override_create_grpc_client_endpoint: config.cluster_tls.as_ref().map(|tls| over_tls(tls, Some(CALL_TIMEOUT))),
        ..BallistaConfig::default()
    }
}
