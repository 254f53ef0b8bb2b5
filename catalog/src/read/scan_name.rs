//! What the scan of one version of a table is called.

use datafusion::common::TableReference;

/// `raw.events@3`. Scans are told apart by their names alone, so two versions of a table must not share one.
pub(crate) fn named(table: &TableReference, version: &impl std::fmt::Display) -> TableReference {
    let name = format!("{}@{version}", table.table());
    match (table.catalog(), table.schema()) {
        (Some(catalog), Some(schema)) => TableReference::full(catalog, schema, name),
        (None, Some(schema)) => TableReference::partial(schema, name),
        _ => TableReference::bare(name),
    }
}
