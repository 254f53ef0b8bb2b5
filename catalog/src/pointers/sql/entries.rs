//! The rows of `iceberg_tables`: tables and views, distinguished by type as in Java's `JdbcCatalog`.

use std::fmt;

use iceberg::{NamespaceIdent, TableIdent};

use super::database::Outcome;
use super::{SqlCatalog, joined};
use crate::error::{Error, ErrorKind, Result};
use crate::pointers::store::{Catalog, check_name, missing};

/// Whether a row is a table or a view.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Table,
    View,
}

impl Kind {
    /// The value of `iceberg_type` in new rows.
    fn value(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::View => "VIEW",
        }
    }

    /// The SQL condition for rows of this kind. Rows of older catalogs have no type and are tables.
    pub(super) fn condition(self) -> &'static str {
        match self {
            Self::Table => "(iceberg_type = 'TABLE' OR iceberg_type IS NULL)",
            Self::View => "iceberg_type = 'VIEW'",
        }
    }

    fn missing(self, ident: &TableIdent, known: &[TableIdent]) -> Error {
        match self {
            Self::Table => missing::table(ident, known),
            Self::View => missing::view(ident, known),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::View => "view",
        })
    }
}

impl SqlCatalog {
    pub(super) async fn list(&self, kind: Kind, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        let sql = format!(
            "SELECT table_name FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2 AND {}",
            kind.condition()
        );
        let mut names = self.texts(&sql, &[&self.name, &joined(namespace)]).await?;
        // Not sorted by the database, whose collation may be any.
        names.sort();
        Ok(names.into_iter().map(|name| TableIdent::new(namespace.clone(), name)).collect())
    }

    pub(super) async fn location(&self, kind: Kind, ident: &TableIdent) -> Result<Option<String>> {
        let sql = format!("SELECT metadata_location FROM iceberg_tables WHERE {}", row_of(kind));
        let rows = self.database.select(&sql, &[&self.name, &joined(ident.namespace()), ident.name()]).await?;
        match rows.into_iter().next().map(|row| row.into_iter().next().flatten()) {
            None => Ok(None),
            Some(Some(location)) => Ok(Some(location)),
            Some(None) => {
                let message = format!("catalog {}: {kind} {ident} has no metadata location", self.database.name());
                Err(Error::new(ErrorKind::Corrupt, message))
            }
        }
    }

    pub(super) async fn add(&self, kind: Kind, ident: &TableIdent, metadata_location: &str) -> Result<()> {
        check_name(&kind.to_string(), ident.name())?;
        // The statement itself checks the namespace, which could be dropped between two statements.
        let sql = format!(
            "INSERT INTO iceberg_tables
                (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
             SELECT $1, $2, $3, $4, NULL, '{}'
             WHERE EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = $1 AND namespace = $2)
                OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2)",
            kind.value()
        );
        let values = [self.name.as_str(), &joined(ident.namespace()), ident.name(), metadata_location];
        match self.database.execute(&sql, &values).await {
            Ok(rows) if rows > 0 => Ok(()),
            Ok(_) => Err(missing::namespace(ident.namespace(), &self.namespaces().await?)),
            Err(e) => match e.outcome {
                Outcome::Taken => Err(taken(kind, ident)),
                Outcome::NotDone => Err(e.into()),
                Outcome::Unknown => Err(self.unknown(ident, "created", e.into())),
            },
        }
    }

    pub(super) async fn relocate(&self, kind: Kind, ident: &TableIdent, expected: &str, new: &str) -> Result<bool> {
        let sql = format!(
            "UPDATE iceberg_tables SET metadata_location = $5, previous_metadata_location = $4
             WHERE {} AND metadata_location = $4",
            row_of(kind)
        );
        let values = [self.name.as_str(), &joined(ident.namespace()), ident.name(), expected, new];
        match self.database.execute(&sql, &values).await {
            Ok(rows) => Ok(rows > 0),
            Err(e) if e.outcome == Outcome::Unknown => Err(self.unknown(ident, "changed", e.into())),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) async fn forget(&self, kind: Kind, ident: &TableIdent) -> Result<()> {
        let sql = format!("DELETE FROM iceberg_tables WHERE {}", row_of(kind));
        let values = [self.name.as_str(), &joined(ident.namespace()), ident.name()];
        if self.database.execute(&sql, &values).await? == 0 {
            return Err(kind.missing(ident, &self.list(kind, ident.namespace()).await?));
        }
        Ok(())
    }

    fn unknown(&self, ident: &TableIdent, done: &str, cause: Error) -> Error {
        let message = format!("catalog {}: it is unknown whether {ident} was {done}", self.database.name());
        Error::new(ErrorKind::Unknown, message).with_source(cause)
    }
}

/// The SQL condition for one row: parameters 1 to 3 are the catalog's name, the namespace and the name.
fn row_of(kind: Kind) -> String {
    format!("catalog_name = $1 AND table_namespace = $2 AND table_name = $3 AND {}", kind.condition())
}

pub(super) fn taken(kind: Kind, ident: &TableIdent) -> Error {
    let what = match kind {
        Kind::Table => format!("table {ident} already exists"),
        // The name may be a table's.
        Kind::View => format!("{ident} already exists"),
    };
    Error::new(ErrorKind::AlreadyExists, what)
}
