//! The namespace `system`: what this scheduler runs and has run, and its executors, as tables.
//!
//! A table holds what is known when a statement names it; of statements, those that its user may see. Other names are
//! looked up in the warehouse, which may have a namespace `system` of its own.

mod history;
mod scans;
mod stages;
mod tables;

use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::serde::scheduler::ExecutorMetadata;
use datafusion::catalog::{CatalogProvider, MemTable, SchemaProvider, TableProvider};
use datafusion::error::Result;

use self::history::Entry;
pub(crate) use self::history::{Execution, History, Record, Running};

const SYSTEM: &str = "system";
const TABLES: [&str; 4] = ["executors", "queries", "stages", "tasks"];

/// A catalog that also has the namespace `system`.
#[derive(Debug)]
pub(crate) struct SystemCatalog {
    inner: Arc<dyn CatalogProvider>,
    system: System,
}

/// What the tables are about. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct System {
    pub history: History,
    /// The user whose statements are shown; `None` for those of all.
    pub only_of: Option<String>,
    /// The registered executors.
    pub executors: Arc<Vec<Executor>>,
}

/// A registered executor.
#[derive(Debug)]
pub(crate) struct Executor {
    pub metadata: ExecutorMetadata,
    /// Whether it takes no more tasks.
    pub drains: bool,
}

impl SystemCatalog {
    pub(crate) fn new(inner: Arc<dyn CatalogProvider>, system: System) -> Self {
        Self { inner, system }
    }
}

impl CatalogProvider for SystemCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.inner.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let inner = self.inner.schema(name);
        if name == SYSTEM { Some(Arc::new(SystemTables { inner, system: self.system.clone() })) } else { inner }
    }
}

#[derive(Debug)]
struct SystemTables {
    inner: Option<Arc<dyn SchemaProvider>>,
    system: System,
}

#[async_trait]
impl SchemaProvider for SystemTables {
    fn table_names(&self) -> Vec<String> {
        self.inner.iter().flat_map(|inner| inner.table_names()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let is_shown = |entry: &Entry| self.system.only_of.is_none() || self.system.only_of == entry.user;
        let entries = || self.system.history.entries().into_iter().filter(is_shown).collect::<Vec<_>>();
        let batch = match name {
            "executors" => tables::executors(&self.system.executors),
            "queries" => tables::queries(&entries()),
            "stages" => tables::stages(&entries()),
            "tasks" => tables::tasks(&entries()),
            other => {
                return match &self.inner {
                    Some(inner) => inner.table(other).await,
                    None => Ok(None),
                };
            }
        }?;
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.contains(&name) || self.inner.as_ref().is_some_and(|inner| inner.table_exist(name))
    }
}
