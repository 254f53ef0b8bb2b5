//! The front door: Arrow Flight SQL, SQL over HTTP and the protocol of Postgres, in front of a [`Backend`].
//!
//! It implements the protocols and nothing else. [`serve`] runs Flight SQL on a listener, [`serve_http`] the interface
//! for programs without a Flight client, and [`serve_postgres`] the one for clients of Postgres. [`FlightSql`] is the
//! service itself for a process that builds its own server, and [`Client`] is the client of our own prompt, jobs and
//! experiments. Of clients of Flight, the server keeps no state between calls but the options of sessions: tickets and
//! handles of prepared statements are self-contained, so a client that does not close them costs nothing, and a
//! restarted server accepts handles from before.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{AsArray, RecordBatch};
//! use arrow::datatypes::Int64Type;
//! use async_trait::async_trait;
//! use bergmill_gateway::{Backend, Client, Prepared, Result, Security, Statement, serve};
//! # use bergmill_gateway::{Caller, Description, Error, ErrorKind, IngestTarget, Sender, Session, TableInfo};
//! use datafusion::physical_plan::SendableRecordBatchStream;
//! use datafusion::prelude::SessionContext;
//! use futures::TryStreamExt;
//! use tokio::net::TcpListener;
//!
//! struct Engine(SessionContext);
//!
//! #[async_trait]
//! impl Backend for Engine {
//!     async fn prepare(&self, statement: &Statement) -> Result<Prepared> {
//!         let rows = self.0.sql(&statement.sql).await?;
//!         Ok(Prepared::Query { schema: Arc::clone(rows.schema().inner()), id: String::new() })
//!     }
//!
//!     async fn query(&self, statement: &Statement) -> Result<SendableRecordBatchStream> {
//!         Ok(self.0.sql(&statement.sql).await?.execute_stream().await?)
//!     }
//!     // ... and what writes, and what lists namespaces and tables.
//! #     fn catalog_name(&self) -> &str {
//! #         "memory"
//! #     }
//! #     fn default_namespace(&self) -> &str {
//! #         "public"
//! #     }
//! #     async fn describe(&self, _: &Statement) -> Result<Description> {
//! #         Err(Error::new(ErrorKind::Unsupported, "statements have no parameters here"))
//! #     }
//! #     async fn set_option(&self, _: &Session, _: Option<&Caller>, _: &str, _: Option<&str>) -> Result<()> {
//! #         Err(Error::new(ErrorKind::NotFound, "there are no options here"))
//! #     }
//! #     async fn cancel(&self, _: &str, _: &Sender) -> Result<()> {
//! #         Err(Error::new(ErrorKind::Unsupported, "queries have no ids here"))
//! #     }
//! #     async fn update(&self, _: &Statement) -> Result<u64> {
//! #         Err(Error::new(ErrorKind::Unsupported, "nothing is written here"))
//! #     }
//! #     async fn ingest(&self, _: &IngestTarget, _: &Sender, _: SendableRecordBatchStream) -> Result<u64> {
//! #         Err(Error::new(ErrorKind::Unsupported, "nothing is written here"))
//! #     }
//! #     async fn ready(&self) -> Result<()> {
//! #         Ok(())
//! #     }
//! #     async fn metrics(&self) -> Result<String> {
//! #         Ok(String::new())
//! #     }
//! #     async fn namespaces(&self, _: Option<&Caller>) -> Result<Vec<String>> {
//! #         Ok(Vec::new())
//! #     }
//! #     async fn tables(&self, _: Option<&Caller>) -> Result<Vec<TableInfo>> {
//! #         Ok(Vec::new())
//! #     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?.to_string();
//! let engine = Arc::new(Engine(SessionContext::new()));
//! tokio::spawn(serve(listener, engine, Security::default(), std::future::pending()));
//!
//! let client = Client::connect(&address).await?;
//! let batches: Vec<RecordBatch> = client.query("SELECT 6 * 7 AS answer").await?.try_collect().await?;
//! assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 42);
//! # Ok(())
//! # }
//! ```

mod actions;
mod backend;
mod catalog_calls;
mod client;
mod error;
mod flight_sql;
pub mod headers;
mod http;
mod ingest;
mod login;
mod nested;
mod parameters;
mod postgres;
mod server;
mod session;
mod session_messages;
mod sql_info;
mod status;
mod ticket;
mod type_info;
mod upload;
mod wire;

pub use backend::{Backend, CommitTag, Description, IngestMode, IngestTarget, Prepared, Statement, TableInfo};
pub use client::{Answer, Client, ConnectOptions, Rows};
pub use error::{Error, ErrorKind, Result};
pub use flight_sql::FlightSql;
pub use http::serve_http;
pub use login::{Caller, Credentials, Login, Sender};
pub use nested::nested_as_json;
pub use postgres::serve_postgres;
pub use server::{MESSAGE_LIMIT_BYTES, Security, serve};
pub use session::{Session, SessionInfo, Sessions};
