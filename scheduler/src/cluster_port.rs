//! The port for executors: what of Ballista's scheduler they may call, and who is admitted.
//!
//! Ballista's own server also takes plans from clients and answers REST calls. Here an executor registers, sends
//! heartbeats, reports its tasks, and leaves; clients have the front door.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use ballista_core::serde::protobuf::scheduler_grpc_server::{SchedulerGrpc, SchedulerGrpcServer};
use ballista_core::serde::protobuf::{
    CancelJobParams, CancelJobResult, CleanJobDataParams, CleanJobDataResult, CreateUpdateSessionParams,
    CreateUpdateSessionResult, ExecuteQueryParams, ExecuteQueryResult, ExecutorRegistration, ExecutorStoppedParams,
    ExecutorStoppedResult, GetJobMetricsParams, GetJobMetricsResult, GetJobStatusParams, GetJobStatusResult,
    HeartBeatParams, HeartBeatResult, PollWorkParams, PollWorkResult, RegisterExecutorParams, RegisterExecutorResult,
    RemoveSessionParams, RemoveSessionResult, UpdateTaskStatusParams, UpdateTaskStatusResult,
};
use ballista_core::utils::{GrpcServerConfig, create_grpc_server};
use ballista_scheduler::scheduler_server::SchedulerServer;
use bergmill_engine::MAX_MESSAGE_BYTES;
use bergmill_tls::ServerTls;
use bergmill_tls::grpc::accept;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::Stream;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

type Server = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;
type Answer<T> = std::result::Result<Response<T>, Status>;

/// Serves executors, with TLS those that prove to be of the cluster. Ends only with an error.
pub(crate) async fn serve(
    port: TcpListener,
    server: Server,
    tls: Option<ServerTls>,
) -> std::result::Result<(), tonic::transport::Error> {
    let settings = GrpcServerConfig::default();
    // Small answers must not wait for Nagle's algorithm.
    let incoming = TcpIncoming::from(port).with_nodelay(Some(true));
    let incoming = incoming.with_keepalive(Some(Duration::from_secs(settings.tcp_keepalive_seconds)));
    let incoming = accept(incoming, tls, |from, e| {
        tracing::warn!("the port for executors refused a connection from {from}: {e}");
    });
    let service = SchedulerGrpcServer::new(ClusterPort(server))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    create_grpc_server(&settings).add_service(service).serve_with_incoming(incoming).await
}

struct ClusterPort(Server);

/// Ballista expects these of each executor.
fn complete(executor: Option<&mut ExecutorRegistration>, from: Option<SocketAddr>) -> std::result::Result<(), Status> {
    let missing = |what: &str| Status::invalid_argument(format!("the request lacks {what}"));
    let executor = executor.ok_or_else(|| missing("the executor"))?;
    if executor.host.is_none() {
        executor.host = from.map(|from| from.ip().to_string());
    }
    executor.host.as_ref().ok_or_else(|| missing("the executor's host"))?;
    executor.specification.as_ref().ok_or_else(|| missing("the executor's vcores"))?;
    executor.os_info.as_ref().ok_or_else(|| missing("the executor's system"))?;
    Ok(())
}

fn refused<T>() -> Answer<T> {
    Err(Status::unimplemented("this port is for executors; clients use the front door"))
}

#[tonic::async_trait]
impl SchedulerGrpc for ClusterPort {
    async fn register_executor(&self, mut request: Request<RegisterExecutorParams>) -> Answer<RegisterExecutorResult> {
        let from = request.remote_addr();
        complete(request.get_mut().metadata.as_mut(), from)?;
        SchedulerGrpc::register_executor(&self.0, request).await
    }

    async fn heart_beat_from_executor(&self, mut request: Request<HeartBeatParams>) -> Answer<HeartBeatResult> {
        let from = request.remote_addr();
        complete(request.get_mut().metadata.as_mut(), from)?;
        SchedulerGrpc::heart_beat_from_executor(&self.0, request).await
    }

    async fn update_task_status(&self, request: Request<UpdateTaskStatusParams>) -> Answer<UpdateTaskStatusResult> {
        SchedulerGrpc::update_task_status(&self.0, request).await
    }

    async fn executor_stopped(&self, request: Request<ExecutorStoppedParams>) -> Answer<ExecutorStoppedResult> {
        SchedulerGrpc::executor_stopped(&self.0, request).await
    }

    type ExecuteQueryPushStream = Pin<Box<dyn Stream<Item = std::result::Result<GetJobStatusResult, Status>> + Send>>;

    async fn execute_query_push(&self, _: Request<ExecuteQueryParams>) -> Answer<Self::ExecuteQueryPushStream> {
        refused()
    }

    async fn execute_query(&self, _: Request<ExecuteQueryParams>) -> Answer<ExecuteQueryResult> {
        refused()
    }

    async fn poll_work(&self, _: Request<PollWorkParams>) -> Answer<PollWorkResult> {
        refused()
    }

    async fn create_update_session(&self, _: Request<CreateUpdateSessionParams>) -> Answer<CreateUpdateSessionResult> {
        refused()
    }

    async fn remove_session(&self, _: Request<RemoveSessionParams>) -> Answer<RemoveSessionResult> {
        refused()
    }

    async fn get_job_status(&self, _: Request<GetJobStatusParams>) -> Answer<GetJobStatusResult> {
        refused()
    }

    async fn get_job_metrics(&self, _: Request<GetJobMetricsParams>) -> Answer<GetJobMetricsResult> {
        refused()
    }

    async fn cancel_job(&self, _: Request<CancelJobParams>) -> Answer<CancelJobResult> {
        refused()
    }

    async fn clean_job_data(&self, _: Request<CleanJobDataParams>) -> Answer<CleanJobDataResult> {
        refused()
    }
}
