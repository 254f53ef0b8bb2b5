//! The catalog's tables in a Postgres database, in the first schema of the user's search path.

use std::time::Duration;

use async_trait::async_trait;
use bergmill_storage::Secret;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{Connection, Postgres as Driver, Row, query};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::database::{Database, Failure, Outcome};
use crate::error::{Error, ErrorKind, Result};

/// How long getting a connection may take, including while the database starts.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one statement may take. Each touches only a few rows.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Postgres {
    pool: PgPool,
    server: Server,
}

/// The parts of the address that may be shown.
#[derive(Debug)]
struct Server {
    host: String,
    port: u16,
    user: String,
    database: String,
}

impl Postgres {
    /// Connects to `postgres://user:password@host:port/database`. Parts that it leaves out are taken from
    /// `PGHOST`, `PGPASSWORD` and similar variables, the password also from `~/.pgpass`.
    pub(super) async fn open(address: &Secret) -> Result<Self> {
        let options: PgConnectOptions = address.expose().parse().map_err(|_| {
            let what = "the catalog's address is not of the form postgres://user:password@host:port/database";
            Error::new(ErrorKind::Invalid, what)
        })?;
        let options = options.application_name("bergmill");
        let server = Server {
            host: options.get_host().to_string(),
            port: options.get_port(),
            user: options.get_username().to_string(),
            database: options.get_database().unwrap_or(options.get_username()).to_string(),
        };
        // The pool would retry until its time-out, and then not report the cause.
        match timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => drop(connection.close().await),
            Ok(Err(e)) => return Err(server.error(e)),
            Err(_) => return Err(server.silent(CONNECT_TIMEOUT)),
        }
        let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(CONNECT_TIMEOUT).connect_lazy_with(options);
        Ok(Self { pool, server })
    }

    /// A working connection. If this fails, the statement was not executed.
    async fn acquire(&self) -> std::result::Result<PoolConnection<Driver>, Failure> {
        let not_started = |e| Failure { outcome: Outcome::NotDone, error: self.server.error(e) };
        self.pool.acquire().await.map_err(not_started)
    }

    /// The result of a statement that finished, or timed out.
    fn ended<T>(
        &self,
        ended: std::result::Result<sqlx::Result<T>, Elapsed>,
        mut connection: PoolConnection<Driver>,
    ) -> std::result::Result<T, Failure> {
        match ended {
            Ok(done) => done.map_err(|e| Failure { outcome: outcome(&e), error: self.server.error(e) }),
            Err(_) => {
                // Its answer may still come, and must not be taken for another statement's.
                connection.close_on_drop();
                Err(Failure { outcome: Outcome::Unknown, error: self.server.silent(STATEMENT_TIMEOUT) })
            }
        }
    }
}

#[async_trait]
impl Database for Postgres {
    async fn execute(&self, sql: &str, values: &[&str]) -> std::result::Result<u64, Failure> {
        let mut connection = self.acquire().await?;
        let bound = values.iter().fold(query(sql), |query, value| query.bind(*value));
        let ended = timeout(STATEMENT_TIMEOUT, bound.execute(&mut *connection)).await;
        Ok(self.ended(ended, connection)?.rows_affected())
    }

    async fn select(&self, sql: &str, values: &[&str]) -> std::result::Result<Vec<Vec<Option<String>>>, Failure> {
        let mut connection = self.acquire().await?;
        let bound = values.iter().fold(query(sql), |query, value| query.bind(*value));
        let ended = timeout(STATEMENT_TIMEOUT, bound.fetch_all(&mut *connection)).await;
        let cells =
            |row: PgRow| -> sqlx::Result<Vec<Option<String>>> { (0..row.len()).map(|i| row.try_get(i)).collect() };
        let rows = self.ended(ended, connection)?.into_iter().map(cells).collect::<sqlx::Result<_>>();
        rows.map_err(|e| Failure { outcome: Outcome::NotDone, error: self.server.error(e) })
    }

    async fn columns(&self, table: &str) -> std::result::Result<Vec<String>, Failure> {
        let sql = "SELECT column_name::text FROM information_schema.columns
                   WHERE table_schema = ANY (current_schemas(false)) AND table_name = $1";
        Ok(self.select(sql, &[table]).await?.into_iter().flatten().flatten().collect())
    }

    fn name(&self) -> String {
        self.server.to_string()
    }
}

/// The outcome of a failed statement: a server that answers with an error has rolled back, unless it was shutting down.
fn outcome(e: &sqlx::Error) -> Outcome {
    let Some(refusal) = e.as_database_error() else { return Outcome::Unknown };
    // Classes of postgresql.org/docs/current/errcodes-appendix.html: connection exception, operator intervention, and
    // the code of a statement whose completion is unknown.
    let code = refusal.code().unwrap_or_default();
    match code.as_ref() {
        _ if refusal.is_unique_violation() => Outcome::Taken,
        "" | "40003" => Outcome::Unknown,
        c if c.starts_with("08") || c.starts_with("57") => Outcome::Unknown,
        _ => Outcome::NotDone,
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "postgres://{}:{}/{}", self.host, self.port, self.database)
    }
}

impl Server {
    fn silent(&self, waited: Duration) -> Error {
        Error::new(ErrorKind::Storage, format!("catalog {self} has not answered for {} s", waited.as_secs()))
    }

    fn error(&self, e: sqlx::Error) -> Error {
        let code = e.as_database_error().and_then(|d| d.code()).unwrap_or_default().into_owned();
        let (user, database) = (&self.user, &self.database);
        let message = match code.as_str() {
            "28P01" | "28000" => {
                format!("catalog {self} refuses user {user}: the user or the password is wrong")
            }
            "3D000" => format!("catalog {self}: there is no database {database}; create it first"),
            "42501" => format!("catalog {self}: user {user} lacks a privilege"),
            _ if matches!(e, sqlx::Error::PoolTimedOut) => return self.silent(CONNECT_TIMEOUT),
            _ if matches!(e, sqlx::Error::Io(_)) => format!("catalog {self} cannot be reached"),
            _ => format!("catalog {self}"),
        };
        Error::new(ErrorKind::Storage, message).with_source(e)
    }
}
