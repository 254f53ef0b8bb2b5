//! The life of an executor, made of Ballista's parts.
//!
//! Ballista's own process, `start_executor_process`, registers before it listens for readers of its rows, ends without
//! an error if it then cannot listen, and gives up all its rows at SIGTERM; and one of its ports has no TLS. Here an
//! executor listens first; and when it is asked to drain, it serves its rows until the scheduler lets it go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpcServer;
use ballista_core::serde::protobuf::{ExecutorRegistration, ExecutorStoppedParams, RegisterExecutorParams};
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec};
use ballista_core::utils::{GrpcServerConfig, create_grpc_server};
use ballista_core::{ConfigProducer, RuntimeProducer};
use ballista_executor::executor::Executor;
use ballista_executor::executor_process::{ExecutorProcessConfig, structure_executor_metadata};
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use ballista_executor::runtime_cache::{DefaultSessionRuntimeCache, MemoryPoolPolicy};
use bergmill_engine::{
    MAX_MESSAGE_BYTES, PlanCodec, QueryThreads, cluster_config, function_registry, over_tls, runtime_env,
};
use bergmill_tls::NotTls;
use bergmill_tls::grpc::{accept, with_sources};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use crate::ended::EndedTasks;
use crate::heartbeat::Heartbeats;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::rows::Rows;
use crate::scheduler::{self, Client};
use crate::stage::Engine;
use crate::tasks::Tasks;
use crate::{Error, ExecutorConfig, Result, Stop, reports, shuffle_files};

/// Interval between attempts to reach the scheduler at the start.
const CONNECT_EVERY: Duration = Duration::from_millis(500);
/// How long an executor that stops waits for the scheduler.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The niceness of the threads of tasks.
const NICENESS: i32 = 10;
/// Sessions whose object stores and Parquet footers are kept for their next task.
const CACHED_SESSIONS: usize = 16;

/// Runs an executor until it is asked to stop, or the scheduler stops it.
pub(crate) async fn run(
    config: &ExecutorConfig,
    metrics: Metrics,
    health: ExecutorHealth,
    requests: &mut watch::Receiver<Stop>,
) -> Result<()> {
    let mut services = JoinSet::new();
    let done = match Registered::start(config, metrics, health, requests, &mut services).await {
        Ok(Some(executor)) => executor.run(config, requests, &mut services).await,
        Ok(None) => Ok(()),
        Err(e) => Err(e),
    };
    // Its ports are closed afterwards.
    services.shutdown().await;
    done
}

/// What runs beside the tasks. Each ends only with an error, or when the executor stops.
type Services = JoinSet<Error>;

/// An executor that the scheduler knows.
struct Registered {
    id: String,
    scheduler: Client,
    heartbeats: Heartbeats,
    /// Whether the scheduler has answered the last heartbeat.
    health: ExecutorHealth,
    /// Receives the scheduler's request to stop.
    stopped: mpsc::Receiver<()>,
    _threads: QueryThreads,
}

impl Registered {
    /// Starts an executor; `None` if it was asked to stop before it reached the scheduler.
    async fn start(
        config: &ExecutorConfig,
        metrics: Metrics,
        health: ExecutorHealth,
        requests: &mut watch::Receiver<Stop>,
        services: &mut Services,
    ) -> Result<Option<Self>> {
        let (rows, rows_at) = listen(config, config.flight_port).await?;
        let (tasks, tasks_at) = listen(config, config.task_port).await?;
        let mut scheduler = tokio::select! {
            connected = connect(config) => connected?,
            () = requested(requests, Stop::Drain) => return Ok(None),
        };
        let ended = EndedTasks::default();
        let executor = Arc::new(executor(config, registration(config, rows_at, tasks_at)));
        let registration = executor.metadata.clone();
        let id = registration.id.clone();
        let threads = QueryThreads::start(Some(config.vcores), lower_priority);
        let threads = threads.map_err(|source| Error::Threads { source })?;
        let (stop, stopped) = mpsc::channel(1);
        let (reports, to_report) = mpsc::unbounded_channel();
        let peers = config.tls.as_ref().map(|_| Peers::default());
        let runner = Tasks {
            engine: Arc::new(Engine::new(metrics, ended.clone(), threads.handle().clone(), peers)),
            executor,
            codec: BallistaCodec::new(
                Arc::new(BallistaLogicalExtensionCodec::default()),
                Arc::new(PlanCodec::default()),
            ),
            reports,
            stop,
        };
        services.spawn(serve_rows(config, rows));
        services.spawn(serve_tasks(config, tasks, runner));
        services.spawn(unending(reports::send(id.clone(), config.tls.clone(), to_report)));
        services.spawn(unending(shuffle_files::remove_old(config.work_dir.clone())));
        register(config, &mut scheduler, registration.clone()).await?;
        let heartbeats = Heartbeats::new(scheduler.clone(), registration, ended, health.clone());
        let (repeated, lost) = (heartbeats.clone(), Error::Lost { scheduler: config.scheduler() });
        let interval = config.heartbeat;
        services.spawn(async move {
            repeated.repeat(interval).await;
            lost
        });
        Ok(Some(Self { id, scheduler, heartbeats, health, stopped, _threads: threads }))
    }

