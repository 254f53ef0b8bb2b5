//! Measures Bergmill through its public front door.
//!
//! A [`Suite`] is a list of queries. [`run`] sends each to the cluster and to plain DataFusion over the same Parquet
//! files, compares the two results, and only then times the engines, in turn, in one process and one run. So both sides
//! of a ratio in its [`Report`] had the same files, the same cores and the same minute of the machine.
//!
//! ```
//! use bergmill_experiments::{Latency, Measured, Options, Progress, Report, Result, Suite, run};
//! use bergmill_gateway::Client;
//!
//! struct Lines;
//!
//! impl Progress for Lines {
//!     fn measured(&self, query: &Measured) {
//!         println!("{}: {} rows, {} s", query.name, query.rows, query.cluster_median());
//!     }
//! }
//!
//! /// On a cluster that has the tables of TPC-H.
//! async fn measure(cluster: &Client) -> Result<Report> {
//!     let suite = Suite::tpch().only(&["q01".to_string(), "q06".to_string()])?;
//!     run(&suite, cluster, Options { repeat: 3, partitions: 2 }, &Lines).await
//! }
//!
//! // What it may have given:
//! let (cluster, datafusion) = (vec![0.3, 0.1, 0.2], vec![0.4, 0.4, 0.9]);
//! let queries = vec![Measured { name: "q06".to_string(), rows: 1, cluster, datafusion }];
//! let latency = Latency { p50: 0.002, p99: 0.004 };
//! let report = Report { suite: "tpch".to_string(), partitions: 2, queries, latency };
//! assert_eq!(report.cluster_sum() / report.datafusion_sum(), 0.5);
//! ```

mod baseline;
mod bench;
mod cluster;
mod compare;
mod comparison;
mod engine;
mod error;
mod experiment;
mod machine;
mod measurement;
mod peers;
mod plain;
mod plot;
mod random;
mod report;
mod scaling_law;
mod sort_order;
mod statistics;
mod suite;
mod timeline;
mod tpch;
mod workers;

pub use bench::{Options, Progress, run};
pub use cluster::{Cluster, ClusterSettings, Process, Quotas, Share, Usage};
pub use comparison::RunsCompared;
pub use error::{Error, Result};
pub use experiment::{ExperimentProgress, ExperimentReport};
pub use machine::Machine;
pub use measurement::{Measurement, WorkersScaling};
pub use peers::{PeerEngine, PeerMeasurement, PeerProblem, PeersReport, PeersSettings, run_peers};
pub use plain::serve_plain_datafusion;
pub use report::{Latency, Measured, Report};
pub use sort_order::{PartSizes, SortOrderMeasurement, SortOrderReport, SortOrderSettings, TableSize, run_sort_order};
pub use suite::{Query, Suite};
pub use timeline::Breakdown;
pub use tpch::{TPCH_TABLES, TpchTable, tpch_table};
pub use workers::{
    Timed, WorkersCluster, WorkersReport, WorkersSettings, WorkersShare, Workload, run_workers, workers_queries,
};
