//! Column projection by field id, for files that were written before the table's columns changed.
//!
//! Iceberg identifies a column of a file by its field id (Iceberg specification, "Column Projection"); DataFusion's
//! Parquet source goes by names. So files are grouped by the names that they have for the table's columns, and each
//! group is read under those names. The Parquet source itself then reads added columns as NULL, casts widened ones and
//! ignores dropped ones; [`as_table`] restores the table's names. Files without renamed columns, which is all files of
//! most tables, need none of this and form one group.
//!
//! A map whose values had other fields is read with the type it has in the file, because the Parquet source does not
//! add or drop fields of structs inside maps; [`as_table`] does.
//!
//! The names are read from the files' footers rather than from the schema of the manifest: other writers merge old
//! manifests into new ones under the newest schema.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use bergmill_storage::Location;
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{MappedField, NameMapping, NestedField, NestedFieldRef, Schema as Columns, TableMetadata, Type};
use iceberg::table::Table;
use parquet::arrow::{PARQUET_FIELD_ID_META_KEY, parquet_to_arrow_schema};
use parquet::schema::types::Type as ParquetType;

use super::data_file::{FOOTER_HINT_BYTES, object_meta};
use super::nested_cast::nested_cast_udf;
use crate::error::{Error, ErrorKind, Result};
use crate::table::evolve::name_mapping;
use crate::table::live_file::LiveFile;
use crate::table::pruning::Numbered;
use crate::table::vended_address;

/// Number of footers read concurrently.
const FOOTERS_IN_FLIGHT: usize = 16;

/// Files that have the same names for the table's columns.
#[derive(Debug)]
pub(super) struct Group {
    /// The table's columns under the files' names, with the types that are read.
    pub(super) schema: SchemaRef,
    /// The table's columns under the files' names, with the table's types.
    pub(super) named: SchemaRef,
    pub(super) files: Vec<Numbered>,
}

/// Groups the files by their names for `columns`, which are read as the types of `schema`.
pub(super) async fn groups(
    table: &Table,
    columns: &Columns,
    schema: &SchemaRef,
    files: &[Numbered],
    state: &dyn Session,
) -> Result<Vec<Group>> {
    let metadata = table.metadata();
    if !was_renamed(metadata, columns) && !has_changed_map(metadata, columns) {
        let (schema, named) = (Arc::clone(schema), Arc::clone(schema));
        return Ok(vec![Group { schema, named, files: files.to_vec() }]);
    }
    let mapping = name_mapping(metadata)?;
    let read = files.iter().map(|(number, file)| async {
        let names = names_in(file, table, mapping.as_ref(), state).await?;
        let named = names.fields(columns.as_struct().fields(), schema.fields());
        let named = named.map_err(|e| e.context(file.data_file.file_path()))?;
        let read = names.read_as(columns.as_struct().fields(), &named);
        Ok::<_, Error>(((*number, Arc::clone(file)), Schema::new(read), Schema::new(named)))
    });
    let mut read = futures::stream::iter(read.collect::<Vec<_>>()).buffered(FOOTERS_IN_FLIGHT);
    let mut groups: Vec<Group> = Vec::new();
    while let Some((file, schema, named)) = read.try_next().await? {
        match groups.iter_mut().find(|g| *g.schema == schema && *g.named == named) {
            Some(group) => group.files.push(file),
            None => groups.push(Group { schema: Arc::new(schema), named: Arc::new(named), files: vec![file] }),
        }
    }
    Ok(groups)
}

/// Projects a scan of a group's files to the columns of the table, `target`. `named` has the same columns under the
/// files' names.
pub(super) fn as_table(
    scan: Arc<dyn ExecutionPlan>,
    named: &Schema,
    target: &Schema,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let written = scan.schema();
    if written.fields() == target.fields() && named.fields() == target.fields() {
        return Ok(scan);
    }
    let mut projection = Vec::with_capacity(target.fields().len());
    for (index, ((from, named), to)) in written.fields().iter().zip(named.fields()).zip(target.fields()).enumerate() {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(from.name(), index));
        let column = match from.data_type() == to.data_type() && named.data_type() == to.data_type() {
            true => column,
            false => {
                let [named, ty] = [named, to].map(|f| ScalarValue::try_from(f.data_type()).map(lit));
                let arguments = vec![column, named?, ty?];
                let (function, options) = (Arc::new(nested_cast_udf()), Arc::new(ConfigOptions::default()));
                Arc::new(ScalarFunctionExpr::try_new(function, arguments, &written, options)?) as _
            }
        };
        projection.push(ProjectionExpr::new(column, to.name().clone()));
    }
    Ok(Arc::new(ProjectionExec::try_new(projection, scan)?))
}

