//! The same results on every execution path: each query runs on plain DataFusion in this process, and on clusters that
//! run it in the scheduler, whole on one executor, or in stages on several. Differences are reported with the query.
//!
//! [`Clusters`] starts the clusters as a user does, with the binary, over one warehouse. [`Reference`] is the reference
//! engine. [`difference`] compares two results by type and by value.

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
