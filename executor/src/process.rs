//! The life of an executor, made of Ballista's parts.
//!
//! Ballista's own process, `start_executor_process`, registers before it listens for readers of its rows, ends without
//! an error if it then cannot listen, and gives up all its rows at SIGTERM. Here an executor listens first; and when it
//! is asked to drain, it serves its rows until the scheduler lets it go.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::error::BallistaError;
use ballista_core::extension::{EndpointOverrideFn, SessionConfigExt};
use ballista_core::serde::protobuf::ExecutorStoppedParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec};
use ballista_core::utils::{
    GrpcClientConfig, create_grpc_client_endpoint, create_grpc_server, create_grpc_server_incoming,
};
use ballista_core::{ConfigProducer, RuntimeProducer};
use ballista_executor::executor::Executor;
use ballista_executor::executor_process::{ExecutorProcessConfig, structure_executor_metadata};
use ballista_executor::executor_server;
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use ballista_executor::runtime_cache::{DefaultSessionRuntimeCache, MemoryPoolPolicy};
use ballista_executor::shutdown::{Shutdown, ShutdownNotifier};
use bergmill_engine::{MAX_MESSAGE_BYTES, PlanCodec, cluster_config, function_registry, runtime_env};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;

use crate::ended::EndedTasks;
use crate::heartbeat::Heartbeats;
use crate::metrics::Metrics;
use crate::stage::Engine;
use crate::{Error, ExecutorConfig, Result, Stop, shuffle_files};

/// Interval between attempts to reach the scheduler at the start.
const CONNECT_EVERY: Duration = Duration::from_millis(500);
/// How long a report to the scheduler may take. A connection on which nothing arrives is given up earlier. Ballista
/// sets no limit: one report that the network swallows would hold up all later ones.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an executor that stops waits for its own parts, and for the scheduler.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests of the scheduler to stop that are not read yet: it repeats them.
const STOP_BUFFER: usize = 10;
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

/// What runs beside the tasks. Each runs until the executor stops.
type Services = JoinSet<std::result::Result<(), BallistaError>>;

