//! Changes of a table's columns, as in Iceberg's specification ("Schema Evolution") and Java's `SchemaUpdate`.
//!
//! A column is identified by its field id. Ids are never reused, so a column that is dropped and added again is a
//! different column: older rows have NULL in it. Only changes that keep the meaning of existing rows are allowed.

use std::sync::Arc;

use arrow::datatypes::Field;
use bergmill_statement::{ColumnPath, ColumnPosition, SchemaChange, nearest};
use iceberg::spec::{ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type};

use crate::bridge;
use crate::error::{Error, ErrorKind, Result};
use crate::statement_types::arrow_type;

/// A use of a column by the table: `(field id, why the column cannot be dropped)`.
pub type Use = (i32, String);

/// The schema after the changes, applied in order. `last_column_id` is the highest id that the table has ever used;
/// columns in `uses` cannot be dropped.
///
/// # Errors
/// `NotFound` for a missing column, `AlreadyExists` for a name that is taken, `Invalid` for changes that the format
/// does not allow.
pub fn change(schema: &Schema, last_column_id: i32, changes: &[SchemaChange], uses: &[Use]) -> Result<Schema> {
    let mut root = NestedField::required(0, "", Type::Struct(schema.as_struct().clone()));
    let mut identifiers: Vec<i32> = schema.identifier_field_ids().collect();
    let mut next_id = last_column_id.max(schema.highest_field_id());
    for change in changes {
        apply(&mut root, &mut identifiers, &mut next_id, change, uses)?;
    }
    let fields = root.field_type.to_struct_type().map(|s| s.fields().to_vec()).unwrap_or_default();
    let built = Schema::builder().with_fields(fields).with_identifier_field_ids(identifiers).build();
    built.map_err(|e| invalid("these columns are not valid").with_source(e))
}

/// The column at `path`.
pub fn find<'a>(schema: &'a Schema, path: &ColumnPath) -> Result<&'a NestedFieldRef> {
    let mut siblings: Vec<&NestedFieldRef> = schema.as_struct().fields().iter().collect();
    let mut found = None;
    for (depth, name) in path.0.iter().enumerate() {
        let Some(field) = siblings.iter().find(|f| f.name == *name) else {
            return Err(unknown(path, depth, &siblings));
        };
        found = Some(*field);
        siblings = children(&field.field_type);
    }
    found.ok_or_else(|| invalid("a column without a name"))
}

/// The source column of a partition or sort field: a top-level column, or a field of structs. `name` is its dotted
/// path.
pub fn find_source<'a>(schema: &'a Schema, name: &str, clause: &str) -> Result<&'a NestedFieldRef> {
    // A column with a dot in its name takes precedence over a path.
    let own = schema.as_struct().fields().iter().find(|f| f.name == name);
    let path = ColumnPath(name.split('.').map(ToString::to_string).collect());
    let field = match own {
        Some(field) => field,
        None => find(schema, &path).map_err(|e| e.context(clause))?,
    };
    if schema.accessor_by_field_id(field.id).is_none() {
        let what = format!("{clause} {name}: a {} does not have a single value per row", kind(&field.field_type));
        return Err(invalid(what));
    }
    Ok(field)
}

