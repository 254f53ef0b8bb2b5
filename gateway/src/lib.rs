//! The front door: Arrow Flight SQL over a [`Backend`].
//!
//! It implements the protocol and nothing else. [`serve`] runs it on a listener, [`FlightSql`] is the service itself
//! for a process that builds its own server, and [`Client`] is the client of our own prompt, jobs and experiments. The
//! server keeps no state between calls: tickets and handles of prepared statements are self-contained, so a client that
//! does not close them costs nothing, and a restarted server accepts handles from before.

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
