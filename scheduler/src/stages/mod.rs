//! Workarounds for wrong results of Ballista 55, in one folder to review at an upgrade.
//!
//! Ballista cuts a plan into stages where rows change partitions, and a stage into tasks of some of its partitions
//! each. Not every plan may be cut this way, and not every fault is noticed. For each file: the bug upstream, by the
//! name of its report in `upstream/reports/`, and the code to remove once it is fixed.
//!
//! - [`attempts`]: Rows that are lost with an executor are recomputed wrongly: `lost_executor_adaptive`
//!   (apache/datafusion-ballista#1986), `lost_executor_static`. Then remove `Outcome::LostRows` and the loop: a query
//!   is submitted once, and read when it has succeeded.
//! - [`recovery`]:
//!   - Lost rows, as for [`attempts`]; then remove `Loss::Rows` and `has_lost_rows`.
//!   - Tasks whose executor was lost are repeated without being counted (no report); then remove `Loss::Executors`.
//!   - The rows of another stage are the result: `other_stage_rows`; then remove `misplaced` and `unread`.
//!   - Queries hang: `empty_exchange`, `union_task_metrics`. `Standstill` is also for unknown causes: remove it once it
//!     has not been seen for a long time.
//! - [`vcores`]: Vcores of tasks whose stage was rolled back are not released: `lost_vcores` (similar to
//!   apache/datafusion-ballista#2418). Then remove the file, and put [`Gate`] before Ballista's own cluster state.
//! - [`gate`]: Nothing checks a stage between planning and sending. Remove it when no check remains: neither
//!   [`divisible`], nor [`leaves`], nor [`order`], nor `bergmill_engine::RoundTrip`, which is for `window_clauses`,
//!   `to_timestamp_settings` and `window_constant_partition`.
//! - [`divisible`]:
//!   - Each task returns the unmatched rows of a collected side: `outer_join_tasks`; then remove `check_join`.
//!   - A task runs inputs of a union that are not its own: `union_inputs`; then remove `can_be_left_out`.
//!   - An exchange without rows is planned endlessly, whatever `ballista.planner.propagate_empty.enabled` is:
//!     `empty_exchange`; then remove `check_exchange`.
//!   - In DataFusion: `offset_sort` and `top_rows`; then remove `Indivisible::Offset` and `Indivisible::FirstRows`.
//! - [`leaves`]: Tasks report different numbers of metrics, or have all partitions of an `EmptyExec` or
//!   `PlaceholderRowExec`: `union_task_metrics`. Then remove the file.
//! - [`order`]: An order is lost when a sort is pushed below a join that is exchanged later: `order_lost`. Then remove
//!   the file, its check in [`gate`], and `is_ordered` in [`attempts`] and [`recovery`].
//! - [`readers`]: Partitions are not read, or taken for others, when the plan of a stage that has ended changes:
//!   `replanned_stage`. Then remove the file, and its check in [`gate`].
//! - [`failed_task`]: Failures of tasks are reported as text (no report). Then remove the file, and the text form of
//!   `bergmill_engine::Failure`.
//! - [`unreported`]: A report of a task is sent once, and cannot be repeated: `repeated_report`. Then remove the file,
//!   `ended.rs` of the executor, and `Loss::Reports`.
//! - [`partitions`]: A task reads its part of another stage whole, into memory that is in no pool (no report). Then
//!   remove the file: a query has a partition for each vcore.
//!
//! A query that is not known to be correct in stages runs whole, on one executor (`WholeQueryExec`), as do queries that
//! Ballista does not plan (`scalar_subquery`). With a single executor all queries do, because that is faster; so that
//! stays.

mod attempts;
pub(crate) mod divisible;
mod failed_task;
mod gate;
mod leaves;
#[cfg(test)]
pub(crate) mod made_up;
pub(crate) mod order;
mod partitions;
mod readers;
mod recovery;
mod unreported;
mod vcores;

pub(crate) use attempts::{Staged, refusal};
pub(crate) use gate::Gate;
pub(crate) use partitions::{estimated_bytes, partitions};
pub(crate) use unreported::EndedTasks;
pub(crate) use vcores::CountedVcores;
