//! What stands between Ballista 55 and a right answer, so that an upgrade has one folder to go through.
//!
//! Ballista cuts a plan into stages where rows change partitions, and a stage into tasks of some of its partitions each. Not every
//! plan may be cut so, and not everything that happens on the way is noticed. For each file, what is wrong upstream, by the name of its
//! report in `upstream/reports/`, and what may go when it is mended:
//!
//! | file | what is wrong upstream | what may go then |
//! |---|---|---|
//! | [`attempts`] | rows that are lost with an executor are made again wrongly: `lost_executor_adaptive` (apache/datafusion-ballista#1986), `lost_executor_static` | `Outcome::LostRows` and the loop: a query is submitted once, and read when it has succeeded |
//! | [`recovery`] | the same | `Loss::Rows`, `has_lost_rows` |
//! | | tasks whose executor was lost are repeated without being counted (no report) | `Loss::Executors`, `most_lost` |
//! | | the rows of another stage are the answer: `other_stage_rows` | `misplaced`, `unread` |
//! | | queries wait for ever: `empty_exchange`, `union_task_metrics`, and for what is not known yet | `Standstill`, once nothing has met it for long |
//! | [`vcores`] | vcores of tasks whose stage was rolled back are not given back: `lost_vcores` (akin to apache/datafusion-ballista#2418) | the file; [`Gate`] then stands before Ballista's own cluster state |
//! | [`gate`] | nobody looks at a stage between being planned and being sent | the file, when neither [`divisible`] nor [`leaves`] nor `bergmill_engine::RoundTrip` is needed, which is here for `window_clauses`, `to_timestamp_settings`, `window_constant_partition` |
//! | [`divisible`] | each task gives the unmatched rows of a collected side: `outer_join_tasks` | `check_join`, `Indivisible::RowsOfCollectedSide` |
//! | | a task runs inputs of a union that are not its own: `union_inputs` | `can_be_left_out`, `Indivisible::UnionInput` |
//! | | an exchange without rows is planned for ever, whatever `ballista.planner.propagate_empty.enabled` says: `empty_exchange` | `check_exchange`, `Indivisible::NoRows` |
//! | | `offset_sort`, `top_rows`, of DataFusion | `Indivisible::Offset`, `Indivisible::FirstRows` |
//! | [`leaves`] | tasks report different numbers of metrics, or have all partitions of an `EmptyExec` or `PlaceholderRowExec`: `union_task_metrics` | the file |
//! | [`order`] | the order of the answer is lost when a sort goes below a join that is exchanged later: `order_lost` | the file, and `is_ordered` in [`attempts`] and [`recovery`] |
//! | [`failed_task`] | failures of tasks are reported as text (no report) | the file, and `bergmill_engine::Failure`'s text form |
//! | [`partitions`] | a task reads its part of another stage whole, into memory that no pool knows of (no report) | the file: a query has a partition for each vcore |
//!
//! What is not known to be right as stages is run whole, by one executor (`WholeQueryExec`), as are queries that Ballista does not plan
//! (`scalar_subquery`). With one executor all queries are, because it is faster, so that stays.

mod attempts;
pub(crate) mod divisible;
mod failed_task;
mod gate;
mod leaves;
pub(crate) mod order;
mod partitions;
mod recovery;
mod vcores;

pub(crate) use attempts::{Staged, refusal};
pub(crate) use gate::Gate;
pub(crate) use partitions::{estimated_bytes, partitions};
pub(crate) use vcores::CountedVcores;
