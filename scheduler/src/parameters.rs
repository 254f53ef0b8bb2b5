//! The parameters of a statement: their types, and the values with which it is planned.
//!
//! A parameter's type is that of what it is compared with, or written to. A value keeps its own type if it has no exact
//! counterpart in that one: `id = $1` is false for 1.5, and not true for the row with `id = 1`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bergmill_engine::without_views;
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues, Result as DataFusionResult, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{DmlStatement, Expr, LogicalPlan, LogicalPlanBuilder, Values, WriteOp, cast, ident};

use crate::error::{Error, ErrorKind, Result};

/// The most rows of values with which a statement is executed at once, unless it is an `INSERT` of `VALUES`.
const MAX_ROWS: usize = 1000;

/// The values with which a statement is planned.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    bound: Bound,
    /// A column for each parameter of the statement, once it is planned.
    fields: OnceLock<SchemaRef>,
}

#[derive(Debug, Default)]
enum Bound {
    /// None are bound.
    #[default]
    None,
    /// The statement is planned only to know its types.
    Nulls,
    /// A column for each parameter.
    Rows(RecordBatch),
}

impl Parameters {
    /// Those of a statement that is executed once for each row.
    pub(crate) fn bound(rows: Option<RecordBatch>) -> Self {
        Self { bound: rows.map_or(Bound::None, Bound::Rows), fields: OnceLock::new() }
    }

    /// Those of a statement that is not executed yet.
    pub(crate) fn described() -> Self {
        Self { bound: Bound::Nulls, fields: OnceLock::new() }
    }

    /// Whether values are bound.
    pub(crate) fn are_bound(&self) -> bool {
        matches!(self.bound, Bound::Rows(_))
    }

    /// Whether values are bound, but for no row at all.
    pub(crate) fn is_for_no_row(&self) -> bool {
        matches!(&self.bound, Bound::Rows(rows) if rows.num_rows() == 0)
    }

    /// A column for each parameter of the statement that was planned.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.fields.get().cloned().unwrap_or_else(|| Arc::new(Schema::empty()))
    }

    /// The plan with values in place of parameters.
    pub(crate) fn bind(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let names = plan.get_parameter_names()?;
        let count = names.iter().filter_map(|name| number(name)).max().unwrap_or(0);
        self.check_count(count)?;
        if count == 0 {
            return Ok(plan);
        }
        let plan = with_types(plan)?;
        let types = types(&plan)?;
        let _ = self.fields.set(without_views(&schema(&types, count)));
        match &self.bound {
            // Checked above.
            Bound::None => Ok(plan),
            Bound::Nulls => Ok(with_nulls(plan, &types, count)?),
            Bound::Rows(rows) if rows.num_rows() == 0 => match with_nulls(plan, &types, count)? {
                changes @ (LogicalPlan::Dml(_) | LogicalPlan::Ddl(_)) => Ok(changes),
                query => Ok(LogicalPlanBuilder::from(query).limit(0, Some(0))?.build()?),
            },
            Bound::Rows(rows) if rows.num_rows() == 1 => Ok(with_row(plan, rows, 0, &types)?),
            Bound::Rows(rows) => with_rows(plan, rows, &types),
        }
    }

    /// Checks that values are bound to this number of parameters.
    pub(crate) fn check_count(&self, count: usize) -> Result<()> {
        let bound = match &self.bound {
            Bound::Nulls => return Ok(()),
            Bound::None => 0,
            Bound::Rows(rows) => rows.num_columns(),
        };
        if bound == count {
            return Ok(());
        }
        let what = match bound {
            0 => format!("the statement has parameters up to ${count}, but no values are bound to them"),
            bound => format!("the statement has parameters up to ${count}, but {bound} values are bound"),
        };
        let what =
            if count == 0 { format!("{bound} values are bound to a statement without parameters") } else { what };
        Err(Error::new(ErrorKind::InvalidInput, what))
    }
}

/// The number of parameter `$n`.
fn number(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok()
}

