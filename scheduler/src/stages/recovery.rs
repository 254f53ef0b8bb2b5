//! Queries that cannot continue: executors were lost with finished rows, or the query does not progress.
//!
//! Ballista repeats the tasks that a lost executor was running. It also recomputes what the executor had finished,
//! stage by stage, and there both planners of version 55 have bugs. With the adaptive one the rows of the repeated
//! stage are refused ("Can't find active stage to update stage outputs"), and the query hangs
//! (apache/datafusion-ballista#1986). With the static one a stage that is rolled back keeps the rows that it had
//! already passed on, so that they are counted twice. So a query has lost rows as soon as a stage is rolled back or
//! repeated, whatever Ballista does then: it is cancelled and restarts, and its result is discarded. No rows have been
//! returned at that point.
//!
//! A task whose report was lost is repeated: see [`super::unreported`].
//!
//! Ballista also does not count how often a task is repeated because its executor was lost. A task that exceeds the
//! memory of its container would kill all executors, one after the other, endlessly.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ballista_core::JobId;
use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::{FailedTask, job_status, task_status};
use ballista_scheduler::state::execution_graph::ExecutionGraph;
use ballista_scheduler::state::execution_stage::{ExecutionStage, RunningStage, TaskInfo};

use crate::error::Result;
use crate::process::Scheduler;
use crate::stages::order;

/// Interval between polls of a running query.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Maximum number of attempts of a query, or of one of its tasks, if executors are lost. The same as Spark's limit for
/// failures of a task.
pub(crate) const MAX_ATTEMPTS: usize = 4;

/// Why a query cannot continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Finished rows were lost with an executor.
    Rows,
    /// Every executor that ran the same part of it was lost.
    Executors,
    /// Every report of the same part of it was lost.
    Reports,
    /// It may not run in stages, or does not progress in them, for this reason.
    Stages(String),
}

/// The state of a query that does not progress.
#[derive(Debug, PartialEq, Eq)]
struct Standstill {
    done: usize,
    /// Stages that are not done.
    stages: Vec<usize>,
    /// Whether tasks wait to run.
    can_start: bool,
}

impl Scheduler {
    /// Waits until a query cannot continue, and returns why; never returns if that does not happen.
    pub(crate) async fn until_lost(&self, id: &JobId) -> Result<Loss> {
        let (mut last, mut polls) = (None, 0);
        loop {
            tokio::select! {
                reason = self.gate.until_refused(id) => return Ok(Loss::Stages(reason)),
                () = tokio::time::sleep(POLL_EVERY) => {}
            }
            self.repeat_unreported(id).await?;
            if let Some(loss) = self.loss(id).await? {
                return Ok(loss);
            }
            let now = self.standstill(id).await?;
            polls = if now == last { polls + 1 } else { 1 };
            last = now;
            if let Some(standstill) = last.as_ref().filter(|s| polls >= s.polls()) {
                return Ok(Loss::Stages(standstill.to_string()));
            }
        }
    }

    /// What a running or finished query has lost so far.
    pub(crate) async fn loss(&self, id: &JobId) -> Result<Option<Loss>> {
        if let Some(query) = self.server.state.task_manager.get_running_job_cache().get(id) {
            return Ok(loss(query.execution_graph.read().await.stages()));
        }
        let graph = self.jobs.get_execution_graph(id).await?;
        Ok(graph.and_then(|graph| loss(graph.stages())))
    }

    /// Why the rows of the stages `answer` may not be the result of a finished query; `is_ordered` says whether the
    /// query requests an order.
    ///
    /// When the last stage of a query has ended, Ballista's adaptive planner plans once more. If the plan then differs,
    /// for example by a join with swapped sides, it runs stages for that plan, and returns the rows of whichever ends
    /// last. So the stage of a result must have read all others.
    pub(crate) async fn misplaced(
        &self,
        id: &JobId,
        answer: &BTreeSet<usize>,
        is_ordered: bool,
    ) -> Result<Option<String>> {
        let graph = self.jobs.get_execution_graph(id).await?;
        Ok(graph.and_then(|graph| {
            let last = answer.iter().filter_map(|id| graph.stages().get(id)).find_map(|stage| match stage {
                ExecutionStage::Successful(stage) => Some(&stage.plan),
                _ => None,
            });
            if is_ordered && !last.is_some_and(|plan| plan.children().into_iter().all(order::is_kept)) {
                return Some("its last stage does not keep the requested order".to_string());
            }
            let unread = unread(graph.stages(), answer);
            let what = || format!("stages {unread:?} ran, but stages {answer:?} of the result did not read them");
            (!unread.is_empty()).then(what)
        }))
    }