fn apply(
    root: &mut NestedField,
    identifiers: &mut Vec<i32>,
    next_id: &mut i32,
    change: &SchemaChange,
    uses: &[Use],
) -> Result<()> {
    match change {
        SchemaChange::Add { column, ty, required, doc, position, if_not_exists } => {
            let (name, parent) = split(column)?;
            edit_struct(root, &parent, column, true, &mut |siblings| {
                if siblings.iter().any(|f| f.name == *name) {
                    return if *if_not_exists { Ok(()) } else { Err(taken(column)) };
                }
                if *required {
                    return Err(invalid(format!(
                        "column {column} cannot be NOT NULL: rows already written have no value for it"
                    )));
                }
                let field = bridge::iceberg_field(&Field::new(name, arrow_type(ty, "ADD COLUMN")?, true), next_id)?;
                let field = Arc::new(NestedField { doc: doc.clone(), ..field });
                let at = index_of(siblings, position.as_ref(), column)?;
                siblings.insert(at.unwrap_or(siblings.len()), field);
                Ok(())
            })
        }
        SchemaChange::Drop { column, if_exists } => {
            let (name, parent) = split(column)?;
            let dropped = edit_struct(root, &parent, column, false, &mut |siblings| {
                let Some(at) = siblings.iter().position(|f| f.name == *name) else {
                    let depth = column.0.len() - 1;
                    return Err(unknown(column, depth, &siblings.iter().collect::<Vec<_>>()));
                };
                let ids = ids_of(&siblings[at]);
                if let Some((_, user)) = uses.iter().find(|(id, _)| ids.contains(id)) {
                    return Err(invalid(format!("column {column} cannot be dropped: {user}")));
                }
                if ids.iter().any(|id| identifiers.contains(id)) {
                    return Err(invalid(format!(
                        "column {column} cannot be dropped: it is one of the table's identifier fields"
                    )));
                }
                if siblings.len() == 1 {
                    return Err(invalid(format!("column {column} cannot be dropped: it is the only one")));
                }
                siblings.remove(at);
                Ok(())
            });
            match dropped {
                Err(e) if *if_exists && e.kind() == ErrorKind::NotFound => Ok(()),
                other => other,
            }
        }
        SchemaChange::Rename { column, to } => {
            let (name, parent) = split(column)?;
            edit_struct(root, &parent, column, false, &mut |siblings| {
                let at = position(siblings, name, column)?;
                if name == to {
                    return Ok(());
                }
                if to.is_empty() {
                    return Err(invalid(format!("column {column} cannot have an empty name")));
                }
                if siblings.iter().any(|f| f.name == *to) {
                    return Err(taken(&ColumnPath([parent.clone(), vec![to.clone()]].concat())));
                }
                siblings[at] = Arc::new(NestedField { name: to.clone(), ..NestedField::clone(&siblings[at]) });
                Ok(())
            })
        }
        SchemaChange::Widen { column, ty } => edit_field(root, &column.0, column, &mut |field| {
            let wanted =
                bridge::iceberg_field(&Field::new(column.to_string(), arrow_type(ty, "ALTER COLUMN")?, true), &mut 0)?;
            if !widens(&field.field_type, &wanted.field_type) {
                return Err(narrowing(column, &field.field_type, &wanted.field_type));
            }
            field.field_type = wanted.field_type;
            Ok(())
        }),
        SchemaChange::Move { column, position: target } => {
            let (name, parent) = split(column)?;
            edit_struct(root, &parent, column, false, &mut |siblings| {
                let at = position(siblings, name, column)?;
                if *target == ColumnPosition::After(name.clone()) {
                    return Err(invalid(format!("column {column} cannot be moved after itself")));
                }
                let moved = siblings.remove(at);
                let to = index_of(siblings, Some(target), column)?.unwrap_or(at);
                siblings.insert(to, moved);
                Ok(())
            })
        }
        SchemaChange::Comment { column, doc } => edit_field(root, &column.0, column, &mut |field| {
            field.doc.clone_from(doc);
            Ok(())
        }),
        SchemaChange::DropNotNull(column) => edit_field(root, &column.0, column, &mut |field| {
            if identifiers.contains(&field.id) {
                let why = "it is one of the table's identifier fields";
                return Err(invalid(format!("column {column} must stay NOT NULL: {why}")));
            }
            field.required = false;
            Ok(())
        }),
        SchemaChange::SetNotNull(column) => edit_field(root, &column.0, column, &mut |field| match field.required {
            true => Ok(()),
            false => Err(invalid(format!(
                "column {column} cannot become NOT NULL: rows already written may hold NULL in it, and Iceberg does not \
                 check; write the rows to a table whose column is NOT NULL"
            ))),
        }),
        SchemaChange::Identify(columns) => {
            identifiers.clear();
            for column in columns {
                edit_field(root, &column.0, column, &mut |field| {
                    if !field.required {
                        return Err(invalid(format!("column {column} can hold NULL, so it cannot identify rows")));
                    }
                    identifiers.push(field.id);
                    Ok(())
                })?;
            }
            Ok(())
        }
    }
}

