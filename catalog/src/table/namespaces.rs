//! Creates and drops the namespaces of a warehouse, and opens the warehouse of a single machine.

use std::collections::BTreeMap;
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
    /// The warehouse of a single machine: `catalog.db` (SQLite) and `warehouse/` in `folder`, an absolute path.
    /// `catalog_name` is [`CATALOG`](bergmill_statement::CATALOG), unless another engine created the file and keeps its
    /// tables under another name.
    pub async fn open_local(folder: &Path, catalog_name: &str) -> Result<Self> {
        let catalog = SqlCatalog::open(folder.join("catalog.db"), catalog_name).await?;
        let location = format!("file://{}", folder.join("warehouse").display());
        Self::new(Arc::new(catalog), Stores::local(), &location)
    }

    /// Creates a namespace of one level, whose tables go to `location`, or to the warehouse's default location.
    pub async fn create_namespace(&self, name: &str, location: Option<&str>) -> Result<()> {
        let ident = NamespaceIdent::new(name.to_string());
        let location = match location {
            Some(location) => Some(check_location(location)?),
            None => self.layout().location_property(&ident),
        };
        let properties = location.map(|at| (LOCATION.to_string(), at)).into_iter().collect();
        self.catalog().create_namespace(&ident, &properties).await
    }

    /// Drops an empty namespace.
    pub async fn drop_namespace(&self, name: &str) -> Result<()> {
        let ident = NamespaceIdent::new(name.to_string());
        match self.catalog().drop_namespace(&ident).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Err(missing::namespace(&ident, &self.catalog().namespaces().await?))
            }
            other => other,
        }
    }

    /// The tables of a namespace that have a snapshot, with the locations of their current metadata files.
    pub async fn metadata_files(&self, namespace: &str) -> Result<BTreeMap<String, String>> {
        let mut files = BTreeMap::new();
        for table in self.catalog().tables(&NamespaceIdent::new(namespace.to_string())).await? {
            if let Some(entry) = self.catalog().find(&table).await?
                && self.load(&table).await?.metadata().current_snapshot().is_some()
            {
                files.insert(table.name().to_string(), entry.location);
            }
        }
        Ok(files)
    }
}
