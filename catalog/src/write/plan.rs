//! Extends a query's plan to one that writes its rows: with the table's columns, distributed and sorted by partition.

use std::sync::Arc;

use arrow::array::new_empty_array;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema as ArrowSchema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::functions::core::get_field;
use datafusion::physical_expr::expressions::{CastExpr, Column, lit};
use datafusion::physical_expr::{
    Distribution, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr, ScalarFunctionExpr,
};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use iceberg::spec::{NullOrder, SortDirection, Transform, Type};

use super::coerce::coerce_array;
use super::partition_function::partition_udf;
use super::{DistributionMode, IcebergWriteExec, WriteSpec};
use crate::bridge;
use crate::error::{Error, ErrorKind, Result};

/// The plan that writes the rows of `input` into a table's data files; its result goes to
/// [`data_files`](super::data_files).
///
/// Columns are matched by name, whatever their order; values are cast to the table's types. A table that is partitioned
/// or sorted gets its rows sorted within each task, and with distribution mode `hash` (the default of partitioned
/// tables) each partition's rows in one task. A table without partitions gets the sorted rows of a query in one task,
/// so that its files do not overlap, unless the table has another order.
pub fn plan_write(
    input: Arc<dyn ExecutionPlan>,
    spec: &WriteSpec,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let in_one_task = is_in_order(&input, spec)?;
    let input = with_table_columns(input, spec)?;
    let input = distributed(input, spec, config)?;
    let input = sorted(input, spec)?;
    let write = IcebergWriteExec::try_new(input, Arc::new(spec.clone()))?;
    Ok(Arc::new(if in_one_task { write.in_one_task() } else { write }))
}

/// Whether all rows are in one order, which is that of the table if it has one. `input` has not been cast to the types
/// of the table: DataFusion does not know that text keeps its order when views of it are cast to strings.
fn is_in_order(input: &Arc<dyn ExecutionPlan>, spec: &WriteSpec) -> Result<bool> {
    let is_sorted = input.output_partitioning().partition_count() == 1 && input.output_ordering().is_some();
    if !is_sorted || !spec.partition_spec.is_unpartitioned() {
        return Ok(false);
    }
    if spec.sort_order.is_unsorted() {
        return Ok(true);
    }
    // A column of the order may be missing, and is then NULL.
    match ordering(spec, &input.schema()) {
        Ok(Some(ordering)) => input.equivalence_properties().ordering_satisfy(ordering).map_err(planning),
        Ok(None) | Err(_) => Ok(false),
    }
}

fn with_table_columns(input: Arc<dyn ExecutionPlan>, spec: &WriteSpec) -> Result<Arc<dyn ExecutionPlan>> {
    let table = bridge::arrow_schema(&spec.schema)?;
    let source = input.schema();
    for (index, field) in source.fields().iter().enumerate() {
        if table.column_with_name(field.name()).is_none() {
            return Err(Error::new(ErrorKind::Invalid, format!("the table has no column {}", field.name())));
        }
        if source.index_of(field.name()).is_ok_and(|first| first != index) {
            return Err(Error::new(ErrorKind::Invalid, format!("column {} is written twice", field.name())));
        }
    }
    let mut unchanged = source.fields().len() == table.fields().len();
    let mut projection = Vec::with_capacity(table.fields().len());
    for (position, field) in table.fields().iter().enumerate() {
        let name = field.name();
        let Some((index, from)) = source.column_with_name(name) else {
            if !field.is_nullable() {
                return Err(Error::new(ErrorKind::Invalid, format!("no value for column {name}, which is required")));
            }
            unchanged = false;
            let null = ScalarValue::try_from(field.data_type()).map_err(planning)?;
            projection.push(ProjectionExpr::new(lit(null), name.clone()));
            continue;
        };
        // The writer's conversion of an empty array checks whether the types fit.
        coerce_array(&new_empty_array(from.data_type()), field, name)?;
        unchanged &= index == position;
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, index));
        let cast = from.data_type() != field.data_type() && !field.data_type().is_nested();
        unchanged &= !cast;
        let value = if cast { Arc::new(CastExpr::new(column, field.data_type().clone(), None)) } else { column };
        projection.push(ProjectionExpr::new(value, name.clone()));
    }
    if unchanged {
        return Ok(input);
    }
    Ok(Arc::new(ProjectionExec::try_new(projection, input).map_err(planning)?))
}

fn distributed(
    input: Arc<dyn ExecutionPlan>,
    spec: &WriteSpec,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let tasks = input.output_partitioning().partition_count();
    if tasks == 1 || spec.distribution_mode()? == DistributionMode::None {
        return Ok(input);
    }
    let wanted = distribution(spec, &input.schema())?;
    let satisfaction = input.output_partitioning().satisfaction(&wanted, input.equivalence_properties(), true);
    let Distribution::KeyPartitioned(keys) = wanted else { return Ok(input) };
    if satisfaction.is_satisfied() {
        return Ok(input);
    }
    let by_partition = Partitioning::Hash(keys, config.execution.target_partitions.max(1));
    Ok(Arc::new(RepartitionExec::try_new(input, by_partition).map_err(planning)?))
}

