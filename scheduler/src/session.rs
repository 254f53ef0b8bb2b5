//! The session of one statement: settings for where it runs, and the tables as they are now.

use std::sync::Arc;

use bergmill_catalog::{NamespaceCatalog, ScanLog};
use bergmill_engine::{CATALOG, cluster_config, local_config, session_state};
use bergmill_gateway::Result;
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::execution::SessionState;
use datafusion::prelude::SessionConfig;

use crate::error::from_catalog;
use crate::process::Scheduler;

/// The two ways to plan the same statement, over one view of the catalog.
pub(crate) struct StatementSession {
    /// Plans for this process.
    pub local: SessionState,
    /// Plans for the executors.
    pub cluster: SessionState,
    /// What scans were planned to read.
    pub scans: Arc<ScanLog>,
    /// The tables, pinned as the statement names them.
    pub tables: Arc<NamespaceCatalog>,
}

impl Scheduler {
    pub(crate) async fn session(&self) -> Result<StatementSession> {
        let tables = NamespaceCatalog::load(self.warehouse.clone()).await.map_err(|e| from_catalog(&e))?;
        let tables = Arc::new(tables);
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        catalogs.register_catalog(CATALOG.to_string(), Arc::clone(&tables) as _);
        let scans = Arc::new(ScanLog::default());
        let state = |config: SessionConfig| {
            let config = config.with_extension(Arc::clone(&scans));
            session_state(config, Arc::clone(&self.runtime), Arc::clone(&catalogs) as _)
        };
        let vcores = self.vcores().await?;
        Ok(StatementSession { local: state(local_config()), cluster: state(cluster_config(vcores)), scans, tables })
    }
}
