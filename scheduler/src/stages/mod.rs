//! What stands between Ballista 55 and a right answer, so that an upgrade has one folder to go through.
//!
//! Ballista cuts a plan into stages where rows change partitions, and a stage into tasks of some of its partitions each. Not every
//! plan may be cut so, and not everything that happens on the way is noticed:
//!
//! | what | here | upstream |
//! |---|---|---|
//! | a stage whose tasks together do not give the stage's rows: outer and anti joins against a collected side, unions of inputs with one partition | [`divisible`] | none known |
//! | `EmptyExec` and `PlaceholderRowExec` arrive with one partition, whatever they had; tasks then report different numbers of metrics | [`leaves`] | none known |
//! | `ballista.planner.propagate_empty.enabled` is read by nobody; an exchange without rows under an outer join is planned again for ever | [`divisible`] | none known |
//! | a plan that loses a clause on its way to an executor | [`gate`], by `bergmill_engine::RoundTrip` | none known |
//! | the rows of another stage given for the answer, when the last stage's end changes the plan | [`recovery`] | none known |
//! | the order of the answer, when a sort goes below a join that is exchanged later | [`order`] | none known |
//! | rows that are lost with an executor and made again | [`recovery`] | apache/datafusion-ballista#1986 |
//! | vcores of tasks whose stage was rolled back | [`vcores`] | akin to apache/datafusion-ballista#2418 |
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