    async fn standstill(&self, id: &JobId) -> Result<Option<Standstill>> {
        if self.executors().await?.is_empty() {
            // Ballista waits for an executor, and reports an error when it gives up.
            return Ok(None);
        }
        let running = self.server.state.task_manager.get_running_job_cache();
        let Some(query) = running.get(id) else { return Ok(None) };
        let Some(found) = standstill(query.execution_graph.read().await.as_ref()) else { return Ok(None) };
        if found.can_start {
            // It may wait for vcores that other queries use.
            let graphs = futures::future::join_all(running.values().map(|other| other.execution_graph.read())).await;
            if graphs.iter().any(|graph| !graph.running_tasks().is_empty()) {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }
}

impl Standstill {
    /// The state of a query without running tasks, of which `waiting` tasks could run.
    fn of(stages: &HashMap<usize, ExecutionStage>, waiting: usize) -> Self {
        let resolved = stages.values().any(|stage| matches!(stage, ExecutionStage::Resolved(_)));
        let is_done = |stage: &ExecutionStage| matches!(stage, ExecutionStage::Successful(_));
        let (done, open): (Vec<_>, Vec<_>) = stages.iter().partition(|(_, stage)| is_done(stage));
        let mut stages: Vec<usize> = open.into_iter().map(|(id, _)| *id).collect();
        stages.sort_unstable();
        Self { done: done.len(), stages, can_start: resolved || waiting > 0 }
    }

    /// Number of equal polls after which the query counts as stuck. Between two events a query stands still for a
    /// moment.
    fn polls(&self) -> usize {
        if self.can_start { 10 } else { 2 }
    }
}

impl std::fmt::Display for Standstill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages = self.stages.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let start = if self.can_start { "no task is started" } else { "no task can start" };
        write!(f, "no task runs, and {start}; unfinished stages: {stages}")
    }
}

/// The stages that the stages `answer` have not read, directly or through others.
fn unread(stages: &HashMap<usize, ExecutionStage>, answer: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut unread: BTreeSet<usize> = stages.keys().copied().collect();
    let mut open: Vec<usize> = answer.iter().copied().collect();
    while let Some(id) = open.pop() {
        if unread.remove(&id) {
            open.extend(match stages.get(&id) {
                Some(ExecutionStage::Successful(stage)) => stage.inputs.keys().copied().collect(),
                Some(ExecutionStage::Running(stage)) => stage.inputs.keys().copied().collect::<Vec<_>>(),
                _ => Vec::new(),
            });
        }
    }
    unread
}

/// The standstill of an unfinished query without running tasks.
fn standstill(graph: &dyn ExecutionGraph) -> Option<Standstill> {
    let is_over = !matches!(graph.status().status, Some(job_status::Status::Running(_)));
    let stands = !is_over && graph.running_tasks().is_empty();
    stands.then(|| Standstill::of(graph.stages(), graph.available_tasks()))
}

/// The loss of a query with these stages.
fn loss(stages: &HashMap<usize, ExecutionStage>) -> Option<Loss> {
    let mut stages = stages.values();
    let too_often = |failed: fn(&TaskInfo) -> bool| {
        stages
            .clone()
            .any(|stage| matches!(stage, ExecutionStage::Running(s) if most_failed(s, failed) >= MAX_ATTEMPTS))
    };
    if too_often(was_lost) {
        return Some(Loss::Executors);
    }
    if too_often(was_repeated) {
        return Some(Loss::Reports);
    }
    stages.any(has_lost_rows).then_some(Loss::Rows)
}

/// Whether finished work of this stage, or of one that it reads, has to be recomputed.
fn has_lost_rows(stage: &ExecutionStage) -> bool {
    let (attempt, tasks): (usize, &[TaskInfo]) = match stage {
        ExecutionStage::UnResolved(stage) => (stage.stage_attempt_num, &[]),
        ExecutionStage::Resolved(stage) => (stage.stage_attempt_num, &[]),
        ExecutionStage::Running(stage) => (stage.stage_attempt_num, &stage.task_infos),
        ExecutionStage::Successful(stage) => (stage.stage_attempt_num, &stage.task_infos),
        ExecutionStage::Failed(stage) => (stage.stage_attempt_num, &stage.task_infos),
    };
    // An unfinished task has passed on no rows, and only that task is repeated.
    attempt > 0 || tasks.iter().any(|task| was_lost(task) && task.finish_time > 0)
}

/// Maximum over all partitions of how often the task of a partition failed in this way.
fn most_failed(stage: &RunningStage, failed: fn(&TaskInfo) -> bool) -> usize {
    let mut times = HashMap::<usize, usize>::new();
    for task in stage.task_infos.iter().filter(|task| failed(task)) {
        task.global_input_partition_ids.iter().for_each(|partition| *times.entry(*partition).or_default() += 1);
    }
    times.into_values().max().unwrap_or(0)
}

/// Whether a task was lost with its executor.
fn was_lost(task: &TaskInfo) -> bool {
    matches!(failure(task), Some(FailedReason::ResultLost(_)))
}

/// Whether a task was repeated because its report was lost, or a disk failed. Ballista repeats the latter fewer times.
fn was_repeated(task: &TaskInfo) -> bool {
    matches!(failure(task), Some(FailedReason::TaskKilled(_)))
}

