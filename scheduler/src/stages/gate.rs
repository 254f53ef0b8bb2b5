//! The last check of a stage before its tasks are assigned.
//!
//! Ballista's adaptive planner plans a stage when its inputs are available, so only then is it known how rows are
//! joined and exchanged. Each stage is checked once, after it is planned and before it is sent: a stage that is not
//! known to be correct is not sent, and its query runs whole.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use ballista_core::JobId;
use ballista_core::execution_plans::SortShuffleWriterExec;
use ballista_scheduler::state::execution_graph::ExecutionGraph;
use ballista_scheduler::state::execution_stage::RunningStage;
use ballista_scheduler::state::task_manager::JobInfoCache;
use bergmill_engine::{CompactExec, Encoding, RoundTrip};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use tokio::sync::Notify;

use crate::planner::rules::{with_sorts, without_estimates};
use crate::stages::{divisible, leaves, order, readers};

/// A query with more stages is being planned endlessly: the largest queries of TPC-DS have about fifty.
const MAX_STAGES: usize = 512;

/// The results of the checks for running queries.
pub(crate) struct Gate {
    round_trip: Arc<RoundTrip>,
    queries: Mutex<HashMap<JobId, Verdict>>,
    refused: Notify,
}

#[derive(Default)]
struct Verdict {
    /// Stages that may run, with their attempt number.
    passed: HashSet<(usize, usize)>,
    refused: Option<String>,
}

impl Gate {
    pub(crate) fn new(round_trip: Arc<RoundTrip>) -> Self {
        Self { round_trip, queries: Mutex::default(), refused: Notify::new() }
    }

    /// Returns the jobs whose stages may run.
    pub(crate) async fn let_through(
        &self,
        jobs: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> Arc<HashMap<JobId, JobInfoCache>> {
        self.lock().retain(|id, _| jobs.contains_key(id));
        let mut refused = HashSet::new();
        let mut running: Vec<_> = jobs.iter().collect();
        running.sort_unstable_by_key(|(id, _)| *id);
        for (id, job) in running {
            let mut graph = job.execution_graph.write().await;
            if self.refusal(id).is_some() || !self.passes(id, graph.as_mut()) {
                refused.insert(id.clone());
            }
        }
        if refused.is_empty() {
            return jobs;
        }
        self.refused.notify_waiters();
        Arc::new(jobs.iter().filter(|(id, _)| !refused.contains(*id)).map(|(id, j)| (id.clone(), j.clone())).collect())
    }

    /// Why a query may not run in stages, if it was refused.
    fn refusal(&self, id: &JobId) -> Option<String> {
        self.lock().get(id).and_then(|verdict| verdict.refused.clone())
    }

    /// Waits until the query is refused, and returns the reason.
    pub(crate) async fn until_refused(&self, id: &JobId) -> String {
        loop {
            let refused = self.refused.notified();
            tokio::pin!(refused);
            // From here on no refusal is missed.
            refused.as_mut().enable();
            if let Some(reason) = self.refusal(id) {
                return reason;
            }
            refused.await;
        }
    }

    fn passes(&self, id: &JobId, graph: &mut (dyn ExecutionGraph + Send + Sync)) -> bool {
        let stages = graph.stages().len();
        if stages > MAX_STAGES {
            self.lock().entry(id.clone()).or_default().refused = Some(format!("{stages} stages were planned"));
            return false;
        }
        let mut seen = Vec::new();
        while let Some(stage) = graph.fetch_running_stage(&seen) {
            seen.push(stage.stage_id);
            let attempt = (stage.stage_id, stage.stage_attempt_num);
            if attempt.1 > 0 {
                // Rows were lost: the query restarts, and the result of this attempt is discarded.
                continue;
            }
            if self.lock().get(id).is_some_and(|verdict| verdict.passed.contains(&attempt)) {
                continue;
            }
            let checked = match self.check(stage) {
                Ok(None) => {
                    let plan = Arc::clone(&stage.plan);
                    match readers::mismatch(&plan, graph.stages()) {
                        Ok(None) => order::unsorted_input(&plan, graph.stages()).map(|input| input.map(unsorted)),
                        refused => refused,
                    }
                }
                refused => refused,
            };
            let reason = checked.unwrap_or_else(|e| Some(e.strip_backtrace()));
            let mut queries = self.lock();
            let verdict = queries.entry(id.clone()).or_default();
            if let Some(reason) = reason {
                verdict.refused = Some(format!("stage {}: {reason}", attempt.0));
                return false;
            }
            verdict.passed.insert(attempt);
        }
        true
    }

    /// Prepares a stage for sending; returns the reason if it must not be sent.
    fn check(&self, stage: &mut RunningStage) -> Result<Option<String>> {
        if let Err(reason) = divisible::check_exchange(&stage.plan) {
            return Ok(Some(reason.to_string()));
        }
        // What is constant, and so in any order, is not known any more once rows were exchanged.
        let plan = without_estimates(Arc::clone(&stage.plan))?;
        stage.plan = compacted(with_sorts(leaves::in_memory(plan)?)?)?;
        // Checks the plan as an executor decodes it.
        let arrived = self.round_trip.arrived(&stage.plan, Encoding::Task)?;
        Ok(divisible::check(&arrived).err().map(|reason| reason.to_string()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Verdict>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shuffle keeps its rows until it writes them, and is charged for what they hold.
fn compacted(stage: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    match stage.children().as_slice() {
        [rows] if stage.is::<SortShuffleWriterExec>() => {
            let rows: Arc<dyn ExecutionPlan> = Arc::new(CompactExec::new(Arc::clone(rows)));
            replace_children_if_necessary(stage, vec![rows])
        }
        _ => Ok(stage),
    }
}

fn unsorted(input: usize) -> String {
    format!("it merges the rows of stage {input} by an order that they do not have")
}