/// The plan with as many types of parameters as can be inferred.
fn with_types(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let typed = |node: LogicalPlan| {
        let inputs = node.inputs();
        let schema = if inputs.is_empty() { DFSchema::clone(node.schema()) } else { merge_schema(&inputs) };
        let is_limit = matches!(node, LogicalPlan::Limit(_));
        node.map_expressions(|e| {
            let e = e.infer_placeholder_types(&schema)?.0;
            if is_limit { e.transform_up(|e| Ok(Transformed::yes(number_of_rows(e)))) } else { Ok(Transformed::yes(e)) }
        })
    };
    plan.transform_up_with_subqueries(typed).data()
}

/// An expression of a `LIMIT`, in which DataFusion infers no type.
fn number_of_rows(e: Expr) -> Expr {
    match e {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            let field = Field::new(id.as_str(), DataType::Int64, true);
            Expr::Placeholder(Placeholder { id, field: Some(Arc::new(field)) })
        }
        other => other,
    }
}

/// The types of the parameters, by number, as far as they are known.
fn types(plan: &LogicalPlan) -> DataFusionResult<BTreeMap<usize, DataType>> {
    let mut found: BTreeMap<usize, Option<DataType>> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Placeholder(Placeholder { id, field: Some(field) }) = expr
                    && let Some(number) = number(id)
                {
                    let this = field.data_type();
                    // A type for all places where the parameter stands, if there is one.
                    let merged = |other: &Option<DataType>| comparison_coercion(other.as_ref()?, this);
                    let merged = found.get(&number).map_or_else(|| Some(this.clone()), merged);
                    found.insert(number, merged);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let known = |(number, of): (usize, Option<DataType>)| Some((number, of.filter(|of| *of != DataType::Null)?));
    Ok(found.into_iter().filter_map(known).collect())
}

fn schema(types: &BTreeMap<usize, DataType>, count: usize) -> Schema {
    let field = |n| Field::new(format!("${n}"), types.get(&n).cloned().unwrap_or(DataType::Utf8), true);
    Schema::new((1..=count).map(field).collect::<Vec<_>>())
}

/// The plan with a null for each parameter.
fn with_nulls(plan: LogicalPlan, types: &BTreeMap<usize, DataType>, count: usize) -> DataFusionResult<LogicalPlan> {
    // One without a type takes that of what it is combined with.
    let null = |n| ScalarValue::try_from(types.get(&n).unwrap_or(&DataType::Null));
    plan.with_param_values((1..=count).map(null).collect::<DataFusionResult<Vec<_>>>()?)
}

/// The plan with the values of one row.
fn with_row(
    plan: LogicalPlan,
    rows: &RecordBatch,
    row: usize,
    types: &BTreeMap<usize, DataType>,
) -> DataFusionResult<LogicalPlan> {
    let values = (1..).zip(rows.columns()).map(|(number, column)| {
        let value = ScalarValue::try_from_array(column, row)?;
        Ok(exact(value, types.get(&number)))
    });
    let values = values.collect::<DataFusionResult<Vec<_>>>()?;
    plan.with_param_values(ParamValues::from(values))
}

/// The value as this type, if that is the same value.
fn exact(value: ScalarValue, to: Option<&DataType>) -> ScalarValue {
    let Some(to) = to else { return value };
    if value.is_null()
        && let Ok(null) = ScalarValue::try_from(to)
    {
        // The type of a null that a client binds may be `Null`, to which nothing is cast back.
        return null;
    }
    match value.cast_to(to) {
        Ok(cast) if cast.cast_to(&value.data_type()).is_ok_and(|back| back == value) => cast,
        _ => value,
    }
}

/// The plan that is executed for each row.
fn with_rows(plan: LogicalPlan, rows: &RecordBatch, types: &BTreeMap<usize, DataType>) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Dml(dml) if matches!(dml.op, WriteOp::Insert(InsertOp::Append)) => {
            let input = rows_of(LogicalPlan::clone(&dml.input), rows, types)?;
            Ok(LogicalPlan::Dml(DmlStatement { input: Arc::new(input), ..dml }))
        }
        LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_) => {
            let what = "several rows of values can be bound to INSERT INTO and queries only; bind one row at a time, or \
                        load the values into a table and use MERGE";
            Err(Error::new(ErrorKind::Unsupported, what))
        }
        query => rows_of(query, rows, types),
    }
}

