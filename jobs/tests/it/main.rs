//! The shipped pipelines run for real: their SQL is evaluated by DataFusion over tables in memory, and the answers are
//! known by hand.

#![allow(clippy::unwrap_used, reason = "a test")]

mod daily_analytics;
mod daily_report;
mod running;
mod shop;
mod small_cluster;
