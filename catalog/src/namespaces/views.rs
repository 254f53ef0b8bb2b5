//! Views in a statement: the query of a view is planned where the statement names it, over the same pinned tables.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, col, ident};
use iceberg::TableIdent;

use super::NamespaceCatalog;
use crate::error::{Error, ErrorKind, Result};
use crate::table::views::View;
use crate::unreadable::{Unreadable, check_readable};

/// The view as a table. One that cannot be planned is still a table with columns, so that lists of tables are complete;
/// reading it is an error.
pub(super) async fn provider(
    view: &View,
    planned: impl Future<Output = Result<LogicalPlan>>,
) -> Result<Arc<dyn TableProvider>> {
    let columns = Arc::new(view.columns()?);
    Ok(match planned.await.and_then(|plan| with_columns(plan, &columns)) {
        Ok(plan) => Arc::new(ViewTable::new(plan, view.sql().ok().map(ToString::to_string))),
        Err(e) => {
            let e = e.context(format_args!("view {}", view.ident()));
            Arc::new(Unreadable::new(columns, TableType::View, &e))
        }
    })
}

/// Views that are being planned, outermost first: a statement is planned one name after the other.
#[derive(Debug, Default)]
pub(super) struct OpenViews(Mutex<Vec<TableIdent>>);

impl OpenViews {
    /// The plan of the query of `view`, which `planned` makes over `tables`.
    ///
    /// # Errors
    /// `Invalid` if the query reads `view` itself, directly or through other views.
    pub(super) async fn plan(
        &self,
        view: &TableIdent,
        planned: impl Future<Output = DataFusionResult<LogicalPlan>>,
        tables: &NamespaceCatalog,
    ) -> Result<LogicalPlan> {
        {
            let mut open = self.lock();
            if open.contains(view) {
                let path: Vec<_> = open.iter().chain([view]).map(ToString::to_string).collect();
                return Err(Error::new(ErrorKind::Invalid, format!("it reads itself: {}", path.join(", then "))));
            }
            open.push(view.clone());
        }
        let planned = planned.await;
        self.lock().pop();
        let plan = match planned {
            Ok(plan) => plan,
            Err(e) => return Err(why(&e, tables).await),
        };
        check_readable(&plan)?;
        Ok(plan)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TableIdent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a view's query cannot be planned.
async fn why(e: &DataFusionError, tables: &NamespaceCatalog) -> Error {
    if let Some(ours) = Error::find(e) {
        return ours;
    }
    if is_missing_table(e)
        && let Some(missing) = tables.take_miss().await
    {
        // This error names the missing table and the nearest one that exists.
        return missing;
    }
    Error::new(ErrorKind::Invalid, e.strip_backtrace())
}

/// Whether planning failed because a table is missing: DataFusion has no error kind for that, only the message.
pub fn is_missing_table(e: &DataFusionError) -> bool {
    matches!(e.find_root(), DataFusionError::Plan(text) if text.starts_with("table '") && text.ends_with("not found"))
}

/// Projects the plan of a view's query to the view's columns: a `SELECT *` may return more than when it was created.
fn with_columns(plan: LogicalPlan, columns: &SchemaRef) -> Result<LogicalPlan> {
    let names: Vec<_> = plan.schema().fields().iter().map(|f| f.name().clone()).collect();
    if names.iter().eq(columns.fields().iter().map(|f| f.name())) {
        return Ok(plan);
    }
    let mut chosen: Vec<Expr> = Vec::with_capacity(columns.fields().len());
    for field in columns.fields() {
        let found = plan.schema().iter().find(|(_, f)| f.name() == field.name());
        let Some((qualifier, found)) = found else {
            let what =
                format!("its query does not return column {} anymore; it returns {}", field.name(), names.join(", "));
            return Err(Error::new(ErrorKind::Invalid, what));
        };
        chosen.push(match qualifier {
            Some(table) => col(datafusion::common::Column::new(Some(table.clone()), found.name())),
            None => ident(found.name()),
        });
    }
    let plan = LogicalPlanBuilder::from(plan).project(chosen).and_then(LogicalPlanBuilder::build);
    plan.map_err(|e| Error::new(ErrorKind::Internal, "choosing the columns of a view").with_source(e))
}
