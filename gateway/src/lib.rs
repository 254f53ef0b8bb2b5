//! The front door: Arrow Flight SQL over a [`Backend`].
//!
//! It speaks the protocol and nothing else. [`serve`] runs it on a listener, [`FlightSql`] is the service itself for a
//! process that builds its own server, and [`Client`] is the other end for our own prompt, jobs and experiments.
//! Nothing is kept between calls: a ticket or a prepared statement's handle carries all that it stands for, so a client
//! that forgets to close costs nothing and a restarted server still knows yesterday's handles.

mod backend;
mod catalog_calls;
mod client;
mod error;
mod flight_sql;
pub mod headers;
mod ingest;
mod server;
mod sql_info;
mod status;
mod ticket;
mod type_info;
mod upload;
mod wire;

pub use backend::{Backend, CommitTag, IngestMode, IngestTarget, Prepared, Statement, TableInfo};
pub use client::{Answer, Client, Rows};
pub use error::{Error, ErrorKind, Result};
pub use flight_sql::FlightSql;
pub use server::{MESSAGE_LIMIT_BYTES, serve};
