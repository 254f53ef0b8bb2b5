//! Plain DataFusion over the data files of the tables: the baseline of the measurements.
//!
//! It does not use Iceberg: each table is a `ListingTable` of the files of its current snapshot, with DataFusion's
//! default settings and as many partitions as the cluster has vcores.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use bergmill_gateway::Client;
use bergmill_statement::CATALOG;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;

use crate::error::{Error, Result};

/// Default namespace of the cluster's SQL.
const DEFAULT_NAMESPACE: &str = "raw";

/// A DataFusion session with a table for each of the cluster's tables that has files.
pub(crate) struct Baseline(SessionContext);

impl Baseline {
    /// Registers the files of all tables that `client` lists.
    pub(crate) async fn open(client: &Client, partitions: usize) -> Result<Self> {
        let config = SessionConfig::new()
            .with_target_partitions(partitions.max(1))
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(CATALOG, DEFAULT_NAMESPACE);
        let context = SessionContext::new_with_config(config);
        let catalog = Arc::new(MemoryCatalogProvider::new());
        context.register_catalog(CATALOG, Arc::clone(&catalog) as _);

        let tables = client.tables().await.map_err(|source| Error::Cluster { what: "tables".to_string(), source })?;
        let mut namespaces: BTreeMap<String, Arc<MemorySchemaProvider>> = BTreeMap::new();
        for table in tables.iter().filter(|t| t.kind == "TABLE" && !t.name.contains('$')) {
            let what = || format!("{}.{}", table.namespace, table.name);
            let failed = |source| Error::Baseline { what: what(), source };
            let files = files(client, &table.namespace, &table.name).await?;
            if files.is_empty() {
                continue;
            }
            let urls = files.iter().map(ListingTableUrl::parse).collect::<Result<Vec<_>, _>>().map_err(failed)?;
            let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
            let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
            let config = config.infer_schema(&context.state()).await.map_err(failed)?;
            let listing = ListingTable::try_new(config).map_err(failed)?;
            // A session sets the same cache for the tables that it creates.
            let listing = listing.with_cache(context.runtime_env().cache_manager.get_file_statistic_cache());
            if !namespaces.contains_key(&table.namespace) {
                let namespace = Arc::new(MemorySchemaProvider::new());
                catalog.register_schema(&table.namespace, Arc::clone(&namespace) as _).map_err(failed)?;
                namespaces.insert(table.namespace.clone(), namespace);
            }
            let name = datafusion::common::TableReference::full(CATALOG, table.namespace.as_str(), table.name.as_str());
            context.register_table(name, Arc::new(listing)).map_err(failed)?;
        }
        Ok(Self(context))
    }

    /// Returns all rows of a query.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<RecordBatch>, DataFusionError> {
        self.0.sql(sql).await?.collect().await
    }
}

/// URLs of the data files of a table's current snapshot.
async fn files(client: &Client, namespace: &str, table: &str) -> Result<Vec<String>> {
    let what = format!("the files of {namespace}.{table}");
    let failed = |source| Error::Cluster { what: what.clone(), source };
    let sql = format!("SELECT file_path FROM \"{namespace}\".\"{table}$files\" ORDER BY file_path");
    let batches: Vec<RecordBatch> = client.query(&sql).await.map_err(failed)?.try_collect().await.map_err(failed)?;
    let mut paths = Vec::new();
    for batch in &batches {
        let column = batch.column(0).as_string_opt::<i32>().ok_or_else(|| Error::NoData(format!("{what}: no text")))?;
        paths.extend((0..column.len()).map(|row| column.value(row).to_string()));
    }
    Ok(paths)
}
