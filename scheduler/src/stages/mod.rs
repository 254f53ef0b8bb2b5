//! What stands between Ballista 55 and a right answer, so that an upgrade has one folder to go through.
//!
//! Ballista cuts a plan into stages where rows change partitions, and a stage into tasks of some of its partitions each. Not every
//! plan may be cut so, and not everything that happens on the way is noticed:
//!
//! | what | here | `upstream/reports/` |
//! |---|---|---|
//! | a stage whose tasks together do not give the stage's rows: outer and anti joins against a collected side, unions of inputs with one partition | [`divisible`] | `outer_join_tasks`, `union_inputs` |
//! | tasks report different numbers of metrics, or have all partitions of an `EmptyExec` or `PlaceholderRowExec` | [`leaves`] | `union_task_metrics` |
//! | `ballista.planner.propagate_empty.enabled` is read by nobody; an exchange without rows under an outer join is planned again for ever | [`divisible`] | `empty_exchange` |
//! | a plan that loses a clause or a setting on its way to an executor | [`gate`], by `bergmill_engine::RoundTrip` | `window_clauses`, `to_timestamp_settings`, `window_constant_partition` |
//! | the rows of another stage given for the answer, when the last stage's end changes the plan | [`recovery`] | `other_stage_rows` |
//! | the order of the answer, when a sort goes below a join that is exchanged later | [`order`] | `order_lost` |
//! | rows that are lost with an executor and made again | [`recovery`] | `lost_executor_adaptive` (apache/datafusion-ballista#1986), `lost_executor_static` |
//! | vcores of tasks whose stage was rolled back | [`vcores`] | `lost_vcores` (akin to apache/datafusion-ballista#2418) |
//!
//! What is not known to be right as stages is run whole, by one executor.

pub(crate) mod divisible;
mod gate;
mod leaves;
pub(crate) mod order;
mod recovery;
mod vcores;

pub(crate) use gate::Gate;
pub(crate) use recovery::{Loss, MAX_ATTEMPTS};
pub(crate) use vcores::CountedVcores;