    async fn run(
        mut self,
        config: &ExecutorConfig,
        requests: &mut watch::Receiver<Stop>,
        services: &mut Services,
    ) -> Result<()> {
        let done = tokio::select! {
            e = failure(services) => Err(e),
            _ = self.stopped.recv() => Err(Error::GivenUp { scheduler: config.scheduler() }),
            () = requested(requests, Stop::Drain) => self.drain(config, requests, services).await,
        };
        // Heartbeats end first: another one would register the executor again.
        services.shutdown().await;
        self.leave().await;
        done
    }

    /// Waits until no query needs this executor.
    async fn drain(
        &mut self,
        config: &ExecutorConfig,
        requests: &mut watch::Receiver<Stop>,
        services: &mut Services,
    ) -> Result<()> {
        if *requests.borrow() == Stop::Now {
            return Ok(());
        }
        let had_answered = self.health.is_ready();
        if !self.heartbeats.announce_draining().await && !had_answered {
            tracing::warn!("the scheduler does not answer, so there is no query for which to stay");
            return Ok(());
        }
        tokio::select! {
            e = failure(services) => Err(e),
            _ = self.stopped.recv() => Ok(()),
            () = requested(requests, Stop::Now) => Ok(()),
            () = tokio::time::sleep(config.drain_timeout) => {
                let seconds = config.drain_timeout.as_secs();
                tracing::warn!("stops after {seconds} s of draining; queries that need its tasks or rows restart");
                Ok(())
            }
        }
    }

    /// Deregisters, so that the scheduler need not find out.
    async fn leave(mut self) {
        let reason = "it was asked to stop".to_string();
        let left = self.scheduler.executor_stopped(ExecutorStoppedParams { executor_id: self.id, reason });
        match tokio::time::timeout(LEAVE_TIMEOUT, left).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::warn!("the scheduler does not know that this executor stops: {e}"),
            Err(_) => tracing::warn!("the scheduler does not know that this executor stops: it does not answer"),
        }
    }
}

/// Lowers the priority of a thread of tasks: they compute for as long as they can, and a delayed heartbeat makes an
/// executor look lost.
fn lower_priority() {
    if let Err(e) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!("a thread of tasks has the priority of others: {e}");
    }
}

/// Waits until at least this is requested.
pub(crate) async fn requested(requests: &mut watch::Receiver<Stop>, stop: Stop) {
    if requests.wait_for(|requested| *requested >= stop).await.is_err() {
        // No one is left who could request it.
        std::future::pending::<()>().await;
    }
}

/// Waits until the executor cannot run on.
async fn failure(services: &mut Services) -> Error {
    match services.join_next().await {
        Some(Ok(e)) => e,
        Some(Err(e)) => Error::Service { reason: e.to_string() },
        None => std::future::pending().await,
    }
}

/// A service that ends only when its input does, which is when the executor stops.
async fn unending(service: impl Future<Output = ()>) -> Error {
    service.await;
    std::future::pending().await
}