fn rows_of(plan: LogicalPlan, rows: &RecordBatch, types: &BTreeMap<usize, DataType>) -> Result<LogicalPlan> {
    if let Some(plan) = from_table(&plan, rows, types)? {
        return Ok(plan);
    }
    if rows.num_rows() > MAX_ROWS {
        let what = format!(
            "{} rows of values are bound, but this statement can be executed for {MAX_ROWS} at once; only INSERT INTO ... \
             VALUES takes more",
            rows.num_rows()
        );
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    let each = (0..rows.num_rows()).map(|row| with_row(plan.clone(), rows, row, types));
    let mut each = each.collect::<DataFusionResult<Vec<_>>>()?.into_iter();
    let Some(first) = each.next() else { return Ok(plan) };
    let all = each.try_fold(LogicalPlanBuilder::from(first), LogicalPlanBuilder::union);
    Ok(all.and_then(LogicalPlanBuilder::build)?)
}

/// The plan with the values read from a table; `None` if it has parameters elsewhere than in `VALUES`.
fn from_table(
    plan: &LogicalPlan,
    rows: &RecordBatch,
    types: &BTreeMap<usize, DataType>,
) -> DataFusionResult<Option<LogicalPlan>> {
    let read = |node: LogicalPlan| match node {
        LogicalPlan::Values(values) => values_from_table(&values, rows, types).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    };
    let read = plan.clone().transform_up(read).data()?;
    Ok(read.get_parameter_names()?.is_empty().then_some(read))
}

fn values_from_table(
    values: &Values,
    rows: &RecordBatch,
    types: &BTreeMap<usize, DataType>,
) -> DataFusionResult<LogicalPlan> {
    let names = (1..=rows.num_columns()).map(|n| format!("${n}"));
    let fields = names.zip(rows.columns()).map(|(name, c)| Field::new(name, c.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = RecordBatch::try_new(Arc::clone(&schema), rows.columns().to_vec())?;
    let table = provider_as_source(Arc::new(MemTable::try_new(schema, vec![vec![rows]])?));
    let column = |e: Expr| match e {
        Expr::Placeholder(Placeholder { id, field }) => {
            let of = field.map(|field| field.data_type().clone()).or_else(|| types.get(&number(&id)?).cloned());
            let column = ident(id);
            Ok(Transformed::yes(of.map_or(column.clone(), |of| cast(column, of))))
        }
        other => Ok(Transformed::no(other)),
    };
    let mut all: Option<LogicalPlanBuilder> = None;
    for row in &values.values {
        let named = row.iter().zip(values.schema.fields()).map(|(e, field)| {
            let e = e.clone().transform_up(column).data()?;
            Ok(cast(e, field.data_type().clone()).alias(field.name()))
        });
        let named = named.collect::<DataFusionResult<Vec<_>>>()?;
        let scan = LogicalPlanBuilder::scan("parameters", Arc::clone(&table), None)?.project(named)?;
        all = Some(match all {
            Some(all) => all.union(scan.build()?)?,
            None => scan,
        });
    }
    match all {
        Some(all) => all.build(),
        None => Ok(LogicalPlan::Values(values.clone())),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn context() -> SessionContext {
        let context = SessionContext::new();
        let rows = "CREATE TABLE t (id INT, name VARCHAR, at TIMESTAMP) AS VALUES \
                    (1, 'one', TIMESTAMP '2026-01-01'), (2, 'two', NULL)";
        context.sql(rows).await.unwrap().collect().await.unwrap();
        context
    }

    async fn plan(context: &SessionContext, sql: &str) -> LogicalPlan {
        context.state().create_logical_plan(sql).await.unwrap()
    }

    fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
        let named = columns.into_iter().enumerate().map(|(n, c)| (n.to_string(), c, true));
        RecordBatch::try_from_iter_with_nullable(named).unwrap()
    }

    #[tokio::test]
    async fn types_are_those_of_what_a_parameter_meets() {
        let context = context().await;
        for (sql, expected) in [
            ("SELECT * FROM t WHERE id = $1 AND at < $2", vec![DataType::Int32, timestamp()]),
            ("SELECT * FROM t WHERE name LIKE $1 OR name IN ($2, 'x')", vec![text(), text()]),
            ("SELECT id + $1 FROM t WHERE id BETWEEN $3 AND $2", vec![DataType::Int32; 3]),
            ("SELECT $1", vec![DataType::Utf8]),
            ("SELECT $2 FROM t LIMIT $1", vec![DataType::Int64, DataType::Utf8]),
            ("INSERT INTO t VALUES ($1, $2, $3)", vec![DataType::Int32, text(), timestamp()]),
            ("SELECT * FROM t WHERE id = (SELECT max(id) FROM t WHERE name = $1)", vec![text()]),
            ("SELECT 1", vec![]),
        ] {
            let parameters = Parameters::described();
            parameters.bind(plan(&context, sql).await).unwrap();
            let schema = parameters.schema();
            let found: Vec<DataType> = schema.fields().iter().map(|f| f.data_type().clone()).collect();
            assert_eq!(found, expected, "{sql}");
            assert!(schema.fields().iter().all(|f| f.is_nullable()));
        }
    }

    fn timestamp() -> DataType {
        DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None)
    }

    fn text() -> DataType {
        DataType::Utf8
    }

    async fn check(sql: &str, values: RecordBatch, expected: &[&str]) {
        let context = context().await;
        let bound = Parameters::bound(Some(values)).bind(plan(&context, sql).await).unwrap();
        let rows = context.execute_logical_plan(bound).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&rows).unwrap().to_string();
        let found: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).skip(1).collect();
        assert_eq!(found, expected, "{sql}");
    }

    #[tokio::test]
    async fn values_are_not_rounded_to_the_type_of_a_column() {
        let ids = |values: Vec<f64>| batch(vec![Arc::new(Float64Array::from(values))]);
        let sql = "SELECT name FROM t WHERE id = $1";
        check(sql, ids(vec![1.5]), &[]).await;
        check(sql, ids(vec![2.0]), &["| two  |"]).await;
        check(sql, batch(vec![Arc::new(Int64Array::from(vec![None]))]), &[]).await;
        check(sql, batch(vec![Arc::new(Int64Array::from(vec![5_000_000_000]))]), &[]).await;
    }

    #[tokio::test]
    async fn several_rows_are_as_many_executions() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(1), None, Some(2)]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c"), Some("d")]));
        check("SELECT id FROM t WHERE id = $1", batch(vec![Arc::clone(&ids)]), &["| 2  |", "| 1  |", "| 2  |"]).await;
        let values = batch(vec![ids, names]);
        check("SELECT count(*), count($1) FROM (VALUES ($1, $2)) AS v (a, b)", values.slice(0, 0), &[]).await;
        let many = Int64Array::from_iter_values(0..200_000);
        let names = StringArray::from_iter_values((0..200_000).map(|n| n.to_string()));
        check("INSERT INTO t VALUES ($1, $2, NULL)", batch(vec![Arc::new(many), Arc::new(names)]), &["| 200000 |"])
            .await;
        check("INSERT INTO t VALUES ($2, $1, NULL), (7, upper($1), NULL)", swapped(), &["| 4     |"]).await;
    }

    fn swapped() -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        batch(vec![names, Arc::new(Int64Array::from(vec![8, 9]))])
    }

    #[tokio::test]
    async fn what_cannot_be_bound_is_refused() {
        let context = context().await;
        let one = || batch(vec![Arc::new(Int64Array::from(vec![1]))]);
        let two = || batch(vec![Arc::new(Int64Array::from(vec![1, 2]))]);
        for (sql, values, expected) in [
            ("SELECT $1", None, "the statement has parameters up to $1, but no values are bound to them"),
            ("SELECT $1 + $2", Some(one()), "the statement has parameters up to $2, but 1 values are bound"),
            ("SELECT 1", Some(one()), "1 values are bound to a statement without parameters"),
            ("DELETE FROM t WHERE id = $1", Some(two()), "several rows of values can be bound to INSERT INTO"),
        ] {
            let error = Parameters::bound(values).bind(plan(&context, sql).await).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
