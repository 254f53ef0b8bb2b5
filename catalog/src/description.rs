//! Iceberg's metadata of a table in plain values, for `SHOW` and `DESCRIBE`.

use std::collections::{BTreeMap, HashMap};

use iceberg::TableIdent;
use iceberg::spec::TableMetadata;

use crate::describe::{create_table_statement, partition_terms, table_sort_terms};
use crate::error::Result;
use crate::table::Warehouse;
use crate::table::evolve::COMMENT;

/// The properties of a table besides its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDescription {
    /// Comments of columns, by the columns' names; those without one are left out.
    pub column_comments: HashMap<String, String>,
    /// The fields of the partition spec: their names, and the SQL terms that they are derived from.
    pub partitioning: Vec<(String, String)>,
    /// The terms of the sort order, as SQL.
    pub sort_order: Vec<String>,
    /// The table's own comment.
    pub comment: Option<String>,
    /// The URI of the table's folder.
    pub location: String,
    /// The version of Iceberg's table format, such as `v2`.
    pub format_version: String,
    /// The table's identity, which does not depend on its name.
    pub uuid: String,
    /// The snapshot that the main branch is at; `None` for a table without one.
    pub snapshot_id: Option<i64>,
    /// Table properties, the comment among them.
    pub properties: BTreeMap<String, String>,
}

impl TableDescription {
    fn of(metadata: &TableMetadata) -> Self {
        let properties = metadata.properties();
        let fields = metadata.current_schema().as_struct().fields();
        Self {
            column_comments: fields.iter().filter_map(|f| Some((f.name.clone(), f.doc.clone()?))).collect(),
            partitioning: partition_terms(metadata),
            sort_order: table_sort_terms(metadata),
            comment: properties.get(COMMENT).cloned(),
            location: metadata.location().to_string(),
            format_version: metadata.format_version().to_string(),
            uuid: metadata.uuid().to_string(),
            snapshot_id: metadata.current_snapshot_id(),
            properties: properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }
}

impl Warehouse {
    /// Describes the current state of a table. `NotFound` if there is no such table.
    pub async fn describe_table(&self, table: &TableIdent) -> Result<TableDescription> {
        Ok(TableDescription::of(self.load(table).await?.metadata()))
    }

    /// The `CREATE TABLE` that creates the same table without its rows. `NotFound` if there is no such table.
    pub async fn create_table_statement(&self, table: &TableIdent) -> Result<String> {
        Ok(create_table_statement(table, self.load(table).await?.metadata(), self.location()))
    }
}
