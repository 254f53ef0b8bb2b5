//! Memory, temporary disk and object stores of one process.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use bergmill_storage::Stores;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::object_store::ObjectStore;
use url::Url;

/// Number of consumers that an out-of-memory error lists.
pub(crate) const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::new(5).unwrap();

/// Bytes that sorts, aggregates and joins of a process may hold before they spill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit(pub usize);

/// A runtime that reads and writes files through `stores`, and spills to `spill_dir` when its operators would exceed
/// `limit`. Without a limit its own pool never causes a spill; on an executor, Ballista replaces the pool by one sized
/// by vcores.
pub fn runtime_env(limit: Option<MemoryLimit>, spill_dir: &Path, stores: Arc<Stores>) -> Result<Arc<RuntimeEnv>> {
    let registry = Arc::new(Registry(stores));
    let builder = RuntimeEnvBuilder::new().with_temp_file_path(spill_dir).with_object_store_registry(registry);
    let builder = match limit {
        Some(MemoryLimit(bytes)) => {
            builder.with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), NAMED_CONSUMERS)))
        }
        None => builder,
    };
    builder.build_arc()
}

/// Adapts [`Stores`] to DataFusion.
#[derive(Debug)]
struct Registry(Arc<Stores>);

impl ObjectStoreRegistry for Registry {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.0.register(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.0.at(url).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}
