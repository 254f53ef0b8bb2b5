//! Bergmill from outside: the built binary, its front door, its files.
//!
//! One test binary, because each binary links everything it tests. Every test starts the processes that it needs on
//! free loopback ports and stops them by process id.
#![allow(clippy::unwrap_used, reason = "a test")]

mod answers;
mod architecture;
mod audit;
mod cancelled;
mod cluster;
mod command_line;
mod damage;
mod draining;
mod experiments;
mod failures;
mod first_use;
mod grants;
mod http;
mod lookups;
mod lost_reports;
mod metrics;
mod observed;
mod plans;
mod process;
mod prompt;
mod pruned;
mod security;
mod sql;
mod statements;
mod strangers;
mod unknown_outcome;
mod vended;
mod warehouse;
mod writers;
