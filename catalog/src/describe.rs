//! Tables and views as SQL, for `SHOW CREATE` and `DESCRIBE`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use bergmill_statement::{identifier, quoted};
use iceberg::TableIdent;
use iceberg::spec::{NestedFieldRef, NullOrder, PrimitiveType, Schema, SortDirection, SortOrder, TableMetadata, Type};

use crate::statement_types::transform_text;
use crate::table::evolve::COMMENT;
use crate::table::views::View;

/// A `CREATE TABLE` that creates the same table without its rows. It has the table's location if that is not in the
/// folder `warehouse`, the default.
pub fn create_table_statement(table: &TableIdent, metadata: &TableMetadata, warehouse: &str) -> String {
    let schema = metadata.current_schema();
    let mut sql = format!("CREATE TABLE {} (\n", name(table));
    let column = |f: &NestedFieldRef| {
        let required = if f.required { " NOT NULL" } else { "" };
        let doc = f.doc.as_ref().map_or_else(String::new, |text| format!(" COMMENT {}", quoted(text)));
        format!("  {} {}{required}{doc}", identifier(&f.name), sql_type(&f.field_type))
    };
    sql += &schema.as_struct().fields().iter().map(column).collect::<Vec<_>>().join(",\n");
    sql += "\n)";
    let properties = ordered(metadata.properties());
    if let Some(text) = properties.get(COMMENT) {
        let _ = write!(sql, "\nCOMMENT {}", quoted(text));
    }
    let partitioned = partition_terms(metadata);
    if !partitioned.is_empty() {
        let terms: Vec<_> = partitioned.into_iter().map(|(_, term)| term).collect();
        let _ = write!(sql, "\nPARTITIONED BY ({})", terms.join(", "));
    }
    let sorted = sort_terms(metadata.default_sort_order(), schema);
    if !sorted.is_empty() {
        let _ = write!(sql, "\nSORTED BY ({})", sorted.join(", "));
    }
    let at_home = metadata.location().strip_prefix(warehouse).is_some_and(|rest| rest.starts_with('/'));
    if !at_home {
        let _ = write!(sql, "\nLOCATION {}", quoted(metadata.location()));
    }
    sql + &tblproperties(&properties)
}

/// A `CREATE VIEW` that creates the same view.
pub fn create_view_statement(view: &View) -> crate::error::Result<String> {
    let docs = view.docs();
    let mut sql = format!("CREATE VIEW {}", name(view.ident()));
    if !docs.is_empty() {
        let column = |f: &arrow::datatypes::FieldRef| match docs.get(f.name()) {
            Some(text) => format!("{} COMMENT {}", identifier(f.name()), quoted(text)),
            None => identifier(f.name()),
        };
        let columns: Vec<_> = view.columns()?.fields().iter().map(column).collect();
        let _ = write!(sql, " ({})", columns.join(", "));
    }
    if let Some(text) = view.comment() {
        let _ = write!(sql, "\nCOMMENT {}", quoted(text));
    }
    sql += &tblproperties(&ordered(view.properties()));
    let _ = write!(sql, "\nAS {}", view.sql()?);
    Ok(sql)
}

fn tblproperties(properties: &BTreeMap<&str, &str>) -> String {
    let pair = |(key, value): (&&str, &&str)| format!("  {} = {}", quoted(key), quoted(value));
    let pairs: Vec<_> = properties.iter().filter(|(key, _)| **key != COMMENT).map(pair).collect();
    if pairs.is_empty() { String::new() } else { format!("\nTBLPROPERTIES (\n{}\n)", pairs.join(",\n")) }
}

