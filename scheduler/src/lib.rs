//! The scheduler process: plans statements with our catalog, submits them to Ballista, commits the files that executors
//! wrote.
//!
//! [`Scheduler`] is the front door's `Backend`. A statement runs in one of three ways: in this process if it reads
//! little, as a Ballista query if it reads much, or as a change of the catalog. Everything that a statement reads is
//! pinned when it is planned.
//!
//! ```
//! use bergmill_catalog::Warehouse;
//! use bergmill_gateway::Client;
//! use bergmill_scheduler::SchedulerConfig;
//! use futures::TryStreamExt;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let warehouse = Warehouse::open_local(folder.path(), "bergmill").await?;
//! let running = bergmill_scheduler::start(SchedulerConfig::embedded(folder.path().join("work")), warehouse).await?;
//!
//! // Statements that read little need no executor.
//! let client = Client::connect(&running.listen.to_string()).await?;
//! client.update("CREATE SCHEMA raw", None).await?;
//! client.update("CREATE TABLE raw.orders (id BIGINT, day DATE) PARTITIONED BY (day)", None).await?;
//! let orders = "INSERT INTO raw.orders VALUES (1, DATE '2026-02-14'), (2, DATE '2026-02-15')";
//! assert_eq!(client.update(orders, None).await?, 2);
//! let today = "SELECT id FROM raw.orders WHERE day = DATE '2026-02-15'";
//! let batches: Vec<_> = client.query(today).await?.try_collect().await?;
//! assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
//! # Ok(())
//! # }
//! ```
mod backend;
mod client_rows;
mod cluster_port;
mod config;
mod define;
mod delete;
mod describe;
mod draining;
mod error;
mod explain;
mod grants;
mod kept_plans;
mod kill;
mod local;
mod login;
mod metrics;
mod parameters;
mod planner;
mod prepared_plans;
mod process;
mod query;
mod results;
mod rights;
mod session;
mod settings;
mod stages;
mod statement;
mod system;
mod touched;
mod users;
mod work;
mod write;

pub use config::SchedulerConfig;
pub use error::{Error, ErrorKind, Result};
pub use process::{Running, Scheduler, start};
