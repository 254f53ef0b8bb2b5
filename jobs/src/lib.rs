//! Pipelines: the shop's daily work as SQL files and a TOML, run over one date at a time.
//!
//! A [`Pipeline`] is a folder. `pipeline.toml` names its steps; each step's outputs are SELECTs that fill one table
//! each. Which step waits for which follows from the tables they read and write. [`run`] carries a pipeline out for one
//! [`Interval`]: every output replaces exactly the interval's partition of its table, so a run can be repeated at will
//! and never doubles a row.
//!
//! This crate promises: nothing is started when any part of the definition is wrong; a failed step stops what depends
//! on it and nothing else; what ran is written into the snapshots that it made, so [`status`](status()) asks the tables
//! and no other store. It knows neither cluster nor catalog: it says SQL to a [`Query`] that the caller brings.

mod audit;
mod definition;
mod error;
mod export;
mod files;
mod graph;
mod interval;
mod pipeline;
mod progress;
mod query;
mod reads;
mod render;
mod report;
mod runner;
mod shipped;
mod status;
mod table_name;
mod template;
mod toml_reader;

pub use audit::{Audit, AuditTime};
pub use error::{JobError, Mistake, Mistakes};
pub use export::Export;
pub use interval::Interval;
pub use pipeline::{Output, Pipeline, Step};
pub use progress::{Event, Progress, Silent};
pub use query::{CommitTag, Query, QueryError, QueryErrorKind};
pub use render::{Rendered, RenderedOutput, RenderedStep};
pub use report::{Report, ReportDefinition};
pub use runner::{OutputRun, RunOptions, RunRecord, StepRun, StepState, run};
pub use shipped::{shipped, shipped_named};
pub use status::{Committed, TableStatus, status};
pub use table_name::TableName;
