//! The same answer on every path: each query is asked of plain DataFusion in this process, and of clusters that run it
//! in the scheduler, whole on one executor, or in stages on several. Whatever differs is reported with the query.
//!
//! [`Clusters`] starts the clusters as a user does, by the binary, over one warehouse. [`Reference`] is the engine that
//! is believed. [`difference`] says whether two answers are one, by type and by value.

mod answer;
mod by_value;
mod compare;
pub mod corpus;
mod known;
pub mod random;
mod reference;
mod report;
mod shapes;
mod tpc;

pub use answer::Answer;
pub use by_value::difference_by_value;
pub use compare::{Order, difference};
pub use known::KNOWN;
pub use reference::Reference;
pub use report::{Entry, Report, Verdict};
pub use shapes::{Clusters, Outcome, SHAPES, Shape, binary};
pub use tpc::run_suite;
