//! Changes of a table's definition: columns, partitioning, sort order, properties. They are decided on plain data,
//! without I/O; `Warehouse::alter` commits them, with retries after concurrent commits.

mod name_mapping;
mod partitioning;
mod replacement;
mod schema;
mod sort_order;

use std::collections::HashMap;

use bergmill_statement::{Alteration, nearest};
use iceberg::TableIdent;
use iceberg::spec::{FormatVersion, Schema, TableMetadata, TableMetadataBuilder, Transform};
use iceberg::table::Table;

use name_mapping::NAME_MAPPING;
pub(crate) use name_mapping::name_mapping;
pub(crate) use replacement::replacement;
use schema::Use;
pub(crate) use schema::find_source;
pub(crate) use sort_order::sort_order;

use crate::error::{Error, ErrorKind, Result};
use crate::table::Warehouse;

/// The table property with the table's comment, as in Spark.
pub const COMMENT: &str = "comment";

impl Warehouse {
    /// Changes the definition of a table. Data files stay unchanged and keep their meaning.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` or `Invalid` for impossible changes; the table is then unchanged.
    pub async fn alter_table(&self, table: &TableIdent, alteration: &Alteration) -> Result<Table> {
        self.alter(table, |metadata, builder| apply(alteration, metadata, builder)).await
    }
}

fn apply(
    alteration: &Alteration,
    metadata: &TableMetadata,
    builder: TableMetadataBuilder,
) -> Result<Option<TableMetadataBuilder>> {
    if metadata.format_version() != FormatVersion::V2 {
        let what = format!("format version {} can be read but not changed yet", metadata.format_version());
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let built = match alteration {
        Alteration::Columns(changes) => {
            let schema = metadata.current_schema();
            let changed = schema::change(schema, metadata.last_column_id(), changes, &uses(metadata))?;
            if changed == **schema {
                return Ok(None);
            }
            check_names(metadata, &changed)?;
            let builder = match name_mapping(metadata)? {
                Some(mapping) => {
                    let text = serde_json::to_string(&name_mapping::updated(&mapping, &changed));
                    let text = text.map_err(|e| Error::new(ErrorKind::Internal, "a name mapping").with_source(e))?;
                    builder.set_properties(HashMap::from([(NAME_MAPPING.to_string(), text)]))
                }
                None => Ok(builder),
            };
            builder.and_then(|b| b.add_current_schema(changed))
        }
        Alteration::Partitioning(change) => builder.add_default_partition_spec(partitioning::change(metadata, change)?),
        Alteration::SortOrder(terms) => {
            let order = sort_order(terms, metadata.current_schema(), "WRITE ORDERED BY")?;
            let last = i64::from(TableMetadataBuilder::LAST_ADDED);
            builder.add_sort_order(order).and_then(|b| b.set_default_sort_order(last))
        }
        Alteration::SetProperties(properties) => builder.set_properties(properties.clone()),
        Alteration::UnsetProperties { names, if_exists } => {
            let known = metadata.properties();
            if let Some(name) = names.iter().find(|n| !known.contains_key(*n)).filter(|_| !if_exists) {
                let hint = nearest(name, known.keys().cloned()).map(|n| format!("; did you mean {n}?"));
                let what = format!("property {name} is not set{}", hint.unwrap_or_default());
                return Err(Error::new(ErrorKind::NotFound, what));
            }
            builder.remove_properties(names)
        }
    };
    built.map(Some).map_err(|e| Error::new(ErrorKind::Invalid, "this change is not possible").with_source(e))
}

/// Columns that cannot be dropped. They include those of older specs: without the column the type of its partition
/// values is lost, and with it every file of the spec.
fn uses(metadata: &TableMetadata) -> Vec<Use> {
    let current = metadata.default_partition_spec_id();
    let mut uses = Vec::new();
    for spec in metadata.partition_specs_iter() {
        for field in spec.fields().iter().filter(|f| f.transform != Transform::Void) {
            let what = match spec.spec_id() == current {
                true => format!("partition field {} is derived from it; drop that field first", field.name),
                false => format!("files of an older partition spec may still be partitioned by {}", field.name),
            };
            uses.push((field.source_id, what));
        }
    }
    // Prefer the message about the current spec.
    uses.sort_by_key(|(_, what)| what.starts_with("files"));
    let sorted = metadata.default_sort_order().fields.iter();
    uses.extend(sorted.map(|f| (f.source_id, "the table is sorted by it; change its sort order first".to_string())));
    uses
}

/// Refuses a column with the name of a partition field that is derived from another column: readers could not
/// distinguish them.
fn check_names(metadata: &TableMetadata, changed: &Schema) -> Result<()> {
    let clash = metadata.default_partition_spec().fields().iter().find(|field| {
        changed
            .field_by_name(&field.name)
            .is_some_and(|column| column.id != field.source_id || field.transform != Transform::Identity)
    });
    match clash {
        Some(field) => {
            let what = format!("{0} is the name of a partition field, so a column cannot have it", field.name);
            Err(Error::new(ErrorKind::AlreadyExists, what))
        }
        None => Ok(()),
    }
}
