//! The catalog in a SQL database: Iceberg's JDBC layout, version 1, so that Spark's JdbcCatalog
//! (`jdbc.schema-version=V1`) and PyIceberg's SqlCatalog see the same tables.
//!
//! `iceberg-catalog-sql` keeps the same layout but is not used: it moves a table's pointer only for commits that the
//! iceberg crate built itself, and those can only append.
//!
//! Every change is one statement, and so atomic without a transaction. The SQL is the same for SQLite and Postgres.

pub(crate) mod access;
mod database;
mod entries;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bergmill_storage::Secret;
use iceberg::{NamespaceIdent, TableIdent};

use self::database::{Database, Outcome};
use self::entries::{Kind, taken};
use self::postgres::Postgres;
use self::sqlite::Sqlite;
use crate::error::{Error, ErrorKind, Result};
use crate::pointers::store::{Catalog, check_name, check_namespace, missing, not_empty};

/// The property row by which a namespace without other properties exists; Java and Python write the same.
const EXISTS: &str = "exists";

/// The tables of one catalog name in a SQL database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct SqlCatalog {
    database: Arc<dyn Database>,
    name: String,
}

impl SqlCatalog {
    /// Opens the catalog `name` in the SQLite file at `path`, which is created if it does not exist.
    ///
    /// A database can hold several catalogs; engines that share tables must use the same name.
    pub async fn open(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        Self::over(Arc::new(Sqlite::open(path.as_ref()).await?), name).await
    }

    /// Opens the catalog `name` in a Postgres database, `postgres://user:password@host:port/database`. The database
    /// must exist; the tables are created if they are missing.
    pub async fn postgres(address: &Secret, name: &str) -> Result<Self> {
        Self::over(Arc::new(Postgres::open(address).await?), name).await
    }

    async fn over(database: Arc<dyn Database>, name: &str) -> Result<Self> {
        let catalog = Self { database, name: name.to_string() };
        catalog.create_layout().await?;
        Ok(catalog)
    }

    /// The name under which other engines open this catalog.
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn create_layout(&self) -> Result<()> {
        const TABLES: (&str, &str) = (
            "iceberg_tables",
            "catalog_name VARCHAR(255) NOT NULL,
             table_namespace VARCHAR(255) NOT NULL,
             table_name VARCHAR(255) NOT NULL,
             metadata_location VARCHAR(1000),
             previous_metadata_location VARCHAR(1000),
             iceberg_type VARCHAR(5),
             PRIMARY KEY (catalog_name, table_namespace, table_name)",
        );
        const PROPERTIES: (&str, &str) = (
            "iceberg_namespace_properties",
            "catalog_name VARCHAR(255) NOT NULL,
             namespace VARCHAR(255) NOT NULL,
             property_key VARCHAR(255) NOT NULL,
             property_value VARCHAR(1000) NOT NULL,
             PRIMARY KEY (catalog_name, namespace, property_key)",
        );
        for (table, columns) in [TABLES, PROPERTIES] {
            // Checked first, since a user without the right to create tables may still use existing ones.
            if self.database.columns(table).await?.is_empty() {
                let sql = format!("CREATE TABLE IF NOT EXISTS {table} ({columns})");
                self.or_another(self.database.execute(&sql, &[]).await, table, "catalog_name").await?;
            }
        }
        // Version 0 of the layout has no such column; Java adds it in the same way.
        let (table, column) = (TABLES.0, "iceberg_type");
        if !self.database.columns(table).await?.iter().any(|c| c == column) {
            let sql = format!("ALTER TABLE {table} ADD COLUMN {column} VARCHAR(5)");
            self.or_another(self.database.execute(&sql, &[]).await, table, column).await?;
        }
        Ok(())
    }

