//! Changes of a table's partitioning: the rules of Java's `BaseUpdatePartitionSpec`, for format version 2.
//!
//! Files keep the spec that they were written with. The new spec applies to new files: it lacks dropped fields, and a
//! field that is added again gets its former id, so that its values in old and new files belong to the same field.

use bergmill_statement::{PartitionChange, Term, nearest};
use iceberg::spec::{PartitionField, Schema, TableMetadata, Transform, UnboundPartitionField, UnboundPartitionSpec};

use super::schema::find_source;
use crate::error::{Error, ErrorKind, Result};
use crate::names::avro_name;
use crate::statement_types::transform;

/// The table's spec after the change, not yet bound to its current schema.
///
/// # Errors
/// `NotFound` for a missing column or field, `AlreadyExists` for an existing field or name.
pub fn change(metadata: &TableMetadata, change: &PartitionChange) -> Result<UnboundPartitionSpec> {
    let schema = metadata.current_schema();
    let mut fields: Vec<PartitionField> = metadata.default_partition_spec().fields().to_vec();
    match change {
        PartitionChange::Add { term, name } => add(metadata, &mut fields, term, name.as_deref())?,
        PartitionChange::Drop(old) => drop(remove(&mut fields, schema, old)?),
        PartitionChange::Replace { old, new, name } => {
            let (at, removed) = remove(&mut fields, schema, old)?;
            add(metadata, &mut fields, new, name.as_deref())?;
            let same = fields.last().is_some_and(|f| f.field_id == removed.field_id && f.name == removed.name);
            if same && let Some(back) = fields.pop() {
                fields.insert(at, back);
            }
        }
    }
    let unbound = fields.into_iter().map(|f| UnboundPartitionField {
        source_id: f.source_id,
        field_id: (f.field_id != NEW).then_some(f.field_id),
        name: f.name,
        transform: f.transform,
    });
    with_ids(metadata, unbound).map_err(invalid)
}

/// A new spec of the table from these fields. Fields without an id get the id of an equivalent field in an earlier
/// spec, or a fresh one.
///
/// Iceberg's parser, which REST servers use for updates, requires ids for all fields of a spec or for none.
pub(super) fn with_ids(
    metadata: &TableMetadata,
    fields: impl IntoIterator<Item = UnboundPartitionField>,
) -> iceberg::Result<UnboundPartitionSpec> {
    let mut last = metadata.last_partition_id();
    let fields = fields.into_iter().map(|field| {
        let mut known = metadata.partition_specs_iter().flat_map(|spec| spec.fields());
        let known = known.find(|k| k.source_id == field.source_id && k.transform == field.transform);
        let id = field.field_id.or(known.map(|k| k.field_id)).unwrap_or_else(|| {
            last += 1;
            last
        });
        UnboundPartitionField { field_id: Some(id), ..field }
    });
    Ok(UnboundPartitionSpec::builder().add_partition_fields(fields)?.build())
}

/// Placeholder for an id that is not assigned yet.
const NEW: i32 = -1;

fn add(metadata: &TableMetadata, fields: &mut Vec<PartitionField>, term: &Term, name: Option<&str>) -> Result<()> {
    let schema = metadata.current_schema();
    let source = find_source(schema, &term.column, "partition field")?;
    let transform = transform(term.transform);
    if let Some(same) = fields.iter().find(|f| f.source_id == source.id && f.transform == transform) {
        let what = format!("partition field {} already exists, as {}", term, same.name);
        return Err(Error::new(ErrorKind::AlreadyExists, what));
    }
    if let Some(other) =
        fields.iter().find(|f| f.source_id == source.id && is_time(&f.transform) && is_time(&transform))
    {
        let what = format!(
            "{} is redundant with {}; use REPLACE PARTITION FIELD {} WITH {}",
            term, other.name, other.name, term
        );
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    // The same field of an earlier spec, unless it gets another name.
    let known = metadata
        .partition_specs_iter()
        .flat_map(|spec| spec.fields())
        .filter(|f| f.source_id == source.id && f.transform == transform)
        .find(|f| name.is_none_or(|name| name == f.name));
    let new = match known {
        Some(known) => known.clone(),
        None => PartitionField {
            source_id: source.id,
            field_id: NEW,
            name: name.map_or_else(|| default_name(term), ToString::to_string),
            transform,
        },
    };
    if avro_name(&new.name) != new.name {
        let what = format!(
            "a partition field cannot be named {}: manifests only allow ASCII letters, digits and _; \
             give it another name with AS",
            new.name
        );
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    if fields.iter().any(|f| f.name == new.name) {
        let what = format!("partition field {} already exists; give this one a name with AS", new.name);
        return Err(Error::new(ErrorKind::AlreadyExists, what));
    }
    let clash = schema.field_by_name(&new.name);
    if clash.is_some_and(|column| column.id != new.source_id || new.transform != Transform::Identity) {
        let what = format!("partition field {0} has the name of column {0}; give it another with AS", new.name);
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    fields.push(new);
    Ok(())
}

/// Removes a field, and returns its index and the field.
fn remove(fields: &mut Vec<PartitionField>, schema: &Schema, field: &Term) -> Result<(usize, PartitionField)> {
    let (column, transform) = (&field.column, transform(field.transform));
    let by_name = || match transform {
        Transform::Identity => fields.iter().position(|f| f.name == *column),
        _ => None,
    };
    let source = find_source(schema, column, "partition field").ok().map(|f| f.id);
    let by_term = || fields.iter().position(|f| Some(f.source_id) == source && f.transform == transform);
    if let Some(at) = by_name().or_else(by_term) {
        return Ok((at, fields.remove(at)));
    }
    let wanted = field.to_string();
    let hint = match nearest(&wanted, fields.iter().map(|f| f.name.clone())) {
        Some(near) => format!("; did you mean {near}?"),
        None if fields.is_empty() => "; the table is not partitioned".to_string(),
        None => {
            let names: Vec<_> = fields.iter().map(|f| f.name.as_str()).collect();
            format!("; there are {}", names.join(", "))
        }
    };
    Err(Error::new(ErrorKind::NotFound, format!("partition field {wanted} not found{hint}")))
}

/// The default name of a field, as in Java.
fn default_name(term: &Term) -> String {
    let column = avro_name(&term.column);
    match transform(term.transform) {
        Transform::Identity => column,
        Transform::Bucket(n) => format!("{column}_bucket_{n}"),
        Transform::Truncate(width) => format!("{column}_trunc_{width}"),
        other => format!("{column}_{other}"),
    }
}

fn is_time(transform: &Transform) -> bool {
    matches!(transform, Transform::Year | Transform::Month | Transform::Day | Transform::Hour)
}

fn invalid(e: iceberg::Error) -> Error {
    Error::new(ErrorKind::Invalid, "this partitioning is not valid").with_source(e)
}

#[cfg(test)]
#[path = "tests/partitioning.rs"]
mod tests;
