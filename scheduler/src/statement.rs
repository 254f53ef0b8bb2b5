//! Plans SQL text as one of the kinds of statements that the scheduler runs.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use bergmill_catalog::{check_readable, is_missing_table};
use bergmill_statement::{
    AliasedDelete, CATALOG, Ddl, Explain, ExplainOptions, PartitionValue, ReferenceChange, SetOption, Statement,
    TableClauses, TableName, UserStatement, parse,
};
use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::common::format::{ExplainFormat, ExplainStatementOptions};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{ColumnarValue, DdlStatement, DmlStatement, LogicalPlan, WriteOp};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{ExplainStatement, Statement as ParsedStatement};
use datafusion::sql::sqlparser::ast::{ExprWithAlias, Statement as SqlStatement};

use crate::error::{Error, ErrorKind, Result};
use crate::session::StatementSession;
use crate::{delete, describe};

/// A planned statement.
#[derive(Debug)]
pub(crate) enum Planned {
    /// A statement that returns rows.
    Query(LogicalPlan),
    /// `EXPLAIN ANALYZE`: the plan to run.
    ExplainAnalyze(LogicalPlan),
    /// `INSERT`.
    Insert(Box<Insert>),
    /// A change of branches, tags or the current snapshot.
    ChangeReferences { table: TableReference, change: ReferenceChange },
    /// `DELETE`, `UPDATE` or `MERGE` of the rows of a branch.
    ChangeRows { statement: Box<DmlStatement>, branch: Option<String> },
    /// `TRUNCATE` of a branch of `table`.
    Truncate { table: TableReference, branch: Option<String> },
    /// `CREATE TABLE`, with rows if there is an `AS`.
    CreateTable(Box<CreateTable>),
    /// `CREATE SCHEMA`.
    CreateNamespace { name: String, location: Option<String>, if_not_exists: bool },
    /// `DROP TABLE`.
    DropTable { name: TableReference, if_exists: bool },
    /// `DROP SCHEMA`.
    DropNamespace { name: String, if_exists: bool },
    /// `ALTER TABLE`, views, comments.
    Define(Box<Ddl>),
    /// Users and their tokens, roles and grants.
    Users(UserStatement),
    /// Options of the session.
    Set(SetOption),
    /// `KILL QUERY` of the statement with this id.
    Kill(String),
    /// A statement that has no effect, and is no error.
    NoEffect,
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

/// How an `INSERT` treats existing rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum InsertMode {
    /// `INSERT INTO`.
    Append,
    /// `INSERT OVERWRITE`: replaces the partitions of the new rows, or all rows of an unpartitioned table.
    Overwrite,
    /// `INSERT OVERWRITE ... PARTITION (column = value, ...)`: replaces the partitions with these values.
    OverwritePartitions(Vec<(String, ScalarValue)>),
}

/// Plans one statement over the tables of the session, if the session's user may run it.
pub(crate) async fn plan(sql: &str, session: &StatementSession) -> Result<Planned> {
    let planned = planned(sql, session).await;
    session.note_tables(planned.as_ref().ok());
    session.admit(planned?).await
}

async fn planned(sql: &str, session: &StatementSession) -> Result<Planned> {
    let began = Instant::now();
    let statement = parse(sql)?;
    if !matches!(statement, Statement::Sql(_) | Statement::Explain(_)) {
        session.parameters.check_count(0)?;
    }
    let sql = match statement {
        Statement::References(statement) => {
            return Ok(Planned::ChangeReferences { table: reference(&statement.table), change: statement.change });
        }
        Statement::Show(show) => return describe::plan(show, session).await.map(Planned::Query),
        Statement::Ddl(ddl) => return Ok(Planned::Define(ddl)),
        Statement::Users(statement) => return Ok(Planned::Users(statement)),
        Statement::Set(set) => return Ok(Planned::Set(set)),
        Statement::Kill(id) => return Ok(Planned::Kill(id)),
        Statement::Explain(explain) => {
            let statement = explained(explain)?;
            return Ok(match logical_plan(statement, session).await? {
                LogicalPlan::Analyze(analyze) => Planned::ExplainAnalyze(LogicalPlan::clone(&analyze.input)),
                plan => Planned::Query(plan),
            });
        }
        Statement::Sql(sql) => *sql,
    };
    let plan = logical_plan(ParsedStatement::Statement(Box::new(sql.tree)), session).await?;
    tracing::debug!(elapsed = ?began.elapsed(), "made a logical plan");
    Ok(match plan {
        LogicalPlan::Dml(dml) if matches!(dml.op, WriteOp::Delete | WriteOp::Update | WriteOp::MergeInto(_)) => {
            Planned::ChangeRows { statement: Box::new(dml), branch: sql.branch }
        }
        LogicalPlan::Dml(dml) if dml.op == WriteOp::Truncate => {
            Planned::Truncate { table: dml.table_name, branch: sql.branch }
        }
        LogicalPlan::Dml(dml) => {
            let mode = match (dml.op, sql.partitions) {
                (WriteOp::Insert(InsertOp::Append), _) => InsertMode::Append,
                (WriteOp::Insert(InsertOp::Overwrite), None) => InsertMode::Overwrite,
                (WriteOp::Insert(InsertOp::Overwrite), Some(pairs)) => {
                    InsertMode::OverwritePartitions(values(&pairs, &session.cluster)?)
                }
                (other, _) => return Err(unsupported(&other.to_string())),
            };
            let input = with_nullable_values(LogicalPlan::clone(&dml.input))?;
            Planned::Insert(Box::new(Insert { table: dml.table_name, branch: sql.branch, mode, input }))
        }
        LogicalPlan::Ddl(ddl) => plan_ddl(ddl, sql.clauses)?,
        LogicalPlan::Copy(_) => return Err(unsupported("COPY")),
        LogicalPlan::Statement(other) => return Err(unsupported(other.name())),
        query => Planned::Query(query),
    })
}