/// Whether a column of the table ever had another name, or its name belonged to another column.
fn was_renamed(metadata: &TableMetadata, columns: &Columns) -> bool {
    metadata.schemas_iter().any(|earlier| {
        columns.field_id_to_name_map().iter().any(|(id, name)| {
            let renamed = earlier.name_by_field_id(*id).is_some_and(|old| old != name);
            let reused = earlier.field_id_by_name(name).is_some_and(|old| old != *id);
            renamed || reused
        })
    })
}

/// Whether the values of a map ever had other fields, or the same fields in another order or of another type.
fn has_changed_map(metadata: &TableMetadata, columns: &Columns) -> bool {
    let maps = columns.field_id_to_fields().iter().filter(|(_, f)| matches!(f.field_type.as_ref(), Type::Map(_)));
    let maps: Vec<_> = maps.collect();
    metadata.schemas_iter().any(|earlier| {
        maps.iter().any(|(id, map)| earlier.field_by_id(**id).is_some_and(|old| old.field_type != map.field_type))
    })
}

/// The names of a file's columns, including nested ones.
#[derive(Debug, Default)]
struct Names {
    by_id: BTreeMap<i32, String>,
    all: HashSet<String>,
    /// The types of the maps in the file, by the ids of their keys.
    maps: BTreeMap<i32, DataType>,
}

async fn names_in(file: &LiveFile, table: &Table, mapping: Option<&NameMapping>, state: &dyn Session) -> Result<Names> {
    let metadata = table.metadata();
    let path = file.data_file.file_path();
    let reading = |e: datafusion::error::DataFusionError| {
        Error::new(ErrorKind::Storage, format!("reading the footer of {path}")).with_source(e)
    };
    let store = ObjectStoreUrl::parse(Location::parse(path)?.store_url_for(vended_address(table))).map_err(reading)?;
    let store = state.runtime_env().object_store(&store).map_err(reading)?;
    let meta = object_meta(file)?;
    let footer = DFParquetMetadata::new(store.as_ref(), &meta)
        .with_metadata_size_hint(Some(FOOTER_HINT_BYTES))
        .with_file_metadata_cache(Some(state.runtime_env().cache_manager.get_file_metadata_cache()))
        .fetch_metadata()
        .await
        .map_err(reading)?;
    let mut names = Names::default();
    let written = footer.file_metadata();
    written.schema_descr().root_schema().get_fields().iter().for_each(|f| names.add(f));
    let types = parquet_to_arrow_schema(written.schema_descr(), written.key_value_metadata());
    types.map_err(|e| reading(e.into()))?.fields().iter().for_each(|f| names.add_maps(f));
    if names.by_id.is_empty() {
        // Files without field ids were not written by Iceberg, but imported into the table.
        match mapping {
            Some(mapping) => mapping.fields().iter().for_each(|f| names.map(f)),
            None => {
                let written = metadata.schema_by_id(file.schema_id).unwrap_or(metadata.current_schema());
                let present = written.field_id_to_fields().iter().filter(|(_, field)| names.all.contains(&field.name));
                names.by_id = present.map(|(id, field)| (*id, field.name.clone())).collect();
            }
        }
    }
    Ok(names)
}

impl Names {
    fn add(&mut self, ty: &ParquetType) {
        let info = ty.get_basic_info();
        if info.has_id() {
            self.by_id.insert(info.id(), info.name().to_string());
        }
        self.all.insert(info.name().to_string());
        if ty.is_group() {
            ty.get_fields().iter().for_each(|f| self.add(f));
        }
    }