/// An executor that the scheduler knows.
struct Registered {
    id: String,
    scheduler: SchedulerGrpcClient<Channel>,
    heartbeats: Heartbeats,
    notifier: ShutdownNotifier,
    /// Whether the scheduler has answered Ballista's last heartbeat.
    health: ExecutorHealth,
    /// Reports that Ballista's part stops, because the scheduler does not answer its heartbeats.
    given_up: Shutdown,
    /// Reports that the scheduler stops this executor.
    stopped: mpsc::Receiver<bool>,
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
        let ended = EndedTasks::default();
        let flight = listen(config)?;
        let addr = flight.local_addr().map_err(|source| cannot_listen(config, config.flight_port, source))?;
        let settings = Arc::new(settings(config, addr.port())?);
        let executor = Arc::new(executor(config, &settings, Engine::new(metrics, ended.clone(), config.vcores)));
        let scheduler = tokio::select! {
            connected = connect(config) => connected?,
            () = requested(requests, Stop::Drain) => return Ok(None),
        };
        let notifier = ShutdownNotifier::new();
        services.spawn(serve_rows(flight, executor.work_dir.clone(), &settings));
        services.spawn(shuffle_files::remove_old(config.work_dir.clone()));
        let (stop, stopped) = mpsc::channel(STOP_BUFFER);
        let codec: BallistaCodec =
            BallistaCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), Arc::new(PlanCodec::default()));
        let tasks = executor_server::startup(
            scheduler.clone(),
            Arc::clone(&settings),
            Arc::clone(&executor),
            codec,
            stop,
            &notifier,
            health.clone(),
        );
        let tasks = tasks.await.map_err(|e| failed(config, e))?;
        services.spawn(async move { tasks.await.map_err(BallistaError::TokioError)? });
        let heartbeats = Heartbeats::new(scheduler.clone(), executor.metadata.clone(), ended);
        let repeated = heartbeats.clone().repeat(config.heartbeat);
        services.spawn(async move { match repeated.await {} });
        let given_up = notifier.subscribe_for_shutdown();
        let id = executor.metadata.id.clone();
        Ok(Some(Self { id, scheduler, heartbeats, notifier, health, given_up, stopped }))
    }

    async fn run(
        mut self,
        config: &ExecutorConfig,
        requests: &mut watch::Receiver<Stop>,
        services: &mut Services,
    ) -> Result<()> {
        let done = tokio::select! {
            e = failure(config, &mut self.given_up, services) => Err(e),
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
        let is_known = self.heartbeats.announce_draining().await;
        if !is_known && !self.health.is_ready() {
            tracing::warn!("the scheduler does not answer, so there is no query for which to stay");
            return Ok(());
        }
        tokio::select! {
            e = failure(config, &mut self.given_up, services) => Err(e),
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
    async fn leave(self) {
        let Self { id, mut scheduler, notifier, .. } = self;
        let ShutdownNotifier { notify_shutdown, shutdown_complete_tx, mut shutdown_complete_rx } = notifier;
        // It fails if all parts have stopped already.
        let _ = notify_shutdown.send(());
        drop(shutdown_complete_tx);
        let left = async {
            shutdown_complete_rx.recv().await;
            let reason = "it was asked to stop".to_string();
            scheduler.executor_stopped(ExecutorStoppedParams { executor_id: id, reason }).await
        };
        match tokio::time::timeout(LEAVE_TIMEOUT, left).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::warn!("the scheduler does not know that this executor stops: {e}"),
            Err(_) => tracing::warn!("the scheduler does not know that this executor stops: it does not answer"),
        }
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
async fn failure(config: &ExecutorConfig, given_up: &mut Shutdown, services: &mut Services) -> Error {
    tokio::select! {
        () = given_up.recv() => Error::Lost { scheduler: config.scheduler() },
        ended = services.join_next() => failed(config, match ended {
            Some(Ok(Err(e))) => e,
            Some(Err(e)) => BallistaError::TokioError(e),
            Some(Ok(Ok(()))) | None => BallistaError::Internal("a port was closed".to_string()),
        }),
    }
}

fn failed(config: &ExecutorConfig, source: BallistaError) -> Error {
    Error::Process { scheduler: config.scheduler(), source: Box::new(source) }
}

fn cannot_listen(config: &ExecutorConfig, port: u16, source: std::io::Error) -> Error {
    Error::Listen { addr: SocketAddr::new(config.bind, port), source }
}

/// The port for results and shuffles, open.
fn listen(config: &ExecutorConfig) -> Result<TcpIncoming> {
    let addr = SocketAddr::new(config.bind, config.flight_port);
    create_grpc_server_incoming(addr, &Default::default()).map_err(|e| match e {
        BallistaError::IoError(source) => Error::Listen { addr, source },
        other => failed(config, other),
    })
}

/// Serves the rows of this executor's tasks.
fn serve_rows(
    port: TcpIncoming,
    work_dir: String,
    settings: &ExecutorProcessConfig,
) -> impl Future<Output = std::result::Result<(), BallistaError>> + use<> {
    let service = FlightServiceServer::new(BallistaFlightService::new(work_dir))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let server = create_grpc_server(&settings.grpc_server_config).add_service(service);
    async move { server.serve_with_incoming(port).await.map_err(BallistaError::TonicError) }
}

/// Connects to the scheduler, which may start later than this process.
async fn connect(config: &ExecutorConfig) -> Result<SchedulerGrpcClient<Channel>> {
    let grpc = GrpcClientConfig::from(&cluster_config(config.vcores).ballista_config());
    let url = format!("http://{}", config.scheduler());
    let endpoint = create_grpc_client_endpoint(url, Some(&grpc)).map_err(|e| failed(config, e.into()))?;
    let attempts = async {
        loop {
            match endpoint.connect().await {
                Ok(channel) => return channel,
                Err(e) => tracing::debug!("cannot reach scheduler {}: {e}", config.scheduler()),
            }
            tokio::time::sleep(CONNECT_EVERY).await;
        }
    };
    match tokio::time::timeout(config.connect_timeout, attempts).await {
        Ok(channel) => Ok(SchedulerGrpcClient::new(channel)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)),
        Err(_) => Err(Error::Unreachable { scheduler: config.scheduler(), waited: config.connect_timeout }),
    }
}

/// Ballista's executor with our functions, memory, object stores and engine.
fn executor(config: &ExecutorConfig, settings: &Arc<ExecutorProcessConfig>, engine: Engine) -> Executor {
    let vcores = config.vcores;
    let (spill, stores) = (config.work_dir.clone(), Arc::clone(&config.stores));
    let runtimes: RuntimeProducer = Arc::new(move |_| runtime_env(None, &spill, Arc::clone(&stores)));
    let sessions: ConfigProducer = Arc::new(move || cluster_config(vcores));
    let cache = DefaultSessionRuntimeCache::new(Arc::clone(&runtimes), memory_of_tasks(config), CACHED_SESSIONS);
    Executor::new(
        structure_executor_metadata(settings, u32::try_from(vcores).unwrap_or(u32::MAX)),
        &config.work_dir.to_string_lossy(),
        runtimes,
        sessions,
        Arc::new(function_registry()),
        Arc::new(LoggingMetricsCollector::default()),
        vcores,
        Arc::new(engine),
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

/// Ballista's settings.
fn settings(config: &ExecutorConfig, flight_port: u16) -> Result<ExecutorProcessConfig> {
    // Ballista binds the number of a port. Another process may take it in between: see [`crate::run`].
    let task_port = match config.task_port {
        0 => {
            let free = TcpListener::bind((config.bind, 0)).and_then(|listener| listener.local_addr());
            free.map_err(|source| cannot_listen(config, 0, source))?.port()
        }
        port => port,
    };
    let message = u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX);
    let reports: EndpointOverrideFn = Arc::new(|endpoint| {
        let endpoint = endpoint.connect_timeout(REPORT_TIMEOUT).timeout(REPORT_TIMEOUT);
        Ok(endpoint.http2_keep_alive_interval(REPORT_TIMEOUT / 4).keep_alive_timeout(REPORT_TIMEOUT / 2))
    });
    Ok(ExecutorProcessConfig {
        executor_id: uuid::Uuid::new_v4().to_string(),
        bind_host: config.bind.to_string(),
        external_host: config.advertised_host.clone(),
        port: flight_port,
        grpc_port: task_port,
        vcores: config.vcores,
        task_scheduling_policy: TaskSchedulingPolicy::PushStaged,
        grpc_max_decoding_message_size: message,
        grpc_max_encoding_message_size: message,
        executor_heartbeat_interval_seconds: config.heartbeat.as_secs().max(1),
        override_create_grpc_client_endpoint: Some(reports),
        ..ExecutorProcessConfig::default()
    })
}
