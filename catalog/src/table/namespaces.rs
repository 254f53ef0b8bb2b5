//! Making and dropping the namespaces of a warehouse, and the warehouse of one machine.

use std::path::Path;
use std::sync::Arc;

use bergmill_storage::Stores;
use iceberg::NamespaceIdent;

use crate::error::{ErrorKind, Result};
use crate::pointers::layout::{LOCATION, check_location};
use crate::pointers::sql::SqlCatalog;
use crate::pointers::store::missing;
use crate::table::Warehouse;

impl Warehouse {
    /// The warehouse of one machine: `catalog.db` (SQLite) and `warehouse/` in `folder`, an absolute path.
    /// `catalog_name` is [`CATALOG`](bergmill_statement::CATALOG), unless another engine made the file and keeps its
    /// tables under a name of its own.
    pub async fn open_local(folder: &Path, catalog_name: &str) -> Result<Self> {
        let catalog = SqlCatalog::open(folder.join("catalog.db"), catalog_name).await?;
        let location = format!("file://{}", folder.join("warehouse").display());
        Self::new(Arc::new(catalog), Stores::local(), &location)
    }

    /// Creates a namespace of one level, whose tables go to `location`, or where the warehouse puts them.
    pub async fn create_namespace(&self, name: &str, location: Option<&str>) -> Result<()> {
        let ident = NamespaceIdent::new(name.to_string());
        let location = match location {
            Some(location) => Some(check_location(location)?),
            None => self.layout().told_location(&ident),
        };
        let properties = location.map(|at| (LOCATION.to_string(), at)).into_iter().collect();
        self.catalog().create_namespace(&ident, &properties).await
    }

    /// Drops a namespace that holds no tables.
    pub async fn drop_namespace(&self, name: &str) -> Result<()> {
        let ident = NamespaceIdent::new(name.to_string());
        match self.catalog().drop_namespace(&ident).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Err(missing::namespace(&ident, &self.catalog().namespaces().await?))
            }
            other => other,
        }
    }
}