fn sorted(input: Arc<dyn ExecutionPlan>, spec: &WriteSpec) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(ordering) = ordering(spec, &input.schema())? else { return Ok(input) };
    if input.equivalence_properties().ordering_satisfy(ordering.clone()).map_err(planning)? {
        return Ok(input);
    }
    Ok(Arc::new(SortExec::new(ordering, input).with_preserve_partitioning(true)))
}

/// The distribution with all rows of a partition in one task. `schema` has the table's columns.
pub(super) fn distribution(spec: &WriteSpec, schema: &SchemaRef) -> Result<Distribution> {
    let keys = partition_keys(spec, schema)?;
    Ok(if keys.is_empty() { Distribution::UnspecifiedDistribution } else { Distribution::KeyPartitioned(keys) })
}

/// The order of rows in a task: by partition, then in the table's sort order.
pub(super) fn ordering(spec: &WriteSpec, schema: &SchemaRef) -> Result<Option<LexOrdering>> {
    let mut order: Vec<_> = partition_keys(spec, schema)?.into_iter().map(PhysicalSortExpr::new_default).collect();
    for field in &spec.sort_order.fields {
        if matches!(field.transform, Transform::Void | Transform::Unknown) {
            continue;
        }
        let options = SortOptions {
            descending: field.direction == SortDirection::Descending,
            nulls_first: field.null_order == NullOrder::First,
        };
        let value = transformed(spec, schema, field.source_id, &field.transform)?;
        order.push(PhysicalSortExpr::new(value, options));
    }
    // Of two keys with the same expression the first decides; LexOrdering drops the other.
    Ok(LexOrdering::new(order))
}

fn partition_keys(spec: &WriteSpec, schema: &SchemaRef) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    spec.partition_spec
        .fields()
        .iter()
        .filter(|field| field.transform != Transform::Void)
        .map(|field| transformed(spec, schema, field.source_id, &field.transform))
        .collect()
}

fn transformed(
    spec: &WriteSpec,
    schema: &SchemaRef,
    source_id: i32,
    transform: &Transform,
) -> Result<Arc<dyn PhysicalExpr>> {
    let source = source_column(spec, schema, source_id)?;
    if *transform == Transform::Identity {
        return Ok(source);
    }
    call(partition_udf(), vec![lit(transform.to_string()), source], schema)
}

/// The column that a partition or sort field reads, which may be a field of a struct.
fn source_column(spec: &WriteSpec, schema: &SchemaRef, source_id: i32) -> Result<Arc<dyn PhysicalExpr>> {
    let (_, path) = spec.source(source_id)?;
    let (first, rest) = path.split_first().ok_or_else(|| Error::new(ErrorKind::Internal, "a column without a path"))?;
    let mut fields = spec.schema.as_struct().fields();
    let name = schema.field(*first).name();
    let mut value: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, *first));
    let mut field = &fields[*first];
    for index in rest {
        let Type::Struct(inner) = field.field_type.as_ref() else {
            return Err(Error::new(ErrorKind::Internal, "a nested column outside of a struct"));
        };
        fields = inner.fields();
        field = &fields[*index];
        let name = struct_field_name(&value.data_type(schema).map_err(planning)?, &field.name, *index)?;
        value = call(get_field().as_ref().clone(), vec![value, lit(name)], schema)?;
    }
    Ok(value)
}

/// A struct from a query may have other field names than the table's; fields are then matched by position, as in the
/// writer.
fn struct_field_name(ty: &DataType, name: &str, index: usize) -> Result<String> {
    let DataType::Struct(fields) = ty else {
        return Err(Error::new(ErrorKind::Invalid, format!("{name} is a field of a value that is not a struct")));
    };
    let found = fields.find(name).map(|(_, f)| f).or_else(|| fields.get(index));
    found.map(|f| f.name().clone()).ok_or_else(|| Error::new(ErrorKind::Invalid, format!("a row has no field {name}")))
}

fn call(
    function: datafusion::logical_expr::ScalarUDF,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    schema: &ArrowSchema,
) -> Result<Arc<dyn PhysicalExpr>> {
    let call = ScalarFunctionExpr::try_new(Arc::new(function), arguments, schema, Arc::new(ConfigOptions::default()));
    Ok(Arc::new(call.map_err(planning)?))
}

fn planning(e: datafusion::error::DataFusionError) -> Error {
    Error::new(ErrorKind::Internal, "planning a write").with_source(e)
}
