//! What stands between Ballista 55 and a right answer, so that an upgrade has one folder to go through.
//!
//! Ballista cuts a plan into stages where rows change partitions, and a stage into tasks of some of its partitions
//! each. Not every plan may be cut so, and not everything that happens on the way is noticed. For each file: what is
//! wrong upstream, by the name of its report in `upstream/reports/`, and what may go when it is mended.
//!
//! - [`attempts`]: Rows that are lost with an executor are made again wrongly: `lost_executor_adaptive`
//!   (apache/datafusion-ballista#1986), `lost_executor_static`. Then `Outcome::LostRows` goes, and the loop: a query is
//!   submitted once, and read when it has succeeded.
//! - [`recovery`]:
//!   - The same; then `Loss::Rows` and `has_lost_rows` go.
//!   - Tasks whose executor was lost are repeated without being counted (no report); then `Loss::Executors` and
//!     `most_lost` go.
//!   - The rows of another stage are the answer: `other_stage_rows`; then `misplaced` and `unread` go.
//!   - Queries wait for ever: `empty_exchange`, `union_task_metrics`. `Standstill` is also for what is not known yet:
//!     it goes when nothing has met it for long.
//! - [`vcores`]: Vcores of tasks whose stage was rolled back are not given back: `lost_vcores` (akin to
//!   apache/datafusion-ballista#2418). Then the file goes, and [`Gate`] stands before Ballista's own cluster state.
//! - [`gate`]: Nothing looks at a stage between being planned and being sent. It goes when nothing is left to ask: not
//!   [`divisible`], not [`leaves`], and not `bergmill_engine::RoundTrip`, which is there for `window_clauses`,
//!   `to_timestamp_settings` and `window_constant_partition`.
//! - [`divisible`]:
//!   - Each task gives the unmatched rows of a collected side: `outer_join_tasks`; then `check_join` goes.
//!   - A task runs inputs of a union that are not its own: `union_inputs`; then `can_be_left_out` goes.
//!   - An exchange without rows is planned for ever, whatever `ballista.planner.propagate_empty.enabled` is:
//!     `empty_exchange`; then `check_exchange` goes.
//!   - Of DataFusion: `offset_sort` and `top_rows`; then `Indivisible::Offset` and `Indivisible::FirstRows` go.
//! - [`leaves`]: Tasks report different numbers of metrics, or have all partitions of an `EmptyExec` or
//!   `PlaceholderRowExec`: `union_task_metrics`. Then the file goes.
//! - [`order`]: The order of the answer is lost when a sort goes below a join that is exchanged later: `order_lost`.
//!   Then the file goes, and `is_ordered` in [`attempts`] and [`recovery`].
//! - [`failed_task`]: Failures of tasks are reported as text (no report). Then the file goes, and the text form of
//!   `bergmill_engine::Failure`.
//! - [`partitions`]: A task reads its part of another stage whole, into memory that no pool knows of (no report). Then
//!   the file goes: a query has a partition for each vcore.
//!
//! What is not known to be right as stages is run whole, by one executor (`WholeQueryExec`), as are queries that
//! Ballista does not plan (`scalar_subquery`). With one executor all queries are, because that is faster; so that
//! stays.

mod attempts;
pub(crate) mod divisible;
mod failed_task;
mod gate;
mod leaves;
#[cfg(test)]
mod made_up;
pub(crate) mod order;
mod partitions;
mod recovery;
mod vcores;

pub(crate) use attempts::{Staged, refusal};
pub(crate) use gate::Gate;
pub(crate) use partitions::{estimated_bytes, partitions};
pub(crate) use vcores::CountedVcores;
