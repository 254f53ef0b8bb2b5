//! Runs a plan: in this process if it reads little, otherwise on the executors.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use ballista_core::JobId;
use bergmill_engine::{Cancelled, Encoding, WholeQueryExec, heeding};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::prelude::SessionContext;

use crate::client_rows::{announced, for_clients, nullable};
use crate::error::{ErrorKind, Result};
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::settings::Place;
use crate::stages::{Staged, divisible, estimated_bytes, order, partitions, refusal};
use crate::system::{Execution, Record};
use crate::work::is_small;

/// The rows of a query, and how it was run.
pub(crate) struct Ran {
    pub rows: SendableRecordBatchStream,
    pub how: How,
}

/// How a query was run.
pub(crate) enum How {
    /// In the scheduler's process.
    Local,
    /// On one executor.
    Whole(JobId),
    /// In stages.
    Stages(JobId),
}

impl Scheduler {
    /// Runs a plan in the appropriate way, and streams its rows.
    pub(crate) async fn run(
        &self,
        plan: &LogicalPlan,
        session: &StatementSession,
    ) -> Result<SendableRecordBatchStream> {
        Ok(self.run_as(plan, plan, None, session).await?.rows)
    }

    /// Runs a plan in the appropriate way. If that is not in stages, runs `uncut` instead. `single` is the plan for one
    /// process, if it has been planned before.
    pub(crate) async fn run_as(
        &self,
        plan: &LogicalPlan,
        uncut: &LogicalPlan,
        single: Option<Arc<dyn ExecutionPlan>>,
        session: &StatementSession,
    ) -> Result<Ran> {
        if single.is_none() {
            // Those of the statement's last query.
            session.scans.clear();
        }
        let ran = tokio::select! {
            biased;
            reason = session.record.cancelled() => return Err(reason),
            ran = Box::pin(self.run_where_it_fits(plan, uncut, single, session)) => ran?,
        };
        session.record.add_files(&session.scans.reports());
        Ok(Ran { rows: session.record.until_cancelled(ran.rows), ..ran })
    }

    async fn run_where_it_fits(
        &self,
        plan: &LogicalPlan,
        uncut: &LogicalPlan,
        single: Option<Arc<dyn ExecutionPlan>>,
        session: &StatementSession,
    ) -> Result<Ran> {
        let began = Instant::now();
        let state = without_exchange_of_sorted_rows(Cow::Borrowed(&session.single), plan);
        let single = match single {
            Some(single) => single,
            None => state.create_physical_plan(plan).await?,
        };
        tracing::debug!(elapsed = ?began.elapsed(), "made a physical plan");
        // The uncut plan may be planned already.
        let planned = std::ptr::eq(plan, uncut).then(|| Arc::clone(&single));
        let schema = planned.as_ref().map_or_else(|| nullable(uncut.schema().inner()), announced);
        let plan_uncut = async |state: &SessionState, planned: Option<Arc<dyn ExecutionPlan>>| match planned {
            Some(planned) => Result::Ok(planned),
            None => {
                // These scans report again what those of the other plan reported.
                session.scans.clear();
                Ok(state.create_physical_plan(uncut).await?)
            }
        };
        let runs_here = match session.settings.place {
            Place::Auto => is_small(&single, session.settings.local_query_bytes.unwrap_or(self.local_query_bytes)),
            Place::Local => true,
            Place::Cluster => false,
        };
        if runs_here {
            return self.run_here(plan_uncut(&state, planned).await?, &session.single, schema, &session.record);
        }
        if !session.one_executor {
            match self.run_in_stages(plan, &single, session).await? {
                Staged::Answer(answer) => return Ok(Ran { rows: answer.rows, how: How::Stages(answer.id) }),
                Staged::Refused(reason) => tracing::info!("a query runs whole: {reason}"),
            }
        }
        let state = without_exchange_of_sorted_rows(Cow::Owned(session.whole()), uncut).into_owned();
        let whole = plan_uncut(&state, planned.filter(|_| session.one_executor)).await?;
        match self.run_whole(whole, state, schema, &session.record).await {
            Err(e) if e.kind() == ErrorKind::Memory && session.one_executor => {
                match self.run_in_stages(plan, &single, session).await? {
                    Staged::Answer(answer) => {
                        tracing::info!("a query exceeded the memory of one task and ran in stages: {e}");
                        Ok(Ran { rows: answer.rows, how: How::Stages(answer.id) })
                    }
                    Staged::Refused(_) => Err(e),
                }
            }
            done => done,
        }
    }

