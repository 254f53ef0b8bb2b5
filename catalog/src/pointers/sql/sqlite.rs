//! The catalog's tables in a SQLite file.
//!
//! Every change is one statement, so no transaction is ever upgraded, and SQLite's busy time-out handles waiting for
//! another writer. The journal mode of the file is left unchanged, which for a new file is the rollback journal: the
//! catalog is then one file that can be copied, needs no shared memory, and is read by any SQLite; its commits are few
//! and small, so write-ahead logging would gain nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{Row, query};

use super::database::{Database, Failure, Outcome};
use crate::error::{Error, ErrorKind, Result};

/// How long a statement waits for another process's write to the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Sqlite {
    pool: SqlitePool,
    path: PathBuf,
}

impl Sqlite {
    /// Opens the file, and creates it if it does not exist.
    pub(super) async fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| {
                Error::new(ErrorKind::Storage, format!("creating folder {}", folder.display())).with_source(e)
            })?;
        }
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(|e| sqlite_error(path, e))?;
        Ok(Self { pool, path: path.to_path_buf() })
    }

    fn failure(&self, e: sqlx::Error) -> Failure {
        let outcome = match &e {
            sqlx::Error::Database(d) if d.is_unique_violation() => Outcome::Taken,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => Outcome::NotDone,
            _ if primary_code(&e).is_some_and(|c| code::REFUSALS.contains(&c)) => Outcome::NotDone,
            _ => Outcome::Unknown,
        };
        Failure { outcome, error: sqlite_error(&self.path, e) }
    }
}

#[async_trait]
impl Database for Sqlite {
    async fn execute(&self, sql: &str, values: &[&str]) -> std::result::Result<u64, Failure> {
        let bound = values.iter().fold(query(sql), |query, value| query.bind(*value));
        Ok(bound.execute(&self.pool).await.map_err(|e| self.failure(e))?.rows_affected())
    }

    async fn select(&self, sql: &str, values: &[&str]) -> std::result::Result<Vec<Vec<Option<String>>>, Failure> {
        let bound = values.iter().fold(query(sql), |query, value| query.bind(*value));
        let cells =
            |row: SqliteRow| -> sqlx::Result<Vec<Option<String>>> { (0..row.len()).map(|i| row.try_get(i)).collect() };
        let rows = bound.fetch_all(&self.pool).await;
        rows.and_then(|rows| rows.into_iter().map(cells).collect()).map_err(|e| self.failure(e))
    }

    async fn columns(&self, table: &str) -> std::result::Result<Vec<String>, Failure> {
        let rows = self.select("SELECT name FROM pragma_table_info($1)", &[table]).await?;
        Ok(rows.into_iter().flatten().flatten().collect())
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// SQLite's primary result codes (sqlite.org/rescode.html) that this module distinguishes.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
    /// Codes of a statement that was refused, and so not executed.
    pub(super) const REFUSALS: [i32; 7] = [BUSY, LOCKED, READONLY, CORRUPT, FULL, CANTOPEN, NOTADB];
}

fn primary_code(e: &sqlx::Error) -> Option<i32> {
    let extended: i32 = e.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

fn sqlite_error(path: &Path, e: sqlx::Error) -> Error {
    let path = path.display();
    let (kind, message) = match primary_code(&e) {
        Some(code::NOTADB) => (ErrorKind::Corrupt, format!("{path} is not a SQLite file")),
        Some(code::CORRUPT) => (ErrorKind::Corrupt, format!("catalog {path} is damaged; restore it from a copy")),
        Some(code::BUSY | code::LOCKED) => {
            let waited = BUSY_TIMEOUT.as_secs();
            (ErrorKind::Storage, format!("catalog {path} has been locked by another process for {waited} s"))
        }
        Some(code::FULL) => (ErrorKind::Storage, format!("no space left for catalog {path}")),
        Some(code::READONLY) => (ErrorKind::Storage, format!("catalog {path} cannot be written")),
        Some(code::CANTOPEN) => (ErrorKind::Storage, format!("catalog {path} cannot be opened")),
        _ => (ErrorKind::Storage, format!("catalog {path}")),
    };
    Error::new(kind, message).with_source(e)
}
