//! The catalog in a SQL database: Iceberg's JDBC layout, version 1, so that Spark's JdbcCatalog
//! (`jdbc.schema-version=V1`) and PyIceberg's SqlCatalog see the same tables.
//!
//! `iceberg-catalog-sql` keeps the same layout but is not used: it moves a table's pointer only for commits that the
//! iceberg crate built itself, and those can only append.
//!
//! SQLite: every change is one statement, so no transaction is ever upgraded and waiting for another writer is
//! SQLite's own busy time-out. The journal mode stays what the file has, which for a new file is the rollback journal:
//! the catalog is then one file that can be copied, needs no shared memory, and is read by any SQLite; its commits are
//! few and small, so write-ahead logging would buy nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use iceberg::{NamespaceIdent, TableIdent};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use crate::error::{Error, ErrorKind, Result};
use crate::store::{Catalog, check_name, check_namespace, missing};

/// How long a statement waits for another process's write to the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The property row by which a namespace without other properties exists; Java and Python write the same.
const EXISTS: &str = "exists";

/// Rows of older catalogs have no type; rows of other types are views.
const IS_TABLE: &str = "(iceberg_type = 'TABLE' OR iceberg_type IS NULL)";

/// The tables of one catalog name in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqlCatalog {
    pool: SqlitePool,
    path: PathBuf,
    name: String,
}

impl SqlCatalog {
    /// Opens the catalog `name` in the SQLite file at `path`, which is created if it is not there.
    ///
    /// A file can hold several catalogs; engines that are to see the same tables must use the same name.
    pub async fn open(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| {
                Error::new(ErrorKind::Storage, format!("creating folder {}", folder.display())).with_source(e)
            })?;
        }
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(|e| sql_error(&path, e))?;
        let catalog = Self { pool, path, name: name.to_string() };
        catalog.create_layout().await?;
        Ok(catalog)
    }

    /// The name under which other engines open this catalog.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SQLite file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn create_layout(&self) -> Result<()> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS iceberg_tables (
                catalog_name VARCHAR(255) NOT NULL,
                table_namespace VARCHAR(255) NOT NULL,
                table_name VARCHAR(255) NOT NULL,
                metadata_location VARCHAR(1000),
                previous_metadata_location VARCHAR(1000),
                iceberg_type VARCHAR(5),
                PRIMARY KEY (catalog_name, table_namespace, table_name))",
            "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
                catalog_name VARCHAR(255) NOT NULL,
                namespace VARCHAR(255) NOT NULL,
                property_key VARCHAR(255) NOT NULL,
                property_value VARCHAR(1000) NOT NULL,
                PRIMARY KEY (catalog_name, namespace, property_key))",
        ] {
            sqlx::query(statement).execute(&self.pool).await.map_err(|e| self.error(e))?;
        }
        // Version 0 of the layout has no such column; Java adds it in the same way.
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info('iceberg_tables')")
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.error(e))?;
        if !columns.iter().any(|c| c == "iceberg_type") {
            let added = sqlx::query("ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)");
            if let Err(e) = added.execute(&self.pool).await {
                let another_was_quicker =
                    e.as_database_error().is_some_and(|e| e.message().contains("duplicate column"));
                if !another_was_quicker {
                    return Err(self.error(e));
                }
            }
        }
        Ok(())
    }

    /// Every namespace that a row names, without the namespaces that only contain others.
    async fn named_namespaces(&self) -> Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?1
             UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ?1",
        )
        .bind(&self.name)
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.error(e))
    }

    async fn table_exists(&self, table: &TableIdent) -> Result<bool> {
        // Of any type: a view's name is taken as well.
        let rows: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3",
        )
        .bind(&self.name)
        .bind(joined(table.namespace()))
        .bind(table.name())
        .fetch_one(&self.pool)
        .await
        .map_err(|e| self.error(e))?;
        Ok(rows > 0)
    }

    fn error(&self, e: sqlx::Error) -> Error {
        sql_error(&self.path, e)
    }
}

