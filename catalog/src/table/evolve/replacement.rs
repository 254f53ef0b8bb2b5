//! `CREATE OR REPLACE TABLE`: a new definition for the same table, as by Java's `TableMetadata.buildReplacement`.
//!
//! The table keeps its identity, its snapshots and its other properties; its main branch is empty until rows are
//! written. A column keeps the id of the old column of its name; other columns get unused ids, so that older snapshots
//! keep their meaning.

use std::sync::Arc;

use iceberg::spec::{
    ListType, MAIN_BRANCH, MapType, NestedField, NestedFieldRef, Schema, SortField, SortOrder, StructType,
    TableMetadata, TableMetadataBuilder, Type, UnboundPartitionField,
};

use super::partitioning::with_ids;
use crate::error::{Error, ErrorKind, Result};
use crate::table::NewTable;

/// `builder`, which is over `metadata`, with the definition of `new` instead of the current one.
pub(crate) fn replacement(
    metadata: &TableMetadata,
    builder: TableMetadataBuilder,
    new: &NewTable,
) -> Result<TableMetadataBuilder> {
    let schema = with_ids_of(&new.schema, metadata.current_schema(), metadata.last_column_id())?;
    // Maps the ids of the definition to those of the table.
    let id = |own: i32| {
        let name = new.schema.name_by_field_id(own);
        name.and_then(|n| schema.field_id_by_name(n))
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("field {own} is not a column of the new table")))
    };
    let mut fields = Vec::new();
    for field in new.partition_spec.fields() {
        let (name, transform) = (field.name.clone(), field.transform);
        fields.push(UnboundPartitionField { source_id: id(field.source_id)?, field_id: None, name, transform });
    }
    let mut order = SortOrder::builder();
    for field in &new.sort_order.fields {
        order.with_sort_field(SortField { source_id: id(field.source_id)?, ..field.clone() });
    }
    let location = new.location.as_deref().unwrap_or(metadata.location()).to_string();
    let build = || {
        let spec = with_ids(metadata, fields)?;
        let order = match new.sort_order.is_unsorted() {
            true => SortOrder::unsorted_order(),
            false => order.build_unbound()?,
        };
        builder
            .remove_ref(MAIN_BRANCH)
            .add_current_schema(schema)?
            .add_default_partition_spec(spec)?
            .add_sort_order(order)?
            .set_default_sort_order(i64::from(TableMetadataBuilder::LAST_ADDED))?
            .set_location(location)
            .set_properties(new.properties.clone())
    };
    build()
        .map_err(|e: iceberg::Error| Error::new(ErrorKind::Invalid, "this replacement is not possible").with_source(e))
}

/// The columns of `schema`, each with the id of the column of the same name in `base`, or else with a fresh id above
/// `last_column_id`.
fn with_ids_of(schema: &Schema, base: &Schema, last_column_id: i32) -> Result<Schema> {
    let mut ids = Ids { base, last: last_column_id };
    let fields = ids.fields(schema.as_struct().fields(), "");
    Ok(Schema::builder().with_fields(fields).build()?)
}

struct Ids<'a> {
    base: &'a Schema,
    last: i32,
}

impl Ids<'_> {
    fn id(&mut self, name: &str) -> i32 {
        self.base.field_id_by_name(name).unwrap_or_else(|| {
            self.last += 1;
            self.last
        })
    }

    /// Numbers all columns of one level, then their nested fields, as in Java.
    fn fields(&mut self, fields: &[NestedFieldRef], within: &str) -> Vec<NestedFieldRef> {
        let names: Vec<_> = fields.iter().map(|f| format!("{within}{}", f.name)).collect();
        let ids: Vec<_> = names.iter().map(|name| self.id(name)).collect();
        let numbered = fields.iter().zip(names.iter().zip(ids));
        numbered.map(|(field, (name, id))| self.field(field, name, id)).collect()
    }

    fn field(&mut self, field: &NestedFieldRef, name: &str, id: i32) -> NestedFieldRef {
        let field_type = Box::new(match field.field_type.as_ref() {
            Type::Primitive(p) => Type::Primitive(p.clone()),
            Type::Struct(s) => Type::Struct(StructType::new(self.fields(s.fields(), &format!("{name}.")))),
            Type::List(l) => Type::List(ListType::new(self.inner(&l.element_field, name))),
            Type::Map(m) => {
                let key = self.inner(&m.key_field, name);
                Type::Map(MapType::new(key, self.inner(&m.value_field, name)))
            }
        });
        Arc::new(NestedField { id, field_type, ..NestedField::clone(field) })
    }

    fn inner(&mut self, field: &NestedFieldRef, within: &str) -> NestedFieldRef {
        let name = format!("{within}.{}", field.name);
        let id = self.id(&name);
        self.field(field, &name, id)
    }
}