/// The plan of a statement, with type coercion applied.
async fn logical_plan(statement: ParsedStatement, session: &StatementSession) -> Result<LogicalPlan> {
    let describing = describes(&statement, &session.cluster).then(|| session.describing());
    if names_information_schema(&statement, &session.cluster) {
        session.tables.list().await?;
    }
    let state = describing.as_ref().unwrap_or(&session.cluster);
    let plan = match session.unbound.get() {
        Some(plan) => plan.clone(),
        None => {
            let made = match aliased_delete(&statement)? {
                Some(aliased) => delete::plan(aliased, state).await,
                None => state.statement_to_plan(statement).await,
            };
            let plan = match made {
                Ok(plan) => plan,
                Err(e) => return Err(planning_error(e, session).await),
            };
            if describing.is_none() && session.parameters.are_bound() {
                session.unbound.get_or_init(|| plan.clone());
            }
            plan
        }
    };
    check_readable(&plan)?;
    let plan = session.parameters.bind(plan)?;
    // Coerces types here: otherwise a `CASE` may return a wider decimal than was announced.
    Ok(state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?)
}

fn aliased_delete(statement: &ParsedStatement) -> bergmill_statement::Result<Option<AliasedDelete>> {
    match statement {
        ParsedStatement::Statement(statement) => AliasedDelete::of(statement),
        _ => Ok(None),
    }
}

/// An explained statement as DataFusion's.
fn explained(explain: Explain) -> datafusion::error::Result<ParsedStatement> {
    let options = match explain.options {
        ExplainOptions::List(options) => ExplainStatementOptions::from_utility_options(&options)?,
        ExplainOptions::Words { analyze, verbose, format } => {
            let format = format.map(|format| ExplainFormat::from_str(&format)).transpose()?;
            ExplainStatementOptions { analyze, verbose, format, ..ExplainStatementOptions::default() }
        }
    };
    let statement = Box::new(ParsedStatement::Statement(Box::new(explain.statement.tree)));
    Ok(ParsedStatement::Explain(ExplainStatement { options, statement }))
}

/// A statement that DataFusion plans as DataFusion's; `None` for others.
pub(crate) fn parsed(statement: Statement) -> datafusion::error::Result<Option<ParsedStatement>> {
    match statement {
        Statement::Sql(sql) => Ok(Some(ParsedStatement::Statement(Box::new(sql.tree)))),
        Statement::Explain(explain) => explained(explain).map(Some),
        Statement::Ddl(_)
        | Statement::References(_)
        | Statement::Show(_)
        | Statement::Users(_)
        | Statement::Set(_)
        | Statement::Kill(_) => Ok(None),
    }
}

/// A name as DataFusion's.
pub(crate) fn reference(name: &TableName) -> TableReference {
    let table = name.table.as_str();
    match (name.catalog.as_deref(), name.namespace.as_deref()) {
        (Some(catalog), Some(namespace)) => TableReference::full(catalog, namespace, table),
        (_, Some(namespace)) => TableReference::partial(namespace, table),
        _ => TableReference::bare(table),
    }
}

/// Makes the `VALUES` of a plan nullable. In an `INSERT`, DataFusion declares them not nullable for required columns of
/// the table, and a null then fails before the writer can name the column.
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

/// Whether the result describes tables: `DESCRIBE`, `SHOW`, and everything that reads `information_schema`.
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
async fn planning_error(e: DataFusionError, session: &StatementSession) -> Error {
    if is_missing_table(&e)
        && let Some(miss) = session.tables.take_miss().await
    {
        // The error names the missing table, not what followed from it.
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
            let name = namespace_name(&s.schema_name)?;
            Planned::CreateNamespace { name, location: clauses.location, if_not_exists: s.if_not_exists }
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
        [name] | [CATALOG, name] if !name.is_empty() => Ok((*name).to_string()),
        _ => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{text} is not a namespace; nested ones are not supported"),
        )),
    }
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported"))
}

/// The values of a `PARTITION` clause, by column.
fn values(pairs: &[PartitionValue], state: &SessionState) -> Result<Vec<(String, ScalarValue)>> {
    pairs.iter().map(|pair| Ok((pair.column.clone(), value(pair, state)?))).collect()
}

fn value(pair: &PartitionValue, state: &SessionState) -> Result<ScalarValue> {
    let none = DFSchema::empty();
    let expr = ExprWithAlias { expr: pair.value.clone(), alias: None };
    let value = state.create_logical_expr_from_sql_expr(expr, &none)?;
    let value = SessionContext::new_with_state(state.clone())
        .create_physical_expr(value, &none)
        .and_then(|e| e.evaluate(&RecordBatch::new_empty(Arc::new(Schema::empty()))))?;
    match value {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(_) => Err(Error::new(ErrorKind::InvalidInput, PartitionValue::not_constant(pair))),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};

    use super::*;

    /// Whether the columns of a plan are nullable, and those of its `VALUES`.
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
    fn values_of_required_columns_are_nullable_until_they_are_written() {
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
