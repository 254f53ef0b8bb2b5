//! Fetches the rows of finished queries from the executors.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use ballista_core::client::BallistaClient;
use ballista_core::error::BallistaError;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::serde::protobuf::PartitionLocation;
use bergmill_engine::{MAX_MESSAGE_BYTES, over_tls};
use bergmill_tls::ClusterTls;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};

use crate::client_rows::coerce;
use crate::error::{Error, ErrorKind};

/// Result partitions fetched ahead of the one being read.
const FETCH_AHEAD: usize = 2;

/// Connections to executors, reused by later queries.
#[derive(Clone, Default)]
pub(crate) struct ResultClients {
    /// How to connect to executors with TLS.
    over_tls: Option<Arc<BallistaConfigGrpcEndpoint>>,
    connected: Arc<Mutex<HashMap<(String, u16), BallistaClient>>>,
    /// The number of results that are read from an executor, by its id.
    read: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// A result that is read until this is dropped.
struct Reading {
    executors: BTreeSet<String>,
    read: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        for executor in &self.executors {
            if let Some(results) = read.get_mut(executor) {
                *results -= 1;
                if *results == 0 {
                    read.remove(executor);
                }
            }
        }
    }
}

impl ResultClients {
    pub(crate) fn new(tls: Option<&ClusterTls>) -> Self {
        let over_tls = tls.map(|tls| Arc::new(BallistaConfigGrpcEndpoint::new(over_tls(tls, None))));
        Self { over_tls, ..Self::default() }
    }

    /// The executors from which results are read.
    pub(crate) fn read_from(&self) -> BTreeSet<String> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn begin<'a>(&self, partitions: impl Iterator<Item = &'a PartitionLocation>) -> Reading {
        let executors = partitions.filter_map(|p| p.executor_meta.as_ref()).map(|executor| executor.id.clone());
        let reading = Reading { executors: executors.collect(), read: Arc::clone(&self.read) };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        for executor in &reading.executors {
            *read.entry(executor.clone()).or_default() += 1;
        }
        drop(read);
        reading
    }

    /// The rows of a finished query, one partition after the other.
    pub(crate) fn stream(&self, partitions: Vec<PartitionLocation>, schema: SchemaRef) -> SendableRecordBatchStream {
        let clients = self.clone();
        let reading = self.begin(partitions.iter());
        let announced = Arc::clone(&schema);
        let rows = futures::stream::iter(partitions)
            .map(move |p| {
                let clients = clients.clone();
                async move { clients.fetch(p).await }
            })
            .buffered(FETCH_AHEAD)
            .try_flatten()
            .map(move |batch| {
                let _reading = &reading;
                batch.and_then(|b| coerce(&announced, &b))
            });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    async fn fetch(&self, location: PartitionLocation) -> datafusion::error::Result<SendableRecordBatchStream> {
        let layout = location.layout();
        let missing = |what: &str| DataFusionError::Internal(format!("a result's location lacks its {what}"));
        let executor = location.executor_meta.ok_or_else(|| missing("executor"))?;
        let partition = location.partition_id.ok_or_else(|| missing("partition"))?.into();
        let port = u16::try_from(executor.port).map_err(|_| missing("port"))?;
        let lost = |e: BallistaError| {
            let what = format!("cannot fetch the result from executor {}; run the query again: {e}", executor.id);
            DataFusionError::from(Error::new(ErrorKind::Unavailable, what))
        };
        let mut client = self.client(executor.host, port).await.map_err(lost)?;
        client.fetch_partition(&executor.id, &partition, location.file_id, layout, true).await.map_err(lost)
    }

    async fn client(&self, host: String, port: u16) -> ballista_core::error::Result<BallistaClient> {
        let key = (host, port);
        if let Some(client) = self.lock().get(&key) {
            return Ok(client.clone());
        }
        let over_tls = self.over_tls.clone();
        let client = BallistaClient::try_new(&key.0, port, MAX_MESSAGE_BYTES, false, over_tls, 2, 200, 0, 0).await?;
        self.lock().insert(key, client.clone());
        Ok(client)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, u16), BallistaClient>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use ballista_core::serde::protobuf::ExecutorMetadata;

    use super::*;

    #[tokio::test]
    async fn a_result_is_read_from_its_executors_until_it_is_dropped() {
        let clients = ResultClients::default();
        let on = |executor: &str| PartitionLocation {
            executor_meta: Some(ExecutorMetadata { id: executor.to_string(), ..ExecutorMetadata::default() }),
            ..PartitionLocation::default()
        };
        let read =
            |executors: &[&str]| clients.stream(executors.iter().map(|id| on(id)).collect(), Arc::new(Schema::empty()));
        let check = |expected: &[&str]| {
            let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(clients.read_from(), expected);
        };
        check(&[]);
        let (first, second) = (read(&["a", "b", "a"]), read(&["b"]));
        check(&["a", "b"]);
        drop(first);
        check(&["b"]);
        drop(second);
        check(&[]);
    }
}
