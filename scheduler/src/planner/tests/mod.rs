//! Our sessions against plain DataFusion, in one process and with plans encoded for executors.

mod adaptive;
mod common_subplans;
mod exchange;
mod first_row;
mod hash_partitions;
mod whole_query;

use std::path::Path;
use std::sync::Arc;

use bergmill_engine::{MemoryLimit, runtime_env, whole_config};
use bergmill_storage::Stores;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemTable, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider,
};
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;

use super::session_state;

/// Our session over one table `raw.t`, with two vcores and `memory` bytes.
fn ours(table: &[RecordBatch], memory: usize, spill: &Path) -> SessionState {
    let (catalogs, catalog) = (MemoryCatalogProviderList::new(), Arc::new(MemoryCatalogProvider::new()));
    catalog.register_schema("raw", Arc::new(MemorySchemaProvider::new())).unwrap();
    let provider = MemTable::try_new(table[0].schema(), vec![table.to_vec()]).unwrap();
    catalog.schema("raw").unwrap().register_table("t".to_string(), Arc::new(provider)).unwrap();
    catalogs.register_catalog("bergmill".to_string(), catalog);
    let runtime = runtime_env(Some(MemoryLimit(memory)), spill, Stores::local()).unwrap();
    session_state(whole_config(2), runtime, Arc::new(catalogs))
}

/// Plain DataFusion over the same table.
fn plain(table: &[RecordBatch]) -> SessionState {
    let context = SessionContext::new();
    let provider = MemTable::try_new(table[0].schema(), vec![table.to_vec()]).unwrap();
    context.register_table("t", Arc::new(provider)).unwrap();
    context.state()
}

/// The result as sorted lines.
async fn lines(state: SessionState, sql: &str) -> Vec<String> {
    let batches = SessionContext::new_with_state(state).sql(sql).await.unwrap().collect().await.unwrap();
    sorted_lines(&batches)
}

/// Batches as sorted lines.
fn sorted_lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines: Vec<String> =
        pretty_format_batches(batches).unwrap().to_string().lines().map(str::to_string).collect();
    lines.sort();
    lines
}
