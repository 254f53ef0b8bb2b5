//! One file per command; each has a function `run` that takes the arguments and returns an exit status.
pub mod bench;
pub mod certs;
pub mod demo;
pub mod executor;
pub mod experiment;
pub mod health;
pub mod job;
pub mod load;
pub mod scheduler;
pub mod serve;
pub mod sql;
pub mod user;