/// Opens a port of the executor.
async fn listen(config: &ExecutorConfig, port: u16) -> Result<(TcpListener, SocketAddr)> {
    let addr = SocketAddr::new(config.bind, port);
    let failed = |source| Error::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves the rows of this executor's tasks.
fn serve_rows(config: &ExecutorConfig, port: TcpListener) -> impl Future<Output = Error> + use<> {
    let service = FlightServiceServer::new(Rows::new(config.work_dir.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    serve(config, port, "rows", Routes::new(service))
}

/// Serves the scheduler's requests.
fn serve_tasks(config: &ExecutorConfig, port: TcpListener, tasks: Tasks) -> impl Future<Output = Error> + use<> {
    let service = ExecutorGrpcServer::new(tasks)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    serve(config, port, "tasks", Routes::new(service))
}

fn serve(
    config: &ExecutorConfig,
    port: TcpListener,
    what: &'static str,
    service: Routes,
) -> impl Future<Output = Error> + use<> {
    let settings = GrpcServerConfig::default();
    // Small answers must not wait for Nagle's algorithm.
    let incoming = TcpIncoming::from(port).with_nodelay(Some(true));
    let incoming = incoming.with_keepalive(Some(Duration::from_secs(settings.tcp_keepalive_seconds)));
    let tls = config.tls.as_ref().map(|tls| tls.server());
    let incoming = accept(incoming, tls, move |from, e| {
        // Ballista's scheduler tries without TLS whether it can reach an executor that registers.
        match e.get_ref().is_some_and(|e| e.is::<NotTls>()) {
            true => tracing::debug!("the port for {what} refused a connection from {from}: {e}"),
            false => tracing::warn!("the port for {what} refused a connection from {from}: {e}"),
        }
    });
    let server = create_grpc_server(&settings).add_routes(service);
    async move {
        let reason = match server.serve_with_incoming(incoming).await {
            Ok(()) => "it was closed".to_string(),
            Err(e) => with_sources(&e),
        };
        Error::Service { reason: format!("the port for {what} failed: {reason}") }
    }
}

/// Connects to the scheduler, which may start later than this process.
async fn connect(config: &ExecutorConfig) -> Result<Client> {
    let scheduler = config.scheduler();
    let mut reason = "it does not answer".to_string();
    let attempts = async {
        loop {
            match scheduler::connect(&scheduler, config.tls.as_ref()).await {
                Ok(client) => return client,
                Err(e) => reason = with_sources(&e),
            }
            tracing::debug!("cannot reach scheduler {scheduler}: {reason}");
            tokio::time::sleep(CONNECT_EVERY).await;
        }
    };
    let connected = tokio::time::timeout(config.connect_timeout, attempts).await;
    connected.map_err(|_| Error::Unreachable { scheduler, waited: config.connect_timeout, reason })
}

async fn register(config: &ExecutorConfig, scheduler: &mut Client, executor: ExecutorRegistration) -> Result<()> {
    match scheduler.register_executor(RegisterExecutorParams { metadata: Some(executor) }).await {
        Ok(_) => Ok(()),
        Err(e) => {
            let reason = scheduler::reason(&e, config.tls.as_ref());
            Err(Error::NotRegistered { scheduler: config.scheduler(), reason })
        }
    }
}

/// What the scheduler is told about this executor.
fn registration(config: &ExecutorConfig, rows: SocketAddr, tasks: SocketAddr) -> ExecutorRegistration {
    let described = ExecutorProcessConfig {
        executor_id: uuid::Uuid::new_v4().to_string(),
        external_host: config.advertised_host.clone(),
        port: rows.port(),
        grpc_port: tasks.port(),
        ..ExecutorProcessConfig::default()
    };
    structure_executor_metadata(&Arc::new(described), u32::try_from(config.vcores).unwrap_or(u32::MAX))
}

/// Ballista's executor with our functions, memory and object stores.
fn executor(config: &ExecutorConfig, registration: ExecutorRegistration) -> Executor {
    let vcores = config.vcores;
    let (spill, stores) = (config.work_dir.clone(), Arc::clone(&config.stores));
    let runtimes: RuntimeProducer = Arc::new(move |_| runtime_env(None, &spill, Arc::clone(&stores)));
    let peers = config.tls.as_ref().map(|tls| over_tls(tls, None));
    let sessions: ConfigProducer = Arc::new(move || match &peers {
        Some(peers) => cluster_config(vcores).with_ballista_override_create_grpc_client_endpoint(Arc::clone(peers)),
        None => cluster_config(vcores),
    });
    let cache = DefaultSessionRuntimeCache::new(Arc::clone(&runtimes), memory_of_tasks(config), CACHED_SESSIONS);
    Executor::with_default_execution_engine(
        registration,
        &config.work_dir.to_string_lossy(),
        runtimes,
        sessions,
        Arc::new(function_registry()),
        Arc::new(LoggingMetricsCollector::default()),
        vcores,
    )
    .with_session_runtime_cache(Some(Arc::new(cache)))
}

/// Each task gets the memory of its vcores, and its own pool.
fn memory_of_tasks(config: &ExecutorConfig) -> MemoryPoolPolicy {
    let of_vcore = usize::try_from(config.memory_bytes).unwrap_or(usize::MAX) / config.vcores;
    Arc::new(move |runtime, _, vcores| {
        let bytes = of_vcore.saturating_mul(vcores.max(1) as usize);
        RuntimeEnvBuilder::from_runtime_env(&runtime).with_memory_pool(Arc::new(FairSpillPool::new(bytes))).build_arc()
    })
}
