//! Views in the SQL catalog: rows of type `VIEW` in the table of the tables, as Java's `JdbcCatalog` keeps them.

use iceberg::{NamespaceIdent, TableIdent};

use super::database::Outcome;
use super::{SqlCatalog, joined};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Catalog, check_name, missing};

const IS_VIEW: &str = "catalog_name = $1 AND table_namespace = $2 AND table_name = $3 AND iceberg_type = 'VIEW'";

impl SqlCatalog {
    pub(super) async fn list_views(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        let sql = "SELECT table_name FROM iceberg_tables
                   WHERE catalog_name = $1 AND table_namespace = $2 AND iceberg_type = 'VIEW'";
        let mut names = self.texts(sql, &[&self.name, &joined(namespace)]).await?;
        // Not by the database, whose collation may be any.
        names.sort();
        Ok(names.into_iter().map(|name| TableIdent::new(namespace.clone(), name)).collect())
    }

    pub(super) async fn read_view_pointer(&self, view: &TableIdent) -> Result<Option<String>> {
        let sql = format!("SELECT metadata_location FROM iceberg_tables WHERE {IS_VIEW}");
        let rows = self.database.select(&sql, &[&self.name, &joined(view.namespace()), view.name()]).await?;
        match rows.into_iter().next().map(|row| row.into_iter().next().flatten()) {
            Some(None) => Err(Error::new(ErrorKind::Corrupt, format!("view {view} has no metadata location"))),
            other => Ok(other.flatten()),
        }
    }

    pub(super) async fn add_view(&self, view: &TableIdent, metadata_location: &str) -> Result<()> {
        check_name("view", view.name())?;
        let sql = "INSERT INTO iceberg_tables
                (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
             SELECT $1, $2, $3, $4, NULL, 'VIEW'
             WHERE EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = $1 AND namespace = $2)
                OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2)";
        let values = [self.name.as_str(), &joined(view.namespace()), view.name(), metadata_location];
        match self.database.execute(sql, &values).await {
            Ok(rows) if rows > 0 => Ok(()),
            Ok(_) => Err(missing::namespace(view.namespace(), &self.namespaces().await?)),
            Err(e) => match e.outcome {
                Outcome::Taken => Err(Error::new(ErrorKind::AlreadyExists, format!("{view} already exists"))),
                Outcome::NotDone => Err(e.into()),
                Outcome::Unknown => Err(self.unknown(view, "created", e.into())),
            },
        }
    }

    pub(super) async fn move_view(&self, view: &TableIdent, expected: &str, new: &str) -> Result<bool> {
        let sql = format!(
            "UPDATE iceberg_tables SET metadata_location = $5, previous_metadata_location = $4
             WHERE {IS_VIEW} AND metadata_location = $4"
        );
        let values = [self.name.as_str(), &joined(view.namespace()), view.name(), expected, new];
        match self.database.execute(&sql, &values).await {
            Ok(rows) => Ok(rows > 0),
            Err(e) if e.outcome == Outcome::Unknown => Err(self.unknown(view, "changed", e.into())),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) async fn forget_view(&self, view: &TableIdent) -> Result<()> {
        let sql = format!("DELETE FROM iceberg_tables WHERE {IS_VIEW}");
        let values = [self.name.as_str(), &joined(view.namespace()), view.name()];
        if self.database.execute(&sql, &values).await? == 0 {
            return Err(missing::view(view, &self.list_views(view.namespace()).await?));
        }
        Ok(())
    }
}
