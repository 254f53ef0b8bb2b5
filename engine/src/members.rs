//! How the processes of a cluster connect to each other.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::extension::{EndpointOverrideFn, SessionConfigExt};
use ballista_core::utils::GrpcClientConfig;
use bergmill_tls::ClusterTls;

use crate::session::cluster_config;

/// As Ballista has it, which does not make it a setting.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Lets Ballista's clients connect to other processes of the cluster by TLS, with the settings that they have without
/// it. `timeout` limits calls, if given.
pub fn over_tls(tls: &ClusterTls, timeout: Option<Duration>) -> EndpointOverrideFn {
    let tls = tls.clone();
    let settings = GrpcClientConfig::from(&cluster_config(1).ballista_config());
    Arc::new(move |plain| {
        let endpoint = tls
            .endpoint(plain.uri())?
            .connect_timeout(Duration::from_secs(settings.connect_timeout_seconds))
            .tcp_keepalive(Some(Duration::from_secs(settings.tcp_keepalive_seconds)))
            .http2_keep_alive_interval(Duration::from_secs(settings.http2_keepalive_interval_seconds))
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_connection_window_size(settings.initial_connection_window_size)
            .initial_stream_window_size(settings.initial_stream_window_size);
        Ok(match timeout {
            Some(timeout) => endpoint.timeout(timeout),
            None => endpoint,
        })
    })
}
