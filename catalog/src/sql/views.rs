//! Views in the SQL catalog: rows of type `VIEW` in the table of the tables, as Java's `JdbcCatalog` keeps them.

use iceberg::{NamespaceIdent, TableIdent};

use super::{SqlCatalog, certainly_not_done, joined};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Catalog, check_name, missing};

const IS_VIEW: &str = "catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND iceberg_type = 'VIEW'";

impl SqlCatalog {
    pub(super) async fn list_views(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT table_name FROM iceberg_tables
             WHERE catalog_name = ?1 AND table_namespace = ?2 AND iceberg_type = 'VIEW' ORDER BY table_name",
        )
        .bind(&self.name)
        .bind(joined(namespace))
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.error(e))?;
        Ok(names.into_iter().map(|name| TableIdent::new(namespace.clone(), name)).collect())
    }

    pub(super) async fn read_view_pointer(&self, view: &TableIdent) -> Result<Option<String>> {
        let sql = format!("SELECT metadata_location FROM iceberg_tables WHERE {IS_VIEW}");
        let row: Option<Option<String>> = sqlx::query_scalar(&sql)
            .bind(&self.name)
            .bind(joined(view.namespace()))
            .bind(view.name())
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.error(e))?;
        match row {
            Some(None) => Err(Error::new(ErrorKind::Corrupt, format!("view {view} has no metadata location"))),
            other => Ok(other.flatten()),
        }
    }

    pub(super) async fn add_view(&self, view: &TableIdent, metadata_location: &str) -> Result<()> {
        check_name("view", view.name())?;
        let inserted = sqlx::query(
            "INSERT INTO iceberg_tables
                (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
             SELECT ?1, ?2, ?3, ?4, NULL, 'VIEW'
             WHERE EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)
                OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)",
        )
        .bind(&self.name)
        .bind(joined(view.namespace()))
        .bind(view.name())
        .bind(metadata_location)
        .execute(&self.pool)
        .await;
        match inserted {
            Ok(done) if done.rows_affected() > 0 => Ok(()),
            Ok(_) => Err(missing::namespace(view.namespace(), &self.namespaces().await?)),
            Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
                Err(Error::new(ErrorKind::AlreadyExists, format!("{view} already exists")))
            }
            Err(e) => Err(self.error(e)),
        }
    }

    pub(super) async fn move_view(&self, view: &TableIdent, expected: &str, new: &str) -> Result<bool> {
        let sql = format!(
            "UPDATE iceberg_tables SET metadata_location = ?5, previous_metadata_location = ?4
             WHERE {IS_VIEW} AND metadata_location = ?4"
        );
        let swapped = sqlx::query(&sql)
            .bind(&self.name)
            .bind(joined(view.namespace()))
            .bind(view.name())
            .bind(expected)
            .bind(new)
            .execute(&self.pool)
            .await;
        match swapped {
            Ok(done) => Ok(done.rows_affected() > 0),
            Err(e) if certainly_not_done(&e) => Err(self.error(e)),
            Err(e) => {
                let message = format!("it is unknown whether view {view} was changed");
                Err(Error::new(ErrorKind::Unknown, message).with_source(e))
            }
        }
    }

    pub(super) async fn forget_view(&self, view: &TableIdent) -> Result<()> {
        let removed = sqlx::query(&format!("DELETE FROM iceberg_tables WHERE {IS_VIEW}"))
            .bind(&self.name)
            .bind(joined(view.namespace()))
            .bind(view.name())
            .execute(&self.pool)
            .await
            .map_err(|e| self.error(e))?;
        if removed.rows_affected() == 0 {
            return Err(missing::view(view, &self.list_views(view.namespace()).await?));
        }
        Ok(())
    }
}
