//! The product from outside: the built binary, its front door, its files.
//!
//! One binary, because each links what it tests. Every test starts what it needs on free loopback ports and stops it by
//! process id.
#![allow(clippy::unwrap_used, reason = "a test")]

mod answers;
mod architecture;
mod cluster;
mod command_line;
mod damage;
mod failures;
mod first_use;
mod lookups;
mod observed;
mod process;
mod prompt;
mod pruned;
mod sql;
mod unknown_outcome;
mod vended;
mod warehouse;
mod writers;
