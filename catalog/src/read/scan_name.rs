//! Names of scans of one version of a table.

use datafusion::common::TableReference;

/// A name such as `raw.events@3`. Scans are distinguished by their names alone, so two versions of a table must not
/// share one.
pub(crate) fn named(table: &TableReference, version: &impl std::fmt::Display) -> TableReference {
    let name = format!("{}@{version}", table.table());
    match (table.catalog(), table.schema()) {
        (Some(catalog), Some(schema)) => TableReference::full(catalog, schema, name),
        (None, Some(schema)) => TableReference::partial(schema, name),
        _ => TableReference::bare(name),
    }
}