#[async_trait]
impl Catalog for SqlCatalog {
    async fn namespaces(&self) -> Result<Vec<NamespaceIdent>> {
        let mut all = std::collections::BTreeSet::new();
        for name in self.named_namespaces().await? {
            let levels: Vec<&str> = name.split('.').collect();
            for depth in 1..=levels.len() {
                all.insert(NamespaceIdent::from_strs(&levels[..depth])?.inner());
            }
        }
        all.into_iter().map(|levels| Ok(NamespaceIdent::from_vec(levels)?)).collect()
    }

    async fn namespace_exists(&self, namespace: &NamespaceIdent) -> Result<bool> {
        let name = joined(namespace);
        let within = format!("{name}.");
        Ok(self.named_namespaces().await?.iter().any(|n| *n == name || n.starts_with(&within)))
    }

    async fn create_namespace(&self, namespace: &NamespaceIdent, properties: &BTreeMap<String, String>) -> Result<()> {
        check_namespace(namespace)?;
        let name = joined(namespace);
        let others: String = (0..properties.len()).map(|i| format!(", (?{}, ?{})", 2 * i + 4, 2 * i + 5)).collect();
        let sql = format!(
            "WITH property(k, v) AS (VALUES (?3, 'true'){others})
             INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
             SELECT ?1, ?2, k, v FROM property
             WHERE NOT EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)"
        );
        let mut insert = sqlx::query(&sql).bind(&self.name).bind(&name).bind(EXISTS);
        for (key, value) in properties {
            insert = insert.bind(key).bind(value);
        }
        let inserted = insert.execute(&self.pool).await.map_err(|e| self.error(e))?;
        if inserted.rows_affected() == 0 {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("namespace {name} already exists")));
        }
        Ok(())
    }

    async fn namespace_properties(&self, namespace: &NamespaceIdent) -> Result<BTreeMap<String, String>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT property_key, property_value FROM iceberg_namespace_properties
             WHERE catalog_name = ?1 AND namespace = ?2",
        )
        .bind(&self.name)
        .bind(joined(namespace))
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.error(e))?;
        if rows.is_empty() && !self.namespace_exists(namespace).await? {
            return Err(missing::namespace(namespace, &self.namespaces().await?));
        }
        Ok(rows.into_iter().filter(|(key, _)| key != EXISTS).collect())
    }

    async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<()> {
        let name = joined(namespace);
        let within = format!("{name}.");
        // `substr` and not LIKE: names may contain % and _.
        let dropped = sqlx::query(
            "DELETE FROM iceberg_namespace_properties
             WHERE catalog_name = ?1 AND namespace = ?2
               AND NOT EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1
                               AND (table_namespace = ?2 OR substr(table_namespace, 1, length(?3)) = ?3))
               AND NOT EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1
                               AND substr(namespace, 1, length(?3)) = ?3)",
        )
        .bind(&self.name)
        .bind(&name)
        .bind(&within)
        .execute(&self.pool)
        .await
        .map_err(|e| self.error(e))?;
        if dropped.rows_affected() > 0 {
            return Ok(());
        }
        if !self.namespace_exists(namespace).await? {
            return Err(missing::namespace(namespace, &self.namespaces().await?));
        }
        let tables = self.tables(namespace).await?;
        let left: Vec<&str> = tables.iter().map(TableIdent::name).collect();
        let what = match left.is_empty() {
            true => "other namespaces or views".to_string(),
            false => format!("tables {}", left.join(", ")),
        };
        Err(Error::new(ErrorKind::Invalid, format!("namespace {name} is not empty, it holds {what}; drop them first")))
    }

    async fn tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        let sql = format!(
            "SELECT table_name FROM iceberg_tables
             WHERE catalog_name = ?1 AND table_namespace = ?2 AND {IS_TABLE} ORDER BY table_name"
        );
        let names: Vec<String> = sqlx::query_scalar(&sql)
            .bind(&self.name)
            .bind(joined(namespace))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.error(e))?;
        Ok(names.into_iter().map(|name| TableIdent::new(namespace.clone(), name)).collect())
    }

    async fn pointer(&self, table: &TableIdent) -> Result<Option<String>> {
        let sql = format!(
            "SELECT metadata_location FROM iceberg_tables
             WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND {IS_TABLE}"
        );
        let row: Option<Option<String>> = sqlx::query_scalar(&sql)
            .bind(&self.name)
            .bind(joined(table.namespace()))
            .bind(table.name())
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.error(e))?;
        match row {
            None => Ok(None),
            Some(Some(location)) => Ok(Some(location)),
            Some(None) => {
                let message = format!("catalog {}: table {table} has no metadata location", self.path.display());
                Err(Error::new(ErrorKind::Corrupt, message))
            }
        }
    }

    async fn insert(&self, table: &TableIdent, metadata_location: &str) -> Result<()> {
        check_name("table", table.name())?;
        // The namespace is looked up in the statement itself, for it could be dropped in between.
        let inserted = sqlx::query(
            "INSERT INTO iceberg_tables
                (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
             SELECT ?1, ?2, ?3, ?4, NULL, 'TABLE'
             WHERE EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)
                OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)",
        )
        .bind(&self.name)
        .bind(joined(table.namespace()))
        .bind(table.name())
        .bind(metadata_location)
        .execute(&self.pool)
        .await;
        match inserted {
            Ok(done) if done.rows_affected() > 0 => Ok(()),
            Ok(_) => Err(missing::namespace(table.namespace(), &self.namespaces().await?)),
            Err(sqlx::Error::Database(e)) if e.is_unique_violation() => Err(taken(table)),
            Err(e) => Err(self.error(e)),
        }
    }

    async fn swap(&self, table: &TableIdent, expected: &str, new: &str) -> Result<bool> {
        let sql = format!(
            "UPDATE iceberg_tables SET metadata_location = ?5, previous_metadata_location = ?4
             WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND metadata_location = ?4
               AND {IS_TABLE}"
        );
        let swapped = sqlx::query(&sql)
            .bind(&self.name)
            .bind(joined(table.namespace()))
            .bind(table.name())
            .bind(expected)
            .bind(new)
            .execute(&self.pool)
            .await;
        match swapped {
            Ok(done) => Ok(done.rows_affected() > 0),
            Err(e) if certainly_not_done(&e) => Err(self.error(e)),
            Err(e) => {
                let message = format!("catalog {}: it is unknown whether {table} was changed", self.path.display());
                Err(Error::new(ErrorKind::Unknown, message).with_source(e))
            }
        }
    }

    async fn remove(&self, table: &TableIdent) -> Result<()> {
        let sql = format!(
            "DELETE FROM iceberg_tables
             WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND {IS_TABLE}"
        );
        let removed = sqlx::query(&sql)
            .bind(&self.name)
            .bind(joined(table.namespace()))
            .bind(table.name())
            .execute(&self.pool)
            .await
            .map_err(|e| self.error(e))?;
        if removed.rows_affected() == 0 {
            return Err(missing::table(table, &self.tables(table.namespace()).await?));
        }
        Ok(())
    }

    async fn rename(&self, from: &TableIdent, to: &TableIdent) -> Result<()> {
        check_name("table", to.name())?;
        let sql = format!(
            "UPDATE iceberg_tables SET table_namespace = ?4, table_name = ?5
             WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND {IS_TABLE}
               AND (EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?4)
                 OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?4))"
        );
        let renamed = sqlx::query(&sql)
            .bind(&self.name)
            .bind(joined(from.namespace()))
            .bind(from.name())
            .bind(joined(to.namespace()))
            .bind(to.name())
            .execute(&self.pool)
            .await;
        match renamed {
            Ok(done) if done.rows_affected() > 0 => Ok(()),
            Ok(_) if self.table_exists(from).await? => {
                Err(missing::namespace(to.namespace(), &self.namespaces().await?))
            }
            Ok(_) => Err(missing::table(from, &self.tables(from.namespace()).await?)),
            Err(sqlx::Error::Database(e)) if e.is_unique_violation() => Err(taken(to)),
            Err(e) => Err(self.error(e)),
        }
    }
}

