//! Users, roles and tokens in the catalog's database.
//!
//! Their table is created by the first change: until then the database is as other engines made it, and a user that may
//! not create tables can still read the catalog.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bergmill_access::{Error, ErrorKind, Kind, Result, Store};
use bergmill_storage::Secret;
use tokio::sync::OnceCell;

use super::database::{Database, Failure, Outcome};
use super::postgres::Postgres;
use super::sqlite::Sqlite;

const TABLE: &str = "bergmill_access";

/// Users, roles and tokens in a SQL database.
#[derive(Debug)]
pub(crate) struct SqlAccess {
    database: Arc<dyn Database>,
    /// The database's file, if it is one.
    file: Option<PathBuf>,
    /// Set when the table is known to exist.
    table: OnceCell<()>,
}

impl SqlAccess {
    /// Opens the SQLite file at `path`, which is created if it does not exist.
    pub(crate) async fn sqlite(path: &Path) -> crate::error::Result<Self> {
        let database = Arc::new(Sqlite::open(path).await?);
        Ok(Self { database, file: Some(path.to_path_buf()), table: OnceCell::new() })
    }

    /// Opens a Postgres database.
    pub(crate) async fn postgres(address: &Secret) -> crate::error::Result<Self> {
        let database = Arc::new(Postgres::open(address).await?);
        Ok(Self { database, file: None, table: OnceCell::new() })
    }

    async fn has_table(&self) -> Result<bool> {
        if self.table.initialized() {
            return Ok(true);
        }
        let exists = !self.database.columns(TABLE).await.map_err(failed)?.is_empty();
        if exists {
            self.table.get_or_init(|| std::future::ready(())).await;
        }
        Ok(exists)
    }

    async fn create_table(&self) -> Result<()> {
        if self.has_table().await? {
            return Ok(());
        }
        self.hide_file()?;
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {TABLE} (
             kind VARCHAR(16) NOT NULL, name VARCHAR(255) NOT NULL, content TEXT NOT NULL, PRIMARY KEY (kind, name))"
        );
        let created = self.database.execute(&sql, &[]).await;
        // Another process may have created it in this moment.
        if !self.has_table().await? {
            created.map_err(failed)?;
        }
        Ok(())
    }

    /// Password hashes are not for every user of the machine.
    fn hide_file(&self) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let hide = || {
            let mode = fs::metadata(path)?.permissions().mode();
            fs::set_permissions(path, Permissions::from_mode(mode & !0o007))
        };
        hide().map_err(|e| Error::new(ErrorKind::Store, format!("permissions of {}: {e}", path.display())))
    }
}

#[async_trait]
impl Store for SqlAccess {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<String>> {
        if !self.has_table().await? {
            return Ok(None);
        }
        let sql = format!("SELECT content FROM {TABLE} WHERE kind = $1 AND name = $2");
        let rows = self.database.select(&sql, &[kind.name(), name]).await.map_err(failed)?;
        Ok(rows.into_iter().flatten().flatten().next())
    }

    async fn list(&self, kind: Kind) -> Result<Vec<(String, String)>> {
        if !self.has_table().await? {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT name, content FROM {TABLE} WHERE kind = $1");
        let rows = self.database.select(&sql, &[kind.name()]).await.map_err(failed)?;
        let pair = |row: Vec<Option<String>>| match <[_; 2]>::try_from(row) {
            Ok([Some(name), Some(content)]) => Some((name, content)),
            _ => None,
        };
        // Databases have their own order of texts.
        let mut all: Vec<_> = rows.into_iter().filter_map(pair).collect();
        all.sort();
        Ok(all)
    }

    async fn insert(&self, kind: Kind, name: &str, text: &str) -> Result<bool> {
        self.create_table().await?;
        let sql = format!("INSERT INTO {TABLE} (kind, name, content) VALUES ($1, $2, $3)");
        match self.database.execute(&sql, &[kind.name(), name, text]).await {
            Err(e) if e.outcome == Outcome::Taken => Ok(false),
            other => other.map(|_| true).map_err(failed),
        }
    }

    async fn replace(&self, kind: Kind, name: &str, expected: &str, text: &str) -> Result<bool> {
        if !self.has_table().await? {
            return Ok(false);
        }
        let sql = format!("UPDATE {TABLE} SET content = $4 WHERE kind = $1 AND name = $2 AND content = $3");
        let changed = self.database.execute(&sql, &[kind.name(), name, expected, text]).await.map_err(failed)?;
        Ok(changed > 0)
    }

    async fn remove(&self, kind: Kind, name: &str) -> Result<bool> {
        if !self.has_table().await? {
            return Ok(false);
        }
        let sql = format!("DELETE FROM {TABLE} WHERE kind = $1 AND name = $2");
        Ok(self.database.execute(&sql, &[kind.name(), name]).await.map_err(failed)? > 0)
    }
}

fn failed(failure: Failure) -> Error {
    Error::new(ErrorKind::Store, failure.error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sqlite_is_a_store_that_other_users_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let access = Arc::new(SqlAccess::sqlite(&path).await.unwrap());
        fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
        let tables = async || access.database.columns(TABLE).await.unwrap();
        assert_eq!(access.list(Kind::User).await.unwrap(), []);
        assert!(tables().await.is_empty(), "reading changes nothing");
        bergmill_access::conformance::check_grants(Arc::clone(&access) as _).await;
        bergmill_access::conformance::check(&*access).await;
        assert_eq!(tables().await, ["kind", "name", "content"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    }

    /// In a schema of its own: the other tests of that database have no users.
    #[tokio::test]
    #[ignore = "needs Postgres: tests/services/run"]
    async fn postgres_is_a_store() {
        let (address, schema) = (super::super::tests::address(), format!("access_{}", uuid::Uuid::new_v4().simple()));
        let database = Postgres::open(&address).await.unwrap();
        database.execute(&format!("CREATE SCHEMA {schema}"), &[]).await.unwrap();
        let within = Secret::new(format!("{}?options[search_path]={schema}", address.expose()));
        let access = Arc::new(SqlAccess::postgres(&within).await.unwrap());
        assert_eq!(access.list(Kind::User).await.unwrap(), []);
        bergmill_access::conformance::check_grants(Arc::clone(&access) as _).await;
        bergmill_access::conformance::check(&*access).await;
    }
}
