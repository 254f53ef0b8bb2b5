//! The table whose rows change, as the statement's expressions name it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};

use crate::read::IcebergTable;

#[derive(Debug)]
pub(super) struct Target {
    table: IcebergTable,
    name: TableReference,
    alias: Option<TableReference>,
}

impl Target {
    pub(super) fn new(table: &IcebergTable, name: TableReference, alias: Option<TableReference>) -> Self {
        Self { table: table.clone(), name, alias }
    }

    pub(super) fn table(&self) -> &IcebergTable {
        &self.table
    }

    /// The table's rows with the hidden columns; of some files, or of all.
    pub(super) fn scan(&self, files: Option<&BTreeSet<usize>>) -> Result<LogicalPlanBuilder> {
        let mut table = self.table.with_hidden_columns();
        if let Some(files) = files {
            table = table.with_files(files.iter().copied().collect());
        }
        let scan = LogicalPlanBuilder::scan(self.name.clone(), provider_as_source(Arc::new(table)), None)?;
        match &self.alias {
            Some(alias) => scan.alias(alias.clone()),
            None => Ok(scan),
        }
    }

    /// The table's own columns.
    pub(super) fn fields(&self) -> Vec<FieldRef> {
        self.table.schema().fields().iter().cloned().collect()
    }

    /// A column of the table, hidden ones too.
    pub(super) fn column(&self, name: &str) -> Expr {
        let qualifier = self.alias.as_ref().unwrap_or(&self.name);
        Expr::Column(Column::new(Some(qualifier.clone()), name))
    }
}
