//! From SQL text to what is to be done about it.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::Field;
use bergmill_catalog::{
    Ddl, Parsed, ReferenceChange, TableClauses, check_views, folded, is_missing_table, parse, parse_reference_statement,
};
use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{DdlStatement, DmlStatement, LogicalPlan, WriteOp};
use datafusion::sql::parser::Statement as ParsedStatement;
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Expr, MergeAction, Statement as SqlStatement,
};

use crate::delete::AliasedDelete;
use crate::error::{Error, ErrorKind, Result};
use crate::session::StatementSession;
use crate::{defaults, describe};

/// A planned statement.
#[derive(Debug)]
pub(crate) enum Planned {
    /// Rows.
    Query(LogicalPlan),
    /// `EXPLAIN ANALYZE`: the plan to run, and whether verbosely.
    ExplainAnalyze(LogicalPlan),
    /// `INSERT`.
    Insert(Box<Insert>),
    /// Branches, tags, the current snapshot.
    ChangeReferences { table: TableReference, change: ReferenceChange },
    /// `DELETE`, `UPDATE`, `MERGE` of the rows of a branch.
    ChangeRows { statement: Box<DmlStatement>, branch: Option<String> },
    /// `TRUNCATE` of a branch of `table`.
    Truncate { table: TableReference, branch: Option<String> },
    /// `CREATE TABLE`, with rows when there is an `AS`.
    CreateTable(Box<CreateTable>),
    /// `CREATE SCHEMA`.
    CreateNamespace { name: String, location: Option<String>, if_not_exists: bool },
    /// `DROP TABLE`.
    DropTable { name: TableReference, if_exists: bool },
    /// `DROP SCHEMA`.
    DropNamespace { name: String, if_exists: bool },
    /// `ALTER TABLE`, views, comments.
    Define(Box<Ddl>),
}

/// `CREATE TABLE`.
#[derive(Debug)]
pub(crate) struct CreateTable {
    pub name: TableReference,
    pub if_not_exists: bool,
    pub or_replace: bool,
    pub clauses: TableClauses,
    /// The query after `AS`, or a plan without rows that has the declared columns.
    pub input: LogicalPlan,
    pub has_rows: bool,
}

/// `INSERT`: rows of `input` into a branch of `table`, which is the main branch if the statement names none.
#[derive(Debug)]
pub(crate) struct Insert {
    pub table: TableReference,
    pub branch: Option<String>,
    pub mode: InsertMode,
    pub input: LogicalPlan,
}

/// What an `INSERT` does about the rows that are there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum InsertMode {
    /// `INSERT INTO`.
    Append,
    /// `INSERT OVERWRITE`: the partitions that the new rows fall into, or the whole of an unpartitioned table.
    Overwrite,
    /// `INSERT OVERWRITE ... PARTITION (column = value, ...)`: just the partitions with these values.
    OverwritePartitions(Vec<(String, datafusion::common::ScalarValue)>),
}

/// Plans one statement against the tables as the session sees them.
pub(crate) async fn plan(sql: &str, session: &StatementSession) -> Result<Planned> {
    let began = Instant::now();
    if let Some(statement) = parse_reference_statement(sql)? {
        return Ok(Planned::ChangeReferences { table: statement.table, change: statement.change });
    }
    match Ddl::parse(sql)? {
        Some(Ddl::Show(show)) => return describe::plan(show, session).await.map(Planned::Query),
        Some(ddl) => return Ok(Planned::Define(Box::new(ddl))),
        None => {}
    }
    let Parsed { mut statement, clauses, branch } = parse(sql)?;
    check_assignments(&statement)?;
    defaults::resolve(&mut statement);
    let (statement, partitions) = take_partitions(statement);
    let describing = describes(&statement, &session.cluster).then(|| session.describing());
    if names_information_schema(&statement, &session.cluster) {
        session.tables.list().await?;
    }
    let state = describing.as_ref().unwrap_or(&session.cluster);
    let made = match AliasedDelete::of(&statement) {
        Some(delete) => delete.plan(state).await,
        None => state.statement_to_plan(statement).await,
    };
    let plan = match made {
        Ok(plan) => plan,
        Err(e) => return Err(why(e, session).await),
    };
    check_views(&plan)?;
    // Types are settled here: a decimal may come out of a `CASE` wider than it was announced otherwise.
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    tracing::debug!(elapsed = ?began.elapsed(), "made a logical plan");
    let planned = match plan {
        LogicalPlan::Dml(dml) if matches!(dml.op, WriteOp::Delete | WriteOp::Update | WriteOp::MergeInto(_)) => {
            Planned::ChangeRows { statement: Box::new(dml), branch }
        }
        LogicalPlan::Dml(dml) if dml.op == WriteOp::Truncate => Planned::Truncate { table: dml.table_name, branch },
        LogicalPlan::Dml(dml) => {
            let overwrite = match dml.op {
                WriteOp::Insert(InsertOp::Append) => false,
                WriteOp::Insert(InsertOp::Overwrite) => true,
                other => return Err(unsupported(&other.to_string())),
            };
            let mode = match (overwrite, partitions) {
                (false, None) => InsertMode::Append,
                (true, None) => InsertMode::Overwrite,
                (true, Some(exprs)) => InsertMode::OverwritePartitions(values(&exprs, state)?),
                (false, Some(_)) => {
                    let what = "PARTITION (...) goes with INSERT OVERWRITE; INSERT INTO finds the partitions by itself";
                    return Err(Error::new(ErrorKind::InvalidInput, what));
                }
            };
            let input = with_nullable_values(LogicalPlan::clone(&dml.input))?;
            Planned::Insert(Box::new(Insert { table: dml.table_name, branch, mode, input }))
        }
        LogicalPlan::Ddl(ddl) => plan_ddl(ddl, clauses)?,
        LogicalPlan::Analyze(analyze) => Planned::ExplainAnalyze(LogicalPlan::clone(&analyze.input)),
        LogicalPlan::Copy(_) => return Err(unsupported("COPY")),
        LogicalPlan::Statement(other) => return Err(unsupported(other.name())),
        query => Planned::Query(query),
    };
    Ok(planned)
}

