//! The session of one statement: its settings, and the current tables.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bergmill_catalog::{NamespaceCatalog, ScanLog, TextType, Warehouse};
use bergmill_engine::{cluster_config, local_config, whole_config};
use bergmill_gateway::Caller;
use bergmill_statement::CATALOG;
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionConfig;

use crate::define::SessionViews;
use crate::error::Result;
use crate::parameters::Parameters;
use crate::planner::session_state;
use crate::prepared_plans::PreparedPlan;
use crate::process::Scheduler;
use crate::settings::Settings;
use crate::system::{Record, RunningJobs, System, SystemCatalog};

/// Sessions that plan the same statement in different ways, over one view of the catalog.
pub(crate) struct StatementSession {
    /// Plans for one process: the scheduler's own, or the only executor's.
    pub single: SessionState,
    /// Whether there is only one executor, which then runs queries whole.
    pub one_executor: bool,
    /// Plans for several executors.
    pub cluster: SessionState,
    /// Task slots of the largest executor.
    vcores: usize,
    /// The files that scans were planned to read.
    pub scans: Arc<ScanLog>,
    /// The tables, pinned as the statement names them.
    pub tables: Arc<NamespaceCatalog>,
    /// The warehouse of the tables.
    pub warehouse: Warehouse,
    /// What the statement does.
    pub record: Record,
    /// Who sends the statement; `None` where nobody has to log in.
    pub caller: Option<Caller>,
    /// The parameters of the statement.
    pub parameters: Parameters,
    /// The plan of the statement without values, once it is made.
    pub unbound: OnceLock<LogicalPlan>,
    /// The options of its client's session.
    pub settings: Settings,
    system: System,
}

impl StatementSession {
    /// Whether the statement reads what is known for a moment only, so that its plan cannot be kept.
    pub(crate) fn reads_system(&self) -> bool {
        self.system.is_read.load(Ordering::Relaxed)
    }

    /// A session that plans for one executor, which runs the query whole.
    pub(crate) fn whole(&self) -> SessionState {
        let mut state = self.single.clone();
        if !self.one_executor {
            let config = self.settings.apply(whole_config(self.vcores));
            *state.config_mut() = config.with_extension(Arc::clone(&self.scans));
        }
        state
    }

    /// A session for statements that describe tables: the types they show must not depend on where rows are read.
    pub(crate) fn describing(&self) -> SessionState {
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        let tables = Arc::new(self.tables.with_text(TextType::Utf8));
        let tables = SystemCatalog::new(tables, self.system.clone());
        catalogs.register_catalog(CATALOG.to_string(), Arc::new(tables) as _);
        session_state(self.settings.apply(local_config()), Arc::clone(self.single.runtime_env()), catalogs as _)
    }
}

impl Scheduler {
    /// A session for the statement of `caller` that `record` is about, over the tables of its plan if it is `prepared`:
    /// one that the same caller prepared, whose rights have not changed.
    pub(crate) async fn session(
        &self,
        record: Record,
        parameters: Parameters,
        settings: Settings,
        prepared: Option<&PreparedPlan>,
        caller: Option<&Caller>,
    ) -> Result<StatementSession> {
        let (began, now) = (Instant::now(), chrono::Utc::now());
        let guard = self.guard(caller).await?;
        let system = System {
            history: self.history.clone(),
            only_of: caller.filter(|caller| !caller.is_admin).map(|caller| caller.user.clone()),
            jobs: RunningJobs::of(&self.server),
            executors: Arc::new(self.registered().await?),
            sessions: self.sessions.clone(),
            is_read: Arc::default(),
        };
        let executors = system.executors.iter().filter(|executor| !executor.drains);
        let executors: Vec<usize> = executors.map(|e| e.metadata.specification.vcores as usize).collect();
        let text = if executors.len() == 1 { TextType::Utf8View } else { TextType::Utf8 };
        let prepared = prepared.filter(|prepared| prepared.tables.reads_text_as(text));
        let tables = prepared.map(|prepared| Arc::clone(&prepared.tables)).unwrap_or_else(|| {
            let views = Arc::new(SessionViews { runtime: Arc::clone(&self.runtime) });
            Arc::new(NamespaceCatalog::new(self.warehouse.clone(), text, views, guard))
        });
        let unbound = prepared.map_or_else(OnceLock::new, |prepared| prepared.plan.clone().into());
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        let with_system = SystemCatalog::new(Arc::clone(&tables) as _, system.clone());
        catalogs.register_catalog(CATALOG.to_string(), Arc::new(with_system) as _);
        let scans = Arc::new(ScanLog::default());
        let state = |config: SessionConfig| {
            let config = settings.apply(config).with_extension(Arc::clone(&scans));
            let mut state = session_state(config, Arc::clone(&self.runtime), Arc::clone(&catalogs) as _);
            // `now()` is one moment for the whole statement, however often it is planned and wherever it runs.
            state.execution_props_mut().query_execution_start_time = Some(now);
            state
        };
        let single = match executors.as_slice() {
            [vcores] => state(whole_config(*vcores)),
            _ => state(local_config()),
        };
        let cluster = state(cluster_config(executors.iter().sum()));
        tracing::debug!(elapsed = ?began.elapsed(), "made a session");
        let warehouse = self.warehouse.clone();
        let (one_executor, vcores) = (executors.len() == 1, executors.iter().max().copied().unwrap_or(1));
        Ok(StatementSession {
            single,
            one_executor,
            cluster,
            vcores,
            scans,
            tables,
            warehouse,
            record,
            caller: caller.cloned(),
            parameters,
            unbound,
            settings,
            system,
        })
    }
}
