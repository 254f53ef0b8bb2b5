//! The name mapping of a table: the columns for the names in files without field ids (Iceberg specification, "Column
//! Projection"; property `schema.name-mapping.default`).
//!
//! It is updated with the columns, as in Java's `SchemaUpdate`: a renamed column keeps both names, until another column
//! takes the old one.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{MappedField, NameMapping, NestedFieldRef, Schema, TableMetadata};

use super::schema::children;
use crate::error::{Error, ErrorKind, Result};

/// The property with the mapping as JSON.
pub(crate) const NAME_MAPPING: &str = "schema.name-mapping.default";

/// The table's mapping, if it has one.
pub(crate) fn name_mapping(metadata: &TableMetadata) -> Result<Option<NameMapping>> {
    let Some(text) = metadata.properties().get(NAME_MAPPING) else { return Ok(None) };
    let mapping = serde_json::from_str(text);
    mapping
        .map(Some)
        .map_err(|e| Error::new(ErrorKind::Corrupt, format!("table property {NAME_MAPPING}")).with_source(e))
}

/// The mapping extended by the columns of `schema` under their current names.
pub(super) fn updated(mapping: &NameMapping, schema: &Schema) -> NameMapping {
    NameMapping::new(level(mapping.fields(), &schema.as_struct().fields().iter().collect::<Vec<_>>()))
}

fn level<F: Borrow<MappedField>>(mapped: &[F], columns: &[&NestedFieldRef]) -> Vec<MappedField> {
    let owner: HashMap<&str, i32> = columns.iter().map(|c| (c.name.as_str(), c.id)).collect();
    let mut fields = Vec::with_capacity(mapped.len());
    for known in mapped {
        let known: &MappedField = known.borrow();
        let column = columns.iter().find(|c| Some(c.id) == known.field_id());
        let is_own = |name: &&String| owner.get(name.as_str()).is_none_or(|id| Some(*id) == known.field_id());
        let mut names: Vec<String> = known.names().iter().filter(is_own).cloned().collect();
        let inner = match column {
            Some(column) => {
                if !names.contains(&column.name) {
                    names.push(column.name.clone());
                }
                level(known.fields(), &children(&column.field_type))
            }
            None => known.fields().iter().map(|f| MappedField::clone(f)).collect(),
        };
        fields.push(MappedField::new(known.field_id(), names, inner));
    }
    let is_new = |c: &&&NestedFieldRef| !mapped.iter().any(|m| m.borrow().field_id() == Some(c.id));
    for column in columns.iter().filter(is_new) {
        let inner = level::<Arc<MappedField>>(&[], &children(&column.field_type));
        fields.push(MappedField::new(Some(column.id), vec![column.name.clone()], inner));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use iceberg::spec::{NestedField, PrimitiveType, StructType, Type};

    #[test]
    fn the_mapping_follows_the_columns() {
        let int = |id, name: &str| -> NestedFieldRef {
            NestedField::optional(id, name, Type::Primitive(PrimitiveType::Int)).into()
        };
        // `a` was renamed to `b`, `b` dropped, `s.x` renamed to `s.y`, `n` and `s.new` are new.
        let s = Type::Struct(StructType::new(vec![int(4, "y"), int(6, "new")]));
        let fields = [int(1, "b"), NestedField::optional(3, "s", s).into(), int(5, "n")];
        let schema = Schema::builder().with_fields(fields).build().unwrap();
        let before = r#"[{"field-id":1,"names":["a"]},{"field-id":2,"names":["b","old"]},
                         {"field-id":3,"names":["s"],"fields":[{"field-id":4,"names":["x"]}]}]"#;
        let after = updated(&serde_json::from_str(before).unwrap(), &schema);
        let expected = r#"[{"field-id":1,"names":["a","b"]},{"field-id":2,"names":["old"]},
                           {"field-id":3,"names":["s"],"fields":[{"field-id":4,"names":["x","y"]},{"field-id":6,"names":["new"]}]},
                           {"field-id":5,"names":["n"]}]"#;
        assert_eq!(after, serde_json::from_str(expected).unwrap());
    }
}
