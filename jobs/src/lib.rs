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
//!
//! ```
//! use std::sync::Mutex;
//!
//! use arrow::array::RecordBatch;
//! use async_trait::async_trait;
//! use bergmill_jobs::{CommitTag, Pipeline, Query, QueryError, RunOptions, Silent, run};
//!
//! /// Records statements, in place of a cluster.
//! #[derive(Default)]
//! struct Recorder(Mutex<Vec<String>>);
//!
//! #[async_trait]
//! impl Query for Recorder {
//!     async fn rows(&self, _: &str) -> Result<Vec<RecordBatch>, QueryError> {
//!         Ok(Vec::new())
//!     }
//!
//!     async fn write(&self, sql: &str, _: Option<&CommitTag>) -> Result<u64, QueryError> {
//!         self.0.lock().unwrap().push(sql.to_string());
//!         Ok(1)
//!     }
//! }
//!
//! const DEFINITION: &str = r#"
//! name = "sales"
//! description = "What was sold each day"
//! inputs = ["raw.orders"]
//! [[step]]
//! name = "daily"
//! [[step.output]]
//! table = "aggregated.daily_sales"
//! sql = "daily.sql"
//! columns = ["date DATE", "total DOUBLE"]
//! "#;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("pipeline.toml"), DEFINITION)?;
//! let select = "SELECT {{ date }} AS date, sum(amount) AS total FROM raw.orders WHERE day = {{ date }}";
//! std::fs::write(folder.path().join("daily.sql"), select)?;
//!
//! let (pipeline, recorder) = (Pipeline::load(folder.path())?, Recorder::default());
//! let options = RunOptions::new(folder.path().join("reports"), folder.path().join("exports"));
//! let record = run(&pipeline, "2026-02-14".parse()?, &recorder, &options, &Silent).await?;
//! assert!(record.succeeded());
//! let statements = recorder.0.into_inner()?;
//! let last = statements.last().expect("the INSERT");
//! assert!(last.starts_with("INSERT OVERWRITE aggregated.daily_sales PARTITION (date = DATE '2026-02-14')"), "{last}");
//! # Ok(())
//! # }
//! ```

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
mod render;
mod report;
mod runner;
mod shipped;
mod status;
mod table_name;
mod table_refs;
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
