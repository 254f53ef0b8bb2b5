//! Views in a statement: the query of a view is planned where the statement names it, over the same pinned tables.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, col, ident};
use iceberg::TableIdent;

use super::unresolved::UnresolvedNames;
use crate::deferred::{Deferred, DeferredTable};
use crate::error::{Error, ErrorKind, Result};
use crate::table::views::View;

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
            Arc::new(DeferredTable(BrokenView { columns, kind: e.kind(), why: e.to_string() }))
        }
    })
}

/// Views that are being planned, outermost first: a statement is planned one name after the other.
#[derive(Debug, Default)]
pub(super) struct OpenViews(Mutex<Vec<TableIdent>>);

impl OpenViews {
    /// The plan of the query of `view`, which `planned` makes; names that planning did not find are in `unresolved`.
    ///
    /// # Errors
    /// `Invalid` if the query reads `view` itself, directly or through other views.
    pub(super) async fn plan(
        &self,
        view: &TableIdent,
        planned: impl Future<Output = DataFusionResult<LogicalPlan>>,
        unresolved: &UnresolvedNames,
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
            Err(e) => return Err(why(&e, unresolved).await),
        };
        check_views(&plan)?;
        Ok(plan)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TableIdent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a view's query cannot be planned.
async fn why(e: &DataFusionError, unresolved: &UnresolvedNames) -> Error {
    if let Some(ours) = Error::find(e) {
        return ours;
    }
    if is_missing_table(e)
        && let Some(missing) = unresolved.take().await
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

/// Refuses a plan that reads a view whose query cannot be planned.
pub fn check_views(plan: &LogicalPlan) -> Result<()> {
    let mut broken = None;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(view) = (provider.as_ref() as &dyn Any).downcast_ref::<DeferredTable<BrokenView>>()
        {
            broken = Some(view.0.error());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match (walked, broken) {
        (_, Some(e)) => Err(e),
        (Err(e), None) => Err(Error::new(ErrorKind::Internal, "looking for views in a plan").with_source(e)),
        (Ok(_), None) => Ok(()),
    }
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

/// A view whose query cannot be planned now, for instance because one of its tables is gone.
#[derive(Debug)]
struct BrokenView {
    columns: SchemaRef,
    kind: ErrorKind,
    why: String,
}

impl BrokenView {
    fn error(&self) -> Error {
        Error::new(self.kind, self.why.clone())
    }
}

#[async_trait]
impl Deferred for BrokenView {
    const TYPE: TableType = TableType::View;

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    async fn resolve(&self) -> Result<Arc<dyn TableProvider>> {
        Err(self.error())
    }
}
