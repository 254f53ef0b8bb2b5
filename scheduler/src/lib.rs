//! The scheduler process: plans statements with our catalog, hands them to Ballista, commits what executors wrote.
//!
//! [`Scheduler`] is the door's `Backend`. A statement goes one of three ways: answered in this process when it reads
//! little, as a Ballista query when it reads much, or as a change of the catalog. Everything that a statement reads is
//! pinned when it is planned.
mod backend;
mod client_rows;
mod config;
mod define;
mod delete;
mod describe;
mod error;
mod explain;
mod local;
mod planner;
mod process;
mod query;
mod results;
mod session;
mod stages;
mod statement;
mod work;
mod write;

pub use config::SchedulerConfig;
pub use error::{Error, ErrorKind, Result};
pub use process::{Running, Scheduler, start};
