//! Connections to the scheduler.

use std::time::Duration;

use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use bergmill_engine::{MAX_MESSAGE_BYTES, cluster_config};
use bergmill_tls::grpc::{TlsConnector, with_sources};
use bergmill_tls::{ClusterTls, refusal};
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Error};

/// How long a report to the scheduler may take. A connection on which nothing arrives is given up earlier. Without a
/// limit, one report that the network swallows would hold up all later ones.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to the scheduler.
pub(crate) type Client = SchedulerGrpcClient<Channel>;

/// Connects for registering and for heartbeats.
pub(crate) async fn connect(address: &str, tls: Option<&ClusterTls>) -> Result<Client, Error> {
    let settings = GrpcClientConfig::from(&cluster_config(1).ballista_config());
    open(&create_grpc_client_endpoint(url(address), Some(&settings))?, tls).await
}

/// Connects for reports of tasks.
pub(crate) async fn connect_for_reports(address: &str, tls: Option<&ClusterTls>) -> Result<Client, Error> {
    let endpoint = create_grpc_client_endpoint(url(address), None)?
        .connect_timeout(REPORT_TIMEOUT)
        .timeout(REPORT_TIMEOUT)
        .http2_keep_alive_interval(REPORT_TIMEOUT / 4)
        .keep_alive_timeout(REPORT_TIMEOUT / 2);
    open(&endpoint, tls).await
}

/// Also with TLS, which is not tonic's.
fn url(address: &str) -> String {
    format!("http://{address}")
}

async fn open(endpoint: &Endpoint, tls: Option<&ClusterTls>) -> Result<Client, Error> {
    let channel = match tls {
        Some(tls) => endpoint.connect_with_connector(TlsConnector(tls.client())).await?,
        None => endpoint.connect().await?,
    };
    Ok(SchedulerGrpcClient::new(channel)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .max_decoding_message_size(MAX_MESSAGE_BYTES))
}

/// Why the scheduler did not answer a call, or what it answered.
pub(crate) fn reason(status: &Status, tls: Option<&ClusterTls>) -> String {
    let Some(broken) = std::error::Error::source(status) else { return status.message().to_string() };
    let text = with_sources(broken);
    match (refusal(&text), tls) {
        (Some(reason), _) => format!("it refuses this executor: {reason}"),
        (None, Some(_)) => text,
        (None, None) => {
            format!("{text}; if it was started with --cluster-cert, set --cluster-ca, --cluster-cert and --cluster-key")
        }
    }
}
