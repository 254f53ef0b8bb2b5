//! The table whose rows change, as the statement's expressions name it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};

use crate::read::{IcebergTable, named};

#[derive(Debug)]
pub(super) struct Target {
    table: IcebergTable,
    /// Name of its scans, distinct from the table's: subqueries and sources may read another version of the table.
    scanned: TableReference,
    name: TableReference,
}

impl Target {
    /// `name` is the table's name, `alias` the one that the statement gives it.
    pub(super) fn new(table: &IcebergTable, name: TableReference, alias: Option<TableReference>) -> Self {
        let snapshot = table.snapshot().map_or(0, |s| s.snapshot_id());
        Self { table: table.clone(), scanned: named(&name, &snapshot), name: alias.unwrap_or(name) }
    }

    pub(super) fn table(&self) -> &IcebergTable {
        &self.table
    }

    /// The table's rows with the metadata columns, of all files or of `files` only.
    pub(super) fn scan(&self, files: Option<&BTreeSet<usize>>) -> Result<LogicalPlanBuilder> {
        let mut table = self.table.with_metadata_columns();
        if let Some(files) = files {
            table = table.with_files(files.clone());
        }
        let source = provider_as_source(Arc::new(table));
        LogicalPlanBuilder::scan(self.scanned.clone(), source, None)?.alias(self.name.clone())
    }

    /// The table's own columns.
    pub(super) fn fields(&self) -> Vec<FieldRef> {
        self.table.schema().fields().iter().cloned().collect()
    }

    /// A column of the table or a metadata column.
    pub(super) fn column(&self, name: &str) -> Expr {
        Expr::Column(Column::new(Some(self.name.clone()), name))
    }
}
