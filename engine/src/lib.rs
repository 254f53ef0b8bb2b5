//! What the scheduler and the executors must agree on: session settings, SQL functions, our own operators and their
//! codec, the memory, the object stores and the metrics of a process.
//!
//! If the two processes differed, one could not read the other's plans, so each of these has a single definition here
//! that both call.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bergmill_engine::{Encoding, MemoryLimit, RoundTrip, runtime_env, whole_config};
//! use bergmill_storage::Stores;
//! use datafusion::prelude::SessionContext;
//!
//! # fn main() -> datafusion::error::Result<()> {
//! # futures::executor::block_on(async {
//! let runtime = runtime_env(Some(MemoryLimit(64 << 20)), &std::env::temp_dir(), Stores::local())?;
//! let session = SessionContext::new_with_config_rt(whole_config(2), Arc::clone(&runtime));
//! let plan = async |sql: &str| session.sql(sql).await?.create_physical_plan().await;
//! let executor = RoundTrip::new(runtime);
//!
//! let sent = plan("SELECT v % 2, sum(v) FROM (VALUES (1), (2)) AS t (v) GROUP BY v % 2").await?;
//! let arrived = executor.arrived(&sent, Encoding::Whole)?;
//! assert_eq!(arrived.schema(), sent.schema());
//!
//! // The encoding has no place for the filter of a window function: no executor gets a plan without it.
//! let sent = plan("SELECT sum(v) FILTER (WHERE v > 1) OVER () FROM (VALUES (1), (2)) AS t (v)").await?;
//! let e = executor.arrived(&sent, Encoding::Whole).unwrap_err();
//! assert!(e.to_string().contains("the plan changes when it is encoded"), "{e}");
//! # Ok(())
//! # })
//! # }
//! ```
mod cancel;
mod codec;
mod compact;
mod dynamic_filters;
mod ended_tasks;
mod exposition;
mod failure;
mod first_row;
mod functions;
mod lead_lag;
mod members;
mod named_filters;
mod once_stream;
mod operator_metrics;
mod property_barrier;
mod query_threads;
mod round_trip;
mod runtime;
mod session;
mod shared;
mod sort_memory;
mod string_view;
mod task_context;
mod whole_query;
mod zoned_timestamps;
mod zorder;

pub use cancel::{CancelOnDrop, Cancelled, heeding, with_cancelled};
pub use codec::PlanCodec;
pub use compact::CompactExec;
pub use dynamic_filters::{push_dynamic_filters, with_dynamic_filters};
pub use ended_tasks::{decode_ended_tasks, encode_ended_tasks};
pub use exposition::{metrics_text, new_registry, register, serve_metrics};
pub use failure::{Failure, FailureKind};
pub use first_row::FirstRowExec;
pub use functions::{aggregate_functions, function_registry, scalar_functions, window_functions};
pub use members::over_tls;
pub use named_filters::NamedFilters;
pub use once_stream::once_stream;
pub use operator_metrics::OperatorMetrics;
pub use property_barrier::PropertyBarrierExec;
pub use query_threads::QueryThreads;
pub use round_trip::{Encoding, RoundTrip, encoded, is_same_operator};
pub use runtime::{MemoryLimit, runtime_env};
pub use session::{DEFAULT_NAMESPACE, MAX_MESSAGE_BYTES, cluster_config, local_config, whole_config};
pub use shared::SharedExec;
pub use sort_memory::{count_sorts, with_room_to_merge};
pub use string_view::{plain_text, without_views};
pub use whole_query::WholeQueryExec;