/// The same plan with `VALUES` that may be null. DataFusion promises that those of an `INSERT` are not where the table's columns
/// are required, and a null then fails before the writer can say whose it is.
fn with_nullable_values(plan: LogicalPlan) -> datafusion::error::Result<LogicalPlan> {
    if !plan.exists(|node| Ok(matches!(node, LogicalPlan::Values(_))))? {
        return Ok(plan);
    }
    let plan = plan.transform_up(|node| match node {
        LogicalPlan::Values(mut values) => {
            let nullable = |(q, f): (Option<&TableReference>, &Arc<Field>)| {
                (q.cloned(), Arc::new(f.as_ref().clone().with_nullable(true)))
            };
            let fields = values.schema.iter().map(nullable).collect();
            values.schema = Arc::new(DFSchema::new_with_metadata(fields, values.schema.metadata().clone())?);
            Ok(Transformed::yes(LogicalPlan::Values(values)))
        }
        other => other.recompute_schema().map(Transformed::yes),
    })?;
    Ok(plan.data)
}

/// Whether the answer is about tables: `DESCRIBE`, `SHOW`, and all that reads `information_schema`.
fn describes(statement: &ParsedStatement, state: &SessionState) -> bool {
    if matches!(statement, ParsedStatement::Statement(s) if matches!(s.as_ref(), SqlStatement::ExplainTable { .. })) {
        return true;
    }
    names_information_schema(statement, state)
}

/// Whether a statement reads `information_schema`, which lists all names.
pub(crate) fn names_information_schema(statement: &ParsedStatement, state: &SessionState) -> bool {
    let named = state.resolve_table_references(statement).unwrap_or_default();
    named.iter().any(|table| table.schema() == Some(INFORMATION_SCHEMA))
}

/// The error of a statement that could not be planned.
async fn why(e: DataFusionError, session: &StatementSession) -> Error {
    if is_missing_table(&e)
        && let Some(miss) = session.tables.take_miss().await
    {
        // Who names a table that is not there is told of it, not of what followed.
        return miss.into();
    }
    e.into()
}

fn plan_ddl(ddl: DdlStatement, clauses: TableClauses) -> Result<Planned> {
    Ok(match ddl {
        DdlStatement::CreateMemoryTable(t) => {
            if t.temporary {
                return Err(unsupported("CREATE TEMPORARY TABLE"));
            }
            if t.or_replace && t.if_not_exists {
                let what = "CREATE TABLE takes OR REPLACE or IF NOT EXISTS, not both";
                return Err(Error::new(ErrorKind::InvalidInput, what));
            }
            if !t.constraints.is_empty() {
                return Err(unsupported("a PRIMARY KEY or UNIQUE constraint, which Iceberg cannot enforce,"));
            }
            let has_rows = !matches!(t.input.as_ref(), LogicalPlan::EmptyRelation(e) if !e.produce_one_row);
            let input = LogicalPlan::clone(&t.input);
            let (name, if_not_exists, or_replace) = (t.name, t.if_not_exists, t.or_replace);
            Planned::CreateTable(Box::new(CreateTable { name, if_not_exists, or_replace, clauses, input, has_rows }))
        }
        DdlStatement::CreateCatalogSchema(s) => {
            let location = clauses.only_location()?;
            let name = namespace_name(&s.schema_name)?;
            Planned::CreateNamespace { name, location, if_not_exists: s.if_not_exists }
        }
        DdlStatement::DropTable(t) => Planned::DropTable { name: t.name, if_exists: t.if_exists },
        DdlStatement::DropCatalogSchema(s) => {
            let name = s.name.schema_name().to_string();
            Planned::DropNamespace { name, if_exists: s.if_exists }
        }
        other => return Err(unsupported(other.name())),
    })
}

/// `ns` or `bergmill.ns`.
fn namespace_name(text: &str) -> Result<String> {
    match text.split('.').collect::<Vec<_>>().as_slice() {
        [name] | [bergmill_engine::CATALOG, name] if !name.is_empty() => Ok((*name).to_string()),
        _ => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{text} is not a namespace; nested ones are not supported"),
        )),
    }
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported"))
}