    /// No error if another process has just done the same.
    async fn or_another(
        &self,
        done: std::result::Result<u64, database::Failure>,
        table: &str,
        column: &str,
    ) -> Result<()> {
        match done {
            Err(_) if self.database.columns(table).await?.iter().any(|c| c == column) => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// The first column of a query.
    async fn texts(&self, sql: &str, values: &[&str]) -> Result<Vec<String>> {
        Ok(self.database.select(sql, values).await?.into_iter().filter_map(|row| row.into_iter().next()?).collect())
    }

    /// Every namespace that a row names, without the namespaces that only contain others.
    async fn named_namespaces(&self) -> Result<Vec<String>> {
        let sql = "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = $1
                   UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = $1";
        self.texts(sql, &[&self.name]).await
    }

    async fn table_exists(&self, table: &TableIdent) -> Result<bool> {
        // Of any type: a view's name is taken as well.
        let sql = "SELECT table_name FROM iceberg_tables
                   WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3";
        let found = self.texts(sql, &[&self.name, &joined(table.namespace()), table.name()]).await?;
        Ok(!found.is_empty())
    }
}

#[async_trait]
impl Catalog for SqlCatalog {
    async fn namespaces(&self) -> Result<Vec<NamespaceIdent>> {
        let mut all = BTreeSet::new();
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
        let others: String = (0..properties.len()).map(|i| format!(", (${}, ${})", 2 * i + 4, 2 * i + 5)).collect();
        let sql = format!(
            "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
             WITH property(k, v) AS (VALUES ($3, 'true'){others})
             SELECT $1, $2, k, v FROM property
             WHERE NOT EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = $1 AND namespace = $2)"
        );
        let mut values = vec![self.name.as_str(), &name, EXISTS];
        values.extend(properties.iter().flat_map(|(key, value)| [key.as_str(), value]));
        match self.database.execute(&sql, &values).await {
            Ok(rows) if rows > 0 => Ok(()),
            Err(e) if e.outcome != Outcome::Taken => Err(e.into()),
            _ => Err(Error::new(ErrorKind::AlreadyExists, format!("namespace {name} already exists"))),
        }
    }

    async fn namespace_properties(&self, namespace: &NamespaceIdent) -> Result<BTreeMap<String, String>> {
        let sql = "SELECT property_key, property_value FROM iceberg_namespace_properties
                   WHERE catalog_name = $1 AND namespace = $2";
        let rows = self.database.select(sql, &[&self.name, &joined(namespace)]).await?;
        if rows.is_empty() && !self.namespace_exists(namespace).await? {
            return Err(missing::namespace(namespace, &self.namespaces().await?));
        }
        let pairs = rows.into_iter().filter_map(|row| match <[_; 2]>::try_from(row) {
            Ok([Some(key), Some(value)]) if key != EXISTS => Some((key, value)),
            _ => None,
        });
        Ok(pairs.collect())
    }

    async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<()> {
        let name = joined(namespace);
        let within = format!("{name}.");
        // `substr` and not LIKE: names may contain % and _.
        let sql = "DELETE FROM iceberg_namespace_properties
             WHERE catalog_name = $1 AND namespace = $2
               AND NOT EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = $1
                               AND (table_namespace = $2 OR substr(table_namespace, 1, length($3)) = $3))
               AND NOT EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = $1
                               AND substr(namespace, 1, length($3)) = $3)";
        if self.database.execute(sql, &[&self.name, &name, &within]).await? > 0 {
            return Ok(());
        }
        if !self.namespace_exists(namespace).await? {
            return Err(missing::namespace(namespace, &self.namespaces().await?));
        }
        Err(not_empty(self, namespace).await?)
    }

    async fn tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        self.list(Kind::Table, namespace).await
    }

    async fn pointer(&self, table: &TableIdent) -> Result<Option<String>> {
        self.location(Kind::Table, table).await
    }

    async fn insert(&self, table: &TableIdent, metadata_location: &str) -> Result<()> {
        self.add(Kind::Table, table, metadata_location).await
    }

    async fn swap(&self, table: &TableIdent, expected: &str, new: &str) -> Result<bool> {
        self.relocate(Kind::Table, table, expected, new).await
    }

    async fn remove(&self, table: &TableIdent) -> Result<()> {
        self.forget(Kind::Table, table).await
    }

    async fn rename(&self, from: &TableIdent, to: &TableIdent) -> Result<()> {
        check_name("table", to.name())?;
        let sql = format!(
            "UPDATE iceberg_tables SET table_namespace = $4, table_name = $5
             WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3 AND {}
               AND (EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = $1 AND namespace = $4)
                 OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $4))",
            Kind::Table.condition()
        );
        let (old, new) = (joined(from.namespace()), joined(to.namespace()));
        match self.database.execute(&sql, &[&self.name, &old, from.name(), &new, to.name()]).await {
            Ok(rows) if rows > 0 => Ok(()),
            Ok(_) if self.table_exists(from).await? => {
                Err(missing::namespace(to.namespace(), &self.namespaces().await?))
            }
            Ok(_) => Err(missing::table(from, &self.tables(from.namespace()).await?)),
            Err(e) if e.outcome == Outcome::Taken => Err(taken(Kind::Table, to)),
            Err(e) => Err(e.into()),
        }
    }

    async fn views(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        self.list(Kind::View, namespace).await
    }

    async fn view_pointer(&self, view: &TableIdent) -> Result<Option<String>> {
        self.location(Kind::View, view).await
    }

    async fn insert_view(&self, view: &TableIdent, metadata_location: &str) -> Result<()> {
        self.add(Kind::View, view, metadata_location).await
    }

    async fn swap_view(&self, view: &TableIdent, expected: &str, new: &str) -> Result<bool> {
        self.relocate(Kind::View, view, expected, new).await
    }

    async fn remove_view(&self, view: &TableIdent) -> Result<()> {
        self.forget(Kind::View, view).await
    }
}

fn joined(namespace: &NamespaceIdent) -> String {
    namespace.as_ref().join(".")
}
