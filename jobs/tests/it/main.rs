//! Runs the shipped pipelines: DataFusion evaluates their SQL over tables in memory, and the expected results are
//! computed by hand.

#![allow(clippy::unwrap_used, reason = "a test")]

mod daily_analytics;
mod daily_report;
mod running;
mod shop;
mod small_cluster;