/// Whether type `from` can be promoted to type `to` in format version 2, which keeps every value.
fn widens(from: &Type, to: &Type) -> bool {
    use PrimitiveType as P;
    let (Type::Primitive(from), Type::Primitive(to)) = (from, to) else { return from == to };
    match (from, to) {
        (P::Int, P::Long) | (P::Float, P::Double) => true,
        (P::Decimal { precision: p, scale: s }, P::Decimal { precision, scale }) => s == scale && p <= precision,
        (from, to) => from == to,
    }
}

fn narrowing(column: &ColumnPath, from: &Type, to: &Type) -> Error {
    use PrimitiveType as P;
    let possible = match from {
        Type::Primitive(P::Int) => "an int can become a BIGINT".to_string(),
        Type::Primitive(P::Float) => "a float can become a DOUBLE".to_string(),
        Type::Primitive(P::Decimal { precision, scale }) => {
            format!(
                "a decimal({precision}, {scale}) can get more digits before the point, with the same {scale} after it"
            )
        }
        other => format!("a {} keeps its type", kind(other)),
    };
    invalid(format!("column {column} cannot become a {}: {possible}", kind(to)))
}

fn kind(ty: &Type) -> String {
    match ty {
        Type::Primitive(p) => p.to_string(),
        Type::Struct(_) => "struct".to_string(),
        Type::List(_) => "list".to_string(),
        Type::Map(_) => "map".to_string(),
    }
}

fn split(column: &ColumnPath) -> Result<(&String, Vec<String>)> {
    match column.0.split_last() {
        Some((name, parent)) if !name.is_empty() => Ok((name, parent.to_vec())),
        _ => Err(invalid("a column needs a name")),
    }
}

type Edit<'a> = &'a mut dyn FnMut(&mut NestedField) -> Result<()>;

/// Changes the field at `path` within `field`. `column` names it in errors.
fn edit_field(field: &mut NestedField, path: &[String], column: &ColumnPath, edit: Edit<'_>) -> Result<()> {
    let Some((name, rest)) = path.split_first() else { return edit(field) };
    let depth = column.0.len().saturating_sub(path.len());
    let absent = |ty: &Type| unknown(column, depth, &children(ty));
    let changed = |inner: &NestedFieldRef, edit: Edit<'_>| {
        let mut inner = NestedField::clone(inner);
        edit_field(&mut inner, rest, column, edit).map(|()| Arc::new(inner))
    };
    let ty = match field.field_type.as_ref() {
        Type::Struct(s) => {
            let mut fields = s.fields().to_vec();
            let inner = fields.iter_mut().find(|f| f.name == *name).ok_or_else(|| absent(&field.field_type))?;
            *inner = changed(inner, edit)?;
            Type::Struct(StructType::new(fields))
        }
        Type::List(l) if l.element_field.name == *name => Type::List(ListType::new(changed(&l.element_field, edit)?)),
        Type::Map(m) if m.value_field.name == *name => {
            Type::Map(MapType::new(Arc::clone(&m.key_field), changed(&m.value_field, edit)?))
        }
        Type::Map(m) if m.key_field.name == *name => {
            return Err(invalid(format!("column {column}: the keys of a map cannot be changed")));
        }
        other => return Err(absent(other)),
    };
    *field.field_type = ty;
    Ok(())
}