    fn add_maps(&mut self, field: &Field) {
        match field.data_type() {
            DataType::Struct(fields) => fields.iter().for_each(|f| self.add_maps(f)),
            DataType::List(element) => self.add_maps(element),
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else { return };
                let id = pair.first().and_then(|key| key.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok());
                if let Some(id) = id {
                    self.maps.insert(id, field.data_type().clone());
                }
                pair.iter().for_each(|f| self.add_maps(f));
            }
            _ => {}
        }
    }

    fn map(&mut self, field: &MappedField) {
        let present = field.names().iter().find(|name| self.all.contains(*name));
        if let (Some(id), Some(name)) = (field.field_id(), present) {
            self.by_id.insert(id, name.clone());
        }
        field.fields().iter().for_each(|f| self.map(f));
    }

    /// The name of a column in the file. A column that the file lacks gets an unused name, so that it reads as NULL.
    fn name(&self, field: &NestedField) -> String {
        if let Some(name) = self.by_id.get(&field.id) {
            return name.clone();
        }
        let mut name = field.name.clone();
        while self.all.contains(&name) {
            name.push('\'');
        }
        name
    }

    /// `read_as`, which are the Arrow fields of `fields`, under the file's names.
    fn fields(&self, fields: &[NestedFieldRef], read_as: &Fields) -> Result<Fields> {
        fields.iter().zip(read_as).map(|(field, read_as)| self.field(field, read_as)).collect()
    }

    fn field(&self, field: &NestedField, read_as: &FieldRef) -> Result<FieldRef> {
        let ty = match self.by_id.contains_key(&field.id) {
            true => self.data_type(&field.field_type, read_as.data_type()).map_err(|e| e.context(&field.name))?,
            // The whole column is NULL.
            false => read_as.data_type().clone(),
        };
        Ok(Arc::new(Field::new(self.name(field), ty, read_as.is_nullable())))
    }

    fn data_type(&self, ty: &Type, read_as: &DataType) -> Result<DataType> {
        Ok(match (ty, read_as) {
            (Type::Struct(s), DataType::Struct(fields)) => {
                if !s.fields().iter().any(|f| self.by_id.contains_key(&f.id)) {
                    let what = "none of the fields of this struct is in the file, which is not supported yet";
                    return Err(Error::new(ErrorKind::Unsupported, what));
                }
                DataType::Struct(self.fields(s.fields(), fields)?)
            }
            (Type::List(l), DataType::List(element)) => {
                let inner = self.data_type(&l.element_field.field_type, element.data_type())?;
                DataType::List(Arc::new(element.as_ref().clone().with_data_type(inner)))
            }
            (Type::Map(m), DataType::Map(entries, sorted)) => {
                let DataType::Struct(pair) = entries.data_type() else { return Ok(read_as.clone()) };
                let inner = [&m.key_field, &m.value_field].into_iter().zip(pair).map(|(field, read_as)| {
                    let ty = self.data_type(&field.field_type, read_as.data_type())?;
                    Ok(Arc::new(read_as.as_ref().clone().with_data_type(ty)))
                });
                let pair = DataType::Struct(inner.collect::<Result<_>>()?);
                DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(pair)), *sorted)
            }
            _ => read_as.clone(),
        })
    }

    /// The columns with the types that are read: those of `named`, except for maps whose values have other fields in
    /// the file.
    fn read_as(&self, fields: &[NestedFieldRef], named: &Fields) -> Fields {
        let read_as = |(field, named): (&NestedFieldRef, &FieldRef)| match self.by_id.contains_key(&field.id) {
            true => {
                Arc::new(named.as_ref().clone().with_data_type(self.type_read(&field.field_type, named.data_type())))
            }
            false => Arc::clone(named),
        };
        fields.iter().zip(named).map(read_as).collect()
    }

    fn type_read(&self, ty: &Type, named: &DataType) -> DataType {
        match (ty, named) {
            (Type::Struct(s), DataType::Struct(fields)) => DataType::Struct(self.read_as(s.fields(), fields)),
            (Type::List(l), DataType::List(element)) => {
                let inner = self.type_read(&l.element_field.field_type, element.data_type());
                DataType::List(Arc::new(element.as_ref().clone().with_data_type(inner)))
            }
            (Type::Map(m), DataType::Map(..)) => match self.maps.get(&m.key_field.id) {
                Some(written) if !has_same_fields(written, named) => written.clone(),
                _ => named.clone(),
            },
            _ => named.clone(),
        }
    }
}

/// Whether structs in the two types have fields of the same names in the same order. A cast handles all other
/// differences.
fn has_same_fields(one: &DataType, other: &DataType) -> bool {
    let all_same = |one: &Fields, other: &Fields| {
        one.iter().zip(other).all(|(one, other)| has_same_fields(one.data_type(), other.data_type()))
    };
    match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.name() == b.name()) && all_same(one, other)
        }
        (DataType::List(one), DataType::List(other)) => has_same_fields(one.data_type(), other.data_type()),
        (DataType::Map(one, _), DataType::Map(other, _)) => match (one.data_type(), other.data_type()) {
            // Writers name the key and the value differently.
            (DataType::Struct(one), DataType::Struct(other)) => all_same(one, other),
            _ => false,
        },
        _ => true,
    }
}

#[cfg(test)]
#[path = "tests/field_ids.rs"]
mod tests;