fn joined(namespace: &NamespaceIdent) -> String {
    namespace.as_ref().join(".")
}

fn taken(table: &TableIdent) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("table {table} already exists"))
}

/// SQLite's primary result codes (sqlite.org/rescode.html) that this module tells apart.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
}

fn primary_code(e: &sqlx::Error) -> Option<i32> {
    let extended: i32 = e.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether the database refused the statement, rather than got lost while doing it.
fn certainly_not_done(e: &sqlx::Error) -> bool {
    match primary_code(e) {
        Some(c) => [code::BUSY, code::LOCKED, code::READONLY, code::CORRUPT, code::FULL, code::CANTOPEN, code::NOTADB]
            .contains(&c),
        None => matches!(e, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_)),
    }
}

fn sql_error(path: &Path, e: sqlx::Error) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sqlite_keeps_the_catalogs_contract() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open(folder.path().join("new folder/catalog.db"), "bergmill").await.unwrap();
        crate::store::conformance(&catalog).await;
    }

    #[tokio::test]
    async fn catalogs_of_one_file_are_apart_and_reopening_finds_the_tables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.db");
        let (one, two) = (SqlCatalog::open(&file, "one").await.unwrap(), SqlCatalog::open(&file, "two").await.unwrap());
        let raw = NamespaceIdent::new("raw".to_string());
        one.create_namespace(&raw, &BTreeMap::new()).await.unwrap();
        assert!(!two.namespace_exists(&raw).await.unwrap());
        let again = SqlCatalog::open(&file, "one").await.unwrap();
        assert!(again.namespace_exists(&raw).await.unwrap());
    }

    #[tokio::test]
    async fn a_file_of_the_older_layout_gains_the_type_column() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.db");
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        for sql in [
            "CREATE TABLE iceberg_tables (catalog_name TEXT NOT NULL, table_namespace TEXT NOT NULL,
             table_name TEXT NOT NULL, metadata_location TEXT, previous_metadata_location TEXT,
             PRIMARY KEY (catalog_name, table_namespace, table_name))",
            "INSERT INTO iceberg_tables VALUES ('c', 'raw', 'old', 'v3', 'v2')",
        ] {
            sqlx::query(sql).execute(&pool).await.unwrap();
        }
        pool.close().await;
        let catalog = SqlCatalog::open(&file, "c").await.unwrap();
        let old = TableIdent::from_strs(["raw", "old"]).unwrap();
        assert_eq!(catalog.pointer(&old).await.unwrap().as_deref(), Some("v3"));
        assert!(catalog.swap(&old, "v3", "v4").await.unwrap());
        assert_eq!(catalog.tables(old.namespace()).await.unwrap(), vec![old]);
    }

    #[tokio::test]
    async fn views_are_not_tables() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open(folder.path().join("c.db"), "c").await.unwrap();
        let view = TableIdent::from_strs(["raw", "v"]).unwrap();
        catalog.create_namespace(view.namespace(), &BTreeMap::new()).await.unwrap();
        sqlx::query("INSERT INTO iceberg_tables VALUES ('c', 'raw', 'v', 'x', NULL, 'VIEW')")
            .execute(&catalog.pool)
            .await
            .unwrap();
        assert_eq!(catalog.tables(view.namespace()).await.unwrap(), vec![]);
        assert_eq!(catalog.pointer(&view).await.unwrap(), None);
        assert_eq!(catalog.insert(&view, "y").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(catalog.drop_namespace(view.namespace()).await.unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.db");
        std::fs::write(&file, "not a database, but long enough to be looked at as one".repeat(100)).unwrap();
        let e = SqlCatalog::open(&file, "c").await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.to_string().contains("catalog.db is not a SQLite file"), "{e}");
    }
}
