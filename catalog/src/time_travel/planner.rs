//! Plans tables with a version, and tables whose metadata columns are named, for DataFusion.

use std::sync::Arc;

use bergmill_statement::{METADATA_COLUMNS, MODIFIED_COLUMN, SNAPSHOT_COLUMN, TABLE_CHANGES, wants_metadata_columns};
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, DFSchema, ScalarValue, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, TableFactor, TableVersion};

use super::Version;
use super::changes::{ChangesTable, Range};
use crate::deferred::{Deferred, DeferredTable};
use crate::error::{Error, ErrorKind};
use crate::metadata_tables::MetadataTable;
use crate::read::{IcebergTable, named};
use crate::unreadable::Unreadable;

/// Plans tables with a version or with metadata columns, and calls of `table_changes`; for
/// [`SessionState::register_relation_planner`](datafusion::execution::SessionState::register_relation_planner).
///
/// All versions of a table in a statement come from the one metadata file that the statement has pinned.
#[derive(Debug, Clone, Copy, Default)]
pub struct VersionedTables;

impl RelationPlanner for VersionedTables {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        let TableFactor::Table { version, name, alias, with_hints, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let metadata_columns = wants_metadata_columns(with_hints);
        if version.is_none() && !metadata_columns {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let (version, alias) = (version.clone(), alias.clone());
        let table = context.object_name_to_table_reference(name.clone())?;
        let source = context.context_provider().get_table_source(table.clone())?;
        let current = source_as_provider(&source)?;
        let plan = match version {
            None => match current.downcast_ref::<IcebergTable>() {
                Some(current) => scan(table.clone(), Arc::new(current.with_metadata_columns()))?.build()?,
                None => match Unreadable::reason(current.as_ref()) {
                    Some(reason) => return Err(reason.into()),
                    None => return Ok(RelationPlanning::Original(Box::new(relation))),
                },
            },
            Some(TableVersion::VersionAsOf(expr)) => {
                let version = Version::of_constant(&constant(expr, context)?)?;
                at(&table, current.as_ref(), &version, metadata_columns)?
            }
            Some(TableVersion::TimestampAsOf(expr) | TableVersion::ForSystemTimeAsOf(expr)) => {
                let version = Version::of_moment(&constant(expr, context)?)?;
                at(&table, current.as_ref(), &version, metadata_columns)?
            }
            Some(TableVersion::Function(SqlExpr::Function(call))) => {
                let range = Range::of_call(call, |expr| constant(expr, context))?;
                changes(&table, current.as_ref(), &range)?
            }
            Some(other) => {
                let what = format!("{table} {other} is not supported; use {table} VERSION AS OF ...");
                return Err(Error::new(ErrorKind::Unsupported, what).into());
            }
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn scan(name: TableReference, provider: Arc<dyn TableProvider>) -> DataFusionResult<LogicalPlanBuilder> {
    LogicalPlanBuilder::scan(name, provider_as_source(provider), None)
}

/// The table at a version, under its own name.
fn at(
    table: &TableReference,
    current: &dyn TableProvider,
    version: &Version,
    metadata_columns: bool,
) -> DataFusionResult<LogicalPlan> {
    let with_context = |e: Error| e.context(format_args!("table {table}"));
    let provider: Arc<dyn TableProvider> = match (current.downcast_ref(), current.downcast_ref()) {
        (Some(current), _) => {
            let at = IcebergTable::at(current, version).map_err(with_context)?;
            Arc::new(if metadata_columns { at.with_metadata_columns() } else { at })
        }
        (_, Some(DeferredTable(current))) => {
            Arc::new(DeferredTable(MetadataTable::at(current, version).map_err(with_context)?))
        }
        _ => {
            let what = || Error::new(ErrorKind::Invalid, format!("{table} is not a table, so it has no versions"));
            return Err(Unreadable::reason(current).unwrap_or_else(what).into());
        }
    };
    scan(named(table, version), provider)?.alias(table.clone())?.build()
}

/// `table_changes`: the table's own columns, and the snapshot that added each row.
fn changes(table: &TableReference, current: &dyn TableProvider, range: &Range) -> DataFusionResult<LogicalPlan> {
    let changes = ChangesTable::try_new(table, current, range)?;
    let schema = changes.schema();
    let scanned = named(table, range);
    let column = |name: &str| Expr::Column(Column::new(Some(scanned.clone()), name));
    let own = schema.fields().iter().filter(|f| !METADATA_COLUMNS.contains(&f.name().as_str()));
    let mut columns: Vec<Expr> = own.map(|f| column(f.name())).collect();
    columns.push(column(SNAPSHOT_COLUMN).alias("_commit_snapshot_id"));
    columns.push(column(MODIFIED_COLUMN).alias("_commit_timestamp"));
    scan(scanned, Arc::new(DeferredTable(changes)))?.project(columns)?.alias(TABLE_CHANGES)?.build()
}

/// The value of an expression without columns, such as `now() - INTERVAL '1' DAY`.
fn constant(expr: SqlExpr, context: &mut dyn RelationPlannerContext) -> DataFusionResult<ScalarValue> {
    let none = DFSchema::empty();
    let text = expr.to_string();
    let expr = context.sql_to_expr(expr, &none)?;
    let options = Arc::new(context.context_provider().options().clone());
    let info = SimplifyContext::builder().with_config_options(options).with_current_time().build();
    let simplifier = ExprSimplifier::new(info);
    match simplifier.simplify(simplifier.coerce(expr, &none)?)? {
        Expr::Literal(value, _) => Ok(value),
        _ => Err(Error::new(ErrorKind::Invalid, format!("AS OF {text} is not a constant")).into()),
    }
}
