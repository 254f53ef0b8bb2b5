//! The namespace `system`: what this scheduler runs and has run, and its executors, as tables.
//!
//! A table holds what is known when a statement names it; of statements and sessions, those that its user may see. The
//! audit is for administrators.
//! Other names are looked up in the warehouse, which may have a namespace `system` of its own.

mod audit;
mod history;
mod journal;
mod line_writer;
mod progress;
mod scans;
mod stages;
mod sums;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use ballista_core::serde::scheduler::ExecutorMetadata;
use bergmill_gateway::Sessions;
use datafusion::catalog::{CatalogProvider, MemTable, SchemaProvider, TableProvider};
use datafusion::error::Result;

pub(crate) use self::audit::Audit;
pub(crate) use self::history::{Cancelling, Execution, History, Outlets, Record, Running};
pub(crate) use self::journal::Journal;
pub(crate) use self::progress::RunningJobs;

use self::history::Entry;
use self::progress::Progress;
use crate::rights::only_admin;

pub(crate) const SYSTEM: &str = "system";
const TABLES: [&str; 6] = ["audit", "executors", "queries", "sessions", "stages", "tasks"];

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
    /// The user whose statements and sessions are shown; `None` for those of all.
    pub only_of: Option<String>,
    /// The queries on executors.
    pub jobs: RunningJobs,
    /// The registered executors.
    pub executors: Arc<Vec<Executor>>,
    /// The sessions of clients.
    pub sessions: Sessions,
    /// Whether the statement reads a table of `system`, which is true for the moment only.
    pub is_read: Arc<AtomicBool>,
}

impl System {
    /// Whether the statements and sessions of a user are shown.
    fn shows(&self, user: Option<&str>) -> bool {
        self.only_of.as_deref().is_none_or(|only_of| user == Some(only_of))
    }

    /// How far a statement is on executors; `None` if it has not been there.
    async fn progress(&self, entry: &Entry) -> Option<Progress> {
        let (stages, tasks) = (entry.stages.len(), entry.stages.iter().map(|stage| stage.tasks.len()).sum());
        let done = Progress { stages, stages_done: stages, tasks_running: 0, tasks_done: tasks };
        let running = match &entry.job {
            Some(job) => self.jobs.progress(job).await,
            None => None,
        };
        running.map(|running| running + done).or((stages > 0).then_some(done))
    }
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
        let entries = || {
            let all = self.system.history.entries().into_iter();
            all.filter(|entry| self.system.shows(entry.sender.user())).collect::<Vec<_>>()
        };
        if TABLES.contains(&name) {
            self.system.is_read.store(true, Ordering::Relaxed);
        }
        let batch = match name {
            "audit" => match &self.system.only_of {
                Some(user) => return Err(only_admin(user, "read system.audit").into()),
                None => tables::audit(&self.system.history.audit().events()),
            },
            "executors" => tables::executors(&self.system.executors),
            "queries" => {
                let mut with_progress = Vec::new();
                for entry in entries() {
                    let progress = self.system.progress(&entry).await;
                    with_progress.push((entry, progress));
                }
                tables::queries(&with_progress)
            }
            "sessions" => {
                let mut shown = self.system.sessions.list();
                shown.retain(|session| self.system.shows(session.user.as_deref()));
                tables::sessions(&shown)
            }
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