/// Refuses assignments that DataFusion's planner would take for others: it reads the last part of a name alone, and of two
/// values for one column it takes either.
fn check_assignments(statement: &ParsedStatement) -> Result<()> {
    let ParsedStatement::Statement(statement) = statement else { return Ok(()) };
    let assigned: Vec<&[Assignment]> = match statement.as_ref() {
        SqlStatement::Update(update) if update.from.is_some() || !update.table.joins.is_empty() => {
            let what = "UPDATE of a join is not supported: use MERGE INTO to change rows by those of other tables";
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        SqlStatement::Update(update) => vec![&update.assignments],
        SqlStatement::Merge(merge) => {
            let updates = merge.clauses.iter().filter_map(|clause| match &clause.action {
                MergeAction::Update(update) => Some(update.assignments.as_slice()),
                _ => None,
            });
            updates.collect()
        }
        _ => return Ok(()),
    };
    let wrong = |what: String| Err(Error::new(ErrorKind::InvalidInput, what));
    for assignments in assigned {
        let mut columns = std::collections::BTreeSet::new();
        for assignment in assignments {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return wrong(format!("SET {}: give each column its own value", assignment.target));
            };
            if name.0.len() > 1 && matches!(statement.as_ref(), SqlStatement::Update(_)) {
                return wrong(format!(
                    "SET {name}: name the column alone; a field of a column is set by a new value of the whole"
                ));
            }
            if !columns.insert(name.to_string()) {
                return wrong(format!("SET {name}: the column is given two values"));
            }
        }
    }
    Ok(())
}

/// Takes `PARTITION (...)` out of an `INSERT`: DataFusion parses it but does not plan it.
fn take_partitions(mut statement: ParsedStatement) -> (ParsedStatement, Option<Vec<Expr>>) {
    let partitions = match &mut statement {
        ParsedStatement::Statement(s) => match s.as_mut() {
            SqlStatement::Insert(insert) => insert.partitioned.take(),
            _ => None,
        },
        _ => None,
    };
    (statement, partitions)
}

/// The `column = value` pairs of a `PARTITION` clause.
fn values(exprs: &[Expr], state: &SessionState) -> Result<Vec<(String, datafusion::common::ScalarValue)>> {
    exprs.iter().map(|e| value(e, state)).collect()
}

fn value(expr: &Expr, state: &SessionState) -> Result<(String, datafusion::common::ScalarValue)> {
    let wrong = || {
        let what = format!("PARTITION ({expr}): give each column a constant, as in (date = DATE '2026-02-14')");
        Error::new(ErrorKind::InvalidInput, what)
    };
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = expr else { return Err(wrong()) };
    let column = match left.as_ref() {
        Expr::Identifier(name) => folded(name),
        _ => return Err(wrong()),
    };
    let none = datafusion::common::DFSchema::empty();
    let value = state.create_logical_expr(&right.to_string(), &none)?;
    let value = datafusion::prelude::SessionContext::new_with_state(state.clone())
        .create_physical_expr(value, &none)
        .and_then(|e| {
        let batch = arrow::array::RecordBatch::new_empty(std::sync::Arc::new(arrow::datatypes::Schema::empty()));
        e.evaluate(&batch)
    })?;
    match value {
        datafusion::logical_expr::ColumnarValue::Scalar(v) => Ok((column, v)),
        datafusion::logical_expr::ColumnarValue::Array(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};

    use super::*;

    /// Whether the columns of a plan may be null, and those of its `VALUES`.
    fn nullable(plan: &LogicalPlan) -> (Vec<bool>, Vec<bool>) {
        let of = |schema: &DFSchema| schema.fields().iter().map(|f| f.is_nullable()).collect();
        let mut values = Vec::new();
        let found = plan.apply(|node| {
            if let LogicalPlan::Values(found) = node {
                values = of(&found.schema);
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        });
        found.unwrap();
        (of(plan.schema()), values)
    }

    #[test]
    fn values_of_required_columns_may_be_null_until_they_are_written() {
        let required = |name| Field::new(name, arrow::datatypes::DataType::Int64, false);
        let schema = arrow::datatypes::Schema::new(vec![required("a"), required("b")]);
        let schema = Arc::new(DFSchema::try_from(schema).unwrap());
        let rows = vec![vec![lit(1i64), lit(datafusion::common::ScalarValue::Int64(None))]];
        let values = LogicalPlanBuilder::values_with_schema(rows, &schema).unwrap();
        let plan = values.project([col("column2"), col("column1")]).unwrap().build().unwrap();
        assert_eq!(nullable(&plan), (vec![false; 2], vec![false; 2]));
        assert_eq!(nullable(&with_nullable_values(plan).unwrap()), (vec![true; 2], vec![true; 2]));

        let query = LogicalPlanBuilder::empty(true).project([lit(1i64).alias("a")]).unwrap().build().unwrap();
        assert_eq!(with_nullable_values(query.clone()).unwrap(), query);
    }
}
