//! Results of the catalog calls: catalogs, schemas (namespaces), tables, table types and keys.
//!
//! Each call has a schema, known without the backend, and a batch. arrow-flight filters and sorts the rows.

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::{CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables};

use crate::backend::Backend;
use crate::error::Result;
use crate::login::Caller;

/// The values of [`TableInfo::kind`](crate::TableInfo::kind).
pub(crate) const TABLE_TYPES: [&str; 2] = ["TABLE", "VIEW"];

pub(crate) fn catalogs(call: CommandGetCatalogs, backend: &dyn Backend) -> Result<RecordBatch> {
    let mut rows = call.into_builder();
    rows.append(backend.catalog_name());
    Ok(rows.build()?)
}

pub(crate) async fn schemas(
    call: CommandGetDbSchemas,
    backend: &dyn Backend,
    caller: Option<&Caller>,
) -> Result<RecordBatch> {
    let mut rows = call.into_builder();
    for namespace in backend.namespaces(caller).await? {
        rows.append(backend.catalog_name(), namespace);
    }
    Ok(rows.build()?)
}

pub(crate) async fn tables(
    call: CommandGetTables,
    backend: &dyn Backend,
    caller: Option<&Caller>,
) -> Result<RecordBatch> {
    let mut rows = call.into_builder();
    for table in backend.tables(caller).await? {
        rows.append(backend.catalog_name(), table.namespace, table.name, table.kind, &table.schema)?;
    }
    Ok(rows.build()?)
}

pub(crate) fn table_types(call: CommandGetTableTypes) -> Result<RecordBatch> {
    let mut rows = call.into_builder();
    for kind in TABLE_TYPES {
        rows.append(kind);
    }
    Ok(rows.build()?)
}

/// Iceberg tables have no enforced primary keys, and JDBC tools request the keys of each table they show: an empty
/// result is correct, while an error would be shown to the user.
pub(crate) static PRIMARY_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
});

/// Imported keys, exported keys and cross references: all three have the same columns, and no rows for the same reason.
pub(crate) static FOREIGN_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
});
