//! The scheduler process: plans statements with our catalog, submits them to Ballista, commits the files that executors
//! wrote.
//!
//! [`Scheduler`] is the front door's `Backend`. A statement runs in one of three ways: in this process if it reads
//! little, as a Ballista query if it reads much, or as a change of the catalog. Everything that a statement reads is
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