fn failure(task: &TaskInfo) -> Option<&FailedReason> {
    match &task.task_status {
        task_status::Status::Failed(FailedTask { failed_reason, .. }) => failed_reason.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ballista_core::serde::protobuf::ExecutionError;
    use ballista_scheduler::state::execution_stage::{ResolvedStage, StageOutput, SuccessfulStage, UnresolvedStage};

    use super::*;
    use crate::stages::made_up::{failed, resolved, running, stages, successful, task, unresolved};

    fn lost() -> task_status::Status {
        failed(FailedReason::ResultLost(Default::default()))
    }

    fn finished(task: TaskInfo) -> TaskInfo {
        TaskInfo { finish_time: 1, ..task }
    }

    fn check(made: Vec<ExecutionStage>, expected: Option<Loss>) {
        assert_eq!(loss(&stages(made)), expected);
    }

    #[test]
    fn a_query_has_lost_rows_when_finished_work_is_repeated() {
        check(vec![], None);
        check(vec![running(1, vec![task(&[0], lost())])], None);
        check(vec![running(1, vec![finished(task(&[0], lost()))])], Some(Loss::Rows));
        check(vec![successful(1, vec![finished(task(&[0], lost()))])], Some(Loss::Rows));
        // Another failure is not a loss, and is retried or reported separately.
        let error = failed(FailedReason::ExecutionError(ExecutionError {}));
        check(vec![running(1, vec![finished(task(&[0], error))])], None);
        // Stages that restart have lost their rows, whatever the status of their tasks.
        check(vec![successful(1, vec![]), running(2, vec![])], None);
        let ExecutionStage::Running(again) = running(2, vec![]) else { unreachable!() };
        let again = ExecutionStage::Running(RunningStage { stage_attempt_num: 1, ..again });
        check(vec![successful(1, vec![]), again], Some(Loss::Rows));
        let ExecutionStage::Resolved(again) = resolved(2) else { unreachable!() };
        check(vec![ExecutionStage::Resolved(ResolvedStage { stage_attempt_num: 1, ..again })], Some(Loss::Rows));
        let ExecutionStage::UnResolved(again) = unresolved(2) else { unreachable!() };
        check(vec![ExecutionStage::UnResolved(UnresolvedStage { stage_attempt_num: 1, ..again })], Some(Loss::Rows));
    }

    #[test]
    fn a_query_ends_when_the_same_partition_is_lost_too_often() {
        let lost = |partitions: &[&[usize]]| {
            vec![running(1, partitions.iter().map(|partitions| task(partitions, lost())).collect())]
        };
        check(lost(&[&[0], &[0], &[0]]), None);
        check(lost(&[&[0], &[1], &[2], &[3]]), None);
        // A task may have several partitions, which differ between attempts.
        check(lost(&[&[0, 1], &[1, 2], &[1], &[0, 1]]), Some(Loss::Executors));
        let repeated = |times: usize| {
            let repeated = || finished(task(&[0], failed(FailedReason::TaskKilled(Default::default()))));
            vec![running(1, std::iter::repeat_with(repeated).take(times).collect())]
        };
        check(repeated(3), None);
        check(repeated(4), Some(Loss::Reports));
    }

    /// A stage that has read `inputs`.
    fn reads(stage: ExecutionStage, inputs: &[usize]) -> ExecutionStage {
        let inputs = inputs.iter().map(|id| (*id, StageOutput::new())).collect();
        match stage {
            ExecutionStage::Successful(stage) => ExecutionStage::Successful(SuccessfulStage { inputs, ..stage }),
            other => other,
        }
    }

    #[test]
    fn a_result_has_read_all_other_stages() {
        let done = |id| successful(id, vec![]);
        let all = stages(vec![done(1), reads(done(2), &[1]), done(3), reads(done(4), &[2, 3]), done(5)]);
        let check = |answer: &[usize], expected: &[usize]| {
            let set = |ids: &[usize]| ids.iter().copied().collect::<BTreeSet<usize>>();
            assert_eq!(unread(&all, &set(answer)), set(expected), "{answer:?}");
        };
        check(&[4], &[5]);
        check(&[4, 5], &[]);
        check(&[2], &[3, 4, 5]);
        check(&[], &[1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_standstill_names_the_stages_that_are_not_done() {
        let check = |made: Vec<ExecutionStage>, waiting: usize, polls: usize, text: &str| {
            let found = Standstill::of(&stages(made), waiting);
            assert_eq!((found.polls(), found.to_string().as_str()), (polls, text));
        };
        let open = || vec![successful(1, vec![]), unresolved(3), running(2, vec![])];
        check(open(), 0, 2, "no task runs, and no task can start; unfinished stages: 2, 3");
        check(open(), 1, 10, "no task runs, and no task is started; unfinished stages: 2, 3");
        check(vec![resolved(7)], 0, 10, "no task runs, and no task is started; unfinished stages: 7");
        // A query that progressed in between is in another standstill.
        let before = Standstill::of(&stages(vec![running(1, vec![]), unresolved(2)]), 0);
        assert_ne!(before, Standstill::of(&stages(vec![successful(1, vec![]), unresolved(2)]), 0));
    }
}
