//! Pipelines: daily jobs as SQL files and a TOML definition, run for one date at a time.
//!
//! A [`Pipeline`] is a folder. `pipeline.toml` lists its steps; each output of a step is a SELECT that fills one table.
//! Dependencies between steps follow from the tables they read and write. [`run`] runs a pipeline for one [`Interval`]:
//! every output replaces exactly the interval's partition of its table, so a run can be repeated and never duplicates a
//! row.
//!
//! Guarantees: nothing starts if any part of the definition is wrong; a failed step stops only the steps that depend on
//! it; each run is recorded in the snapshots that it commits, so [`status`](status()) reads the tables and needs no
//! other store. The crate depends on neither cluster nor catalog: it sends SQL to a [`Query`] that the caller provides.

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