/// Changes the fields of the struct at `parent`. With `through`, `parent` may also be a list of structs, or a map with
/// structs as values.
fn edit_struct(
    root: &mut NestedField,
    parent: &[String],
    column: &ColumnPath,
    through: bool,
    edit: &mut dyn FnMut(&mut Vec<NestedFieldRef>) -> Result<()>,
) -> Result<()> {
    edit_field(root, parent, &ColumnPath(parent.to_vec()), &mut |field| {
        let mut of_struct = |ty: &Type| -> Result<Option<Type>> {
            match ty {
                Type::Struct(s) => {
                    let mut fields = s.fields().to_vec();
                    edit(&mut fields)?;
                    Ok(Some(Type::Struct(StructType::new(fields))))
                }
                _ => Ok(None),
            }
        };
        let changed = match field.field_type.as_ref() {
            // As in Java, a column can be added to a list or map, which stands for the structs in the list or for the
            // values of the map.
            Type::List(l) if through => of_struct(&l.element_field.field_type)?.map(|ty| {
                let element = NestedField { field_type: Box::new(ty), ..NestedField::clone(&l.element_field) };
                Type::List(ListType::new(Arc::new(element)))
            }),
            Type::Map(m) if through => of_struct(&m.value_field.field_type)?.map(|ty| {
                let value = NestedField { field_type: Box::new(ty), ..NestedField::clone(&m.value_field) };
                Type::Map(MapType::new(Arc::clone(&m.key_field), Arc::new(value)))
            }),
            other => of_struct(other)?,
        };
        let Some(ty) = changed else {
            let parent = ColumnPath(parent.to_vec());
            return Err(invalid(format!("column {column}: {parent} is a {}, not a struct", kind(&field.field_type))));
        };
        *field.field_type = ty;
        Ok(())
    })
}

fn position(siblings: &[NestedFieldRef], name: &str, column: &ColumnPath) -> Result<usize> {
    let at = siblings.iter().position(|f| f.name == name);
    at.ok_or_else(|| unknown(column, column.0.len() - 1, &siblings.iter().collect::<Vec<_>>()))
}

/// The index of `target` among the siblings; `None` if there is no target.
fn index_of(
    siblings: &[NestedFieldRef],
    target: Option<&ColumnPosition>,
    column: &ColumnPath,
) -> Result<Option<usize>> {
    match target {
        None => Ok(None),
        Some(ColumnPosition::First) => Ok(Some(0)),
        Some(ColumnPosition::After(other)) => {
            let mut path = column.0.clone();
            path.pop();
            path.push(other.clone());
            Ok(Some(position(siblings, other, &ColumnPath(path))? + 1))
        }
    }
}

pub(super) fn children(ty: &Type) -> Vec<&NestedFieldRef> {
    match ty {
        Type::Primitive(_) => Vec::new(),
        Type::Struct(s) => s.fields().iter().collect(),
        Type::List(l) => vec![&l.element_field],
        Type::Map(m) => vec![&m.key_field, &m.value_field],
    }
}

/// The ids of a field and of all fields in it.
fn ids_of(field: &NestedFieldRef) -> Vec<i32> {
    let mut ids = vec![field.id];
    children(&field.field_type).into_iter().for_each(|f| ids.extend(ids_of(f)));
    ids
}

/// The error for a missing column, with the nearest name among its `siblings` at the `depth` where it is missing.
fn unknown(path: &ColumnPath, depth: usize, siblings: &[&NestedFieldRef]) -> Error {
    let wanted = path.0.get(depth).map(String::as_str).unwrap_or_default();
    let before = path.0[..depth.min(path.0.len())].iter().map(|p| format!("{p}.")).collect::<String>();
    let hint = match nearest(wanted, siblings.iter().map(|f| f.name.clone())) {
        Some(near) => format!("; did you mean {before}{near}?"),
        None if siblings.is_empty() => String::new(),
        None => {
            let names: Vec<_> = siblings.iter().map(|f| format!("{before}{}", f.name)).collect();
            format!("; there are {}", names.join(", "))
        }
    };
    Error::new(ErrorKind::NotFound, format!("column {path} not found{hint}"))
}

fn taken(column: &ColumnPath) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("column {column} already exists"))
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}

#[cfg(test)]
#[path = "tests/schema.rs"]
mod tests;
