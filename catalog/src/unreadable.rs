//! Tables and views that have columns, but whose rows a statement cannot read: views whose query cannot be planned, and
//! tables of which the user may not read rows. They are listed and described like others.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::error::{Error, ErrorKind, Result};

/// A table or view whose rows cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    columns: SchemaRef,
    table_type: TableType,
    kind: ErrorKind,
    why: String,
}

impl Unreadable {
    pub(crate) fn new(columns: SchemaRef, table_type: TableType, why: &Error) -> Self {
        Self { columns, table_type, kind: why.kind(), why: why.to_string() }
    }

    /// Why a provider cannot be read; `None` if it can.
    pub(crate) fn reason(provider: &dyn TableProvider) -> Option<Error> {
        provider.downcast_ref().map(Self::error)
    }

    fn error(&self) -> Error {
        Error::new(self.kind, self.why.clone())
    }
}

#[async_trait]
impl TableProvider for Unreadable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn table_type(&self) -> TableType {
        self.table_type
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Err(self.error().into())
    }
}

/// Refuses a plan that reads a table or view whose rows cannot be read, before anything of it runs.
pub fn check_readable(plan: &LogicalPlan) -> Result<()> {
    let mut reason = None;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            reason = Unreadable::reason(provider.as_ref());
        }
        Ok(if reason.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (walked, reason) {
        (_, Some(e)) => Err(e),
        (Err(e), None) => {
            Err(Error::new(ErrorKind::Internal, "looking for unreadable tables in a plan").with_source(e))
        }
        (Ok(_), None) => Ok(()),
    }
}
