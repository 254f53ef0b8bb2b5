//! Tables whose rows come from another table, which is made for each scan.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::error::Result;

/// What a [`DeferredTable`] is made of.
#[async_trait]
pub(crate) trait Deferred: fmt::Debug + Send + Sync + 'static {
    const TYPE: TableType;

    fn schema(&self) -> SchemaRef;

    /// The table to scan, which has the columns of `schema`.
    async fn resolve(&self) -> Result<Arc<dyn TableProvider>>;
}

/// A table that scans another one, made when it is scanned.
#[derive(Debug)]
pub(crate) struct DeferredTable<T>(pub(crate) T);

#[async_trait]
impl<T: Deferred> TableProvider for DeferredTable<T> {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        T::TYPE
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.0.resolve().await?.scan(state, projection, filters, limit).await
    }
}
