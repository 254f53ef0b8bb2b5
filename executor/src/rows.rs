//! The port for rows: sends those that tasks have left in the work folder to other processes.
//!
//! Ballista's service opens whatever path a ticket leads to. Here a ticket leads to the files of a query only.

use std::path::PathBuf;
use std::pin::Pin;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use ballista_core::execution_plans::create_shuffle_path;
use ballista_core::serde::decode_protobuf;
use ballista_core::serde::scheduler::{Action as Fetch, ShuffleLayout};
use ballista_executor::flight_service::BallistaFlightService;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::query_files::{check_inside, folder_of};

/// Serves the rows of tasks.
pub(crate) struct Rows {
    inner: BallistaFlightService,
    work_dir: PathBuf,
}

impl Rows {
    pub(crate) fn new(work_dir: PathBuf) -> Self {
        Self { inner: BallistaFlightService::new(work_dir.to_string_lossy().into_owned()), work_dir }
    }

    /// Checks that a ticket leads to files of a query.
    async fn check(&self, ticket: &[u8]) -> Result<(), Status> {
        let fetch = decode_protobuf(ticket).map_err(|e| Status::invalid_argument(format!("not a ticket: {e}")))?;
        let Fetch::FetchPartition { job_id, stage_id, partition_id, file_id, layout, .. } = fetch;
        let folder = folder_of(&self.work_dir, job_id.as_str()).await?;
        let is_sorted = matches!(layout, ShuffleLayout::Sort);
        let path = create_shuffle_path(&self.work_dir, &job_id, stage_id, partition_id, file_id, is_sorted);
        check_inside(&folder, &path.map_err(|e| Status::invalid_argument(e.to_string()))?).await
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

fn unimplemented<T>() -> Result<T, Status> {
    Err(Status::unimplemented("executors only send the rows of tasks"))
}

#[tonic::async_trait]
impl FlightService for Rows {
    type DoActionStream = Answers<arrow_flight::Result>;
    type DoExchangeStream = Answers<FlightData>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListActionsStream = Answers<ActionType>;
    type ListFlightsStream = Answers<FlightInfo>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        self.check(&request.get_ref().ticket).await?;
        self.inner.do_get(request).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        self.check(&request.get_ref().body).await?;
        self.inner.do_action(request).await
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        unimplemented()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        unimplemented()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        unimplemented()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        unimplemented()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        unimplemented()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        unimplemented()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        unimplemented()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        unimplemented()
    }
}
