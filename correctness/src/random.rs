//! Random queries over random tables: every shape of cluster, plain DataFusion and DuckDB must return the same rows.
//!
//! A seed determines everything, so a printed failure can be reproduced: [`run()`] with the seed and the query's
//! number.

mod dice;
mod duckdb;
mod generate;
mod print;
mod query;
mod run;
mod schema;
mod shrink;
mod value;
mod world;

use std::path::PathBuf;

pub use run::{Settings, Summary, run};

/// The Python of `correctness/run`, which has DuckDB.
pub fn default_python() -> PathBuf {
    duckdb::default_python()
}

/// A new seed.
pub fn seed_of_the_clock() -> u64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    time.map_or(0, |t| t.as_micros().try_into().unwrap_or(0))
}
