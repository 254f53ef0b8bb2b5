//! The table that the clauses of `CREATE TABLE` define.

use arrow::datatypes::Schema as ArrowSchema;
use bergmill_statement::{TableClauses, Term, Transform};
use iceberg::spec::{NestedField, Schema, UnboundPartitionSpec};

use crate::bridge;
use crate::error::Result;
use crate::names::avro_name;
use crate::statement_types::transform;
use crate::table::NewTable;
use crate::table::evolve::{COMMENT, find_source, sort_order};

impl NewTable {
    /// The table that these columns and these clauses define.
    ///
    /// # Errors
    /// `NotFound` for a partition or sort term over a column that does not exist, `Invalid` or `Unsupported` for a
    /// definition that Iceberg does not allow.
    pub fn define(columns: &ArrowSchema, clauses: &TableClauses) -> Result<Self> {
        let schema = with_docs(bridge::iceberg_schema(columns)?, clauses)?;
        let mut properties = clauses.properties.clone();
        properties.extend(clauses.comment.clone().map(|text| (COMMENT.to_string(), text)));
        Ok(Self {
            partition_spec: partition_spec(&clauses.partitioned_by, &schema)?,
            sort_order: sort_order(&clauses.sorted_by, &schema, "SORTED BY")?,
            properties,
            location: clauses.location.clone(),
            schema,
        })
    }
}

fn with_docs(schema: Schema, clauses: &TableClauses) -> Result<Schema> {
    let fields = schema.as_struct().fields().iter().map(|field| match clauses.docs.get(&field.name) {
        Some(text) => NestedField::clone(field).with_doc(text).into(),
        None => field.clone(),
    });
    Ok(Schema::builder().with_fields(fields).build()?)
}

/// The partition spec of these terms over the columns of `schema`.
fn partition_spec(terms: &[Term], schema: &Schema) -> Result<UnboundPartitionSpec> {
    let mut spec = UnboundPartitionSpec::builder();
    for Term { column, transform: by } in terms {
        let id = find_source(schema, column, "PARTITIONED BY")?.id;
        let name = match by {
            Transform::Identity => column.clone(),
            Transform::Bucket(_) => format!("{column}_bucket"),
            Transform::Truncate(_) => format!("{column}_trunc"),
            other => format!("{column}_{}", transform(*other)),
        };
        spec = spec.add_partition_field(id, avro_name(&name), transform(*by))?;
    }
    Ok(spec.build())
}