    /// Runs a plan in this process.
    fn run_here(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
        schema: SchemaRef,
        record: &Record,
    ) -> Result<Ran> {
        let cancelled = Cancelled::default();
        let plan = heeding(plan, &cancelled)?;
        record.runs_here(&plan);
        let rows = self.local.execute(plan, state.task_ctx(), &cancelled)?;
        Ok(Ran { rows: for_clients(schema, rows), how: How::Local })
    }

    /// Runs a plan uncut on one executor, or in this process if encoding would change the plan.
    async fn run_whole(
        &self,
        whole: Arc<dyn ExecutionPlan>,
        state: SessionState,
        schema: SchemaRef,
        record: &Record,
    ) -> Result<Ran> {
        if let Err(e) = self.round_trip.arrived(&whole, Encoding::Whole) {
            tracing::info!("a query runs in the scheduler's process: {}", e.strip_backtrace());
            return self.run_here(whole, &state, schema, record);
        }
        let whole = WholeQueryExec::try_new(whole, state.config().target_partitions())?;
        let (whole, context) = (Arc::new(whole), Arc::new(SessionContext::new_with_state(state)));
        let submit = |subscriber| {
            self.server.submit_physical_plan("", Arc::clone(&context), Arc::clone(&whole) as _, Some(subscriber))
        };
        record.runs(Execution::Whole);
        match self.until_answered(schema, false, record, submit).await? {
            Staged::Answer(answer) => Ok(Ran { rows: answer.rows, how: How::Whole(answer.id) }),
            Staged::Refused(reason) => Err(reason),
        }
    }

    /// Runs a plan on the executors, cut where rows change partitions. `single` is the same query planned for one
    /// process.
    async fn run_in_stages(
        &self,
        plan: &LogicalPlan,
        single: &Arc<dyn ExecutionPlan>,
        session: &StatementSession,
    ) -> Result<Staged> {
        if let Some(reason) = refused_before_cutting(plan, single, session).await {
            return Ok(Staged::Refused(refusal(reason)));
        }
        let mut state = session.cluster.clone();
        let vcores = state.config().target_partitions();
        state.config_mut().options_mut().execution.target_partitions = partitions(estimated_bytes(single), vcores);
        let context = Arc::new(SessionContext::new_with_state(state));
        let submit = |subscriber| {
            // These scans report again what those of the last plan reported.
            session.scans.clear();
            self.server.submit_job("", Arc::clone(&context), plan, Some(subscriber))
        };
        session.record.runs(Execution::Stages);
        self.until_answered(announced(single), order::is_requested(plan), &session.record, submit).await
    }
}

/// The state for planning a write whose files get the order of a query: DataFusion must not exchange the sorted rows
/// before they are cast to the table's types, because it does not know that text keeps its order.
fn without_exchange_of_sorted_rows<'a>(mut state: Cow<'a, SessionState>, plan: &LogicalPlan) -> Cow<'a, SessionState> {
    if matches!(plan, LogicalPlan::Extension(_)) && order::is_requested(plan) {
        state.to_mut().config_mut().options_mut().optimizer.enable_round_robin_repartition = false;
    }
    state
}

/// Why a query cannot run in stages, as far as is known before it is cut; `None` if it can be tried. `single` is the
/// same query planned for one process.
async fn refused_before_cutting(
    plan: &LogicalPlan,
    single: &Arc<dyn ExecutionPlan>,
    session: &StatementSession,
) -> Option<String> {
    if divisible::check_before_cutting(single, usize::MAX).is_ok() {
        return None;
    }
    match session.cluster.create_physical_plan(plan).await {
        Ok(staged) => divisible::check_before_cutting(&staged, 1).err().map(|reason| reason.to_string()),
        Err(e) => Some(e.strip_backtrace()),
    }
}