fn ordered(properties: &HashMap<String, String>) -> BTreeMap<&str, &str> {
    properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// The fields of the table's partition spec: names, and the terms that they are derived from.
pub fn partition_terms(metadata: &TableMetadata) -> Vec<(String, String)> {
    let schema = metadata.current_schema();
    let fields = metadata.default_partition_spec().fields().iter();
    fields.map(|f| (f.name.clone(), transform_text(f.transform, &source(schema, f.source_id)))).collect()
}

/// The terms of the table's sort order.
pub fn table_sort_terms(metadata: &TableMetadata) -> Vec<String> {
    sort_terms(metadata.default_sort_order(), metadata.current_schema())
}

fn sort_terms(order: &SortOrder, schema: &Schema) -> Vec<String> {
    let term = |f: &iceberg::spec::SortField| {
        let direction = if f.direction == SortDirection::Ascending { "ASC" } else { "DESC" };
        let nulls = if f.null_order == NullOrder::First { "FIRST" } else { "LAST" };
        format!("{} {direction} NULLS {nulls}", transform_text(f.transform, &source(schema, f.source_id)))
    };
    order.fields.iter().map(term).collect()
}

fn source(schema: &Schema, id: i32) -> String {
    let name = schema.name_by_field_id(id).unwrap_or("?");
    name.split('.').map(identifier).collect::<Vec<_>>().join(".")
}

/// The SQL name of a type.
pub fn sql_type(ty: &Type) -> String {
    match ty {
        Type::Primitive(p) => match p {
            PrimitiveType::Boolean => "BOOLEAN".to_string(),
            PrimitiveType::Int => "INT".to_string(),
            PrimitiveType::Long => "BIGINT".to_string(),
            PrimitiveType::Float => "REAL".to_string(),
            PrimitiveType::Double => "DOUBLE".to_string(),
            PrimitiveType::Decimal { precision, scale } => format!("DECIMAL({precision}, {scale})"),
            PrimitiveType::Date => "DATE".to_string(),
            PrimitiveType::Time => "TIME".to_string(),
            PrimitiveType::Timestamp => "TIMESTAMP".to_string(),
            PrimitiveType::Timestamptz => "TIMESTAMP WITH TIME ZONE".to_string(),
            PrimitiveType::TimestampNs => "TIMESTAMP(9)".to_string(),
            PrimitiveType::TimestamptzNs => "TIMESTAMP(9) WITH TIME ZONE".to_string(),
            PrimitiveType::String => "TEXT".to_string(),
            PrimitiveType::Uuid => "UUID".to_string(),
            PrimitiveType::Fixed(_) | PrimitiveType::Binary => "BYTEA".to_string(),
        },
        Type::Struct(s) => {
            let field = |f: &NestedFieldRef| format!("{} {}", identifier(&f.name), sql_type(&f.field_type));
            format!("STRUCT<{}>", s.fields().iter().map(field).collect::<Vec<_>>().join(", "))
        }
        Type::List(l) => format!("{}[]", sql_type(&l.element_field.field_type)),
        Type::Map(m) => format!("MAP<{}, {}>", sql_type(&m.key_field.field_type), sql_type(&m.value_field.field_type)),
    }
}

fn name(ident: &TableIdent) -> String {
    let levels = ident.namespace().as_ref().iter().map(String::as_str).chain([ident.name()]);
    levels.map(identifier).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge;
    use crate::error::Result;
    use crate::table::NewTable;
    use bergmill_statement::{Statement, parse};
    use iceberg::spec::{FormatVersion, TableMetadataBuilder};

    /// The metadata of the table that a `CREATE TABLE` defines, with the columns that DataFusion would have planned.
    fn made(sql: &str, columns: &Schema) -> Result<TableMetadata> {
        let Statement::Sql(create) = parse(sql)? else { panic!("{sql}") };
        let new = NewTable::define(&bridge::plain_arrow_schema(columns)?, &create.clauses)?;
        let location = new.location.unwrap_or_else(|| "file:///t".to_string());
        let (spec, order) = (new.partition_spec, new.sort_order);
        let builder = TableMetadataBuilder::new(new.schema, spec, order, location, FormatVersion::V2, new.properties)?;
        Ok(builder.build()?.metadata)
    }

    #[test]
    fn the_statement_makes_the_same_table() {
        let sql = "CREATE TABLE raw.\"Orders\" (\n  \
                   id BIGINT NOT NULL COMMENT 'it''s the key',\n  \
                   \"Kind\" TEXT,\n  \
                   \"order\" DECIMAL(10, 2),\n  \
                   at TIMESTAMP WITH TIME ZONE,\n  \
                   lines STRUCT<sku TEXT, n INT>[]\n\
                   )\nCOMMENT 'all of them'\nPARTITIONED BY (day(at), \"Kind\", bucket(4, id))\n\
                   SORTED BY (id DESC NULLS FIRST, truncate(2, \"Kind\") ASC NULLS LAST)\nLOCATION 'file:///t'\n\
                   TBLPROPERTIES (\n  'a' = '1',\n  'b' = '2'\n)";
        use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};
        let line = vec![Field::new("sku", DataType::Utf8, true), Field::new("n", DataType::Int32, true)];
        let columns = ArrowSchema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("Kind", DataType::Utf8, true),
            Field::new("order", DataType::Decimal128(10, 2), true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("lines", DataType::new_list(DataType::Struct(line.into()), true), true),
        ]);
        let metadata = made(sql, &bridge::iceberg_schema(&columns).unwrap()).unwrap();
        let ident = TableIdent::from_strs(["raw", "Orders"]).unwrap();
        assert_eq!(create_table_statement(&ident, &metadata, "file:///wh"), sql);
        let at_home = create_table_statement(&ident, &metadata, "file://");
        assert_eq!(at_home, sql.replace("LOCATION 'file:///t'\n", ""));
    }
}
