//! The metadata of a table as rows: `raw."events$snapshots"`, `raw."events$files"` and so on, in one module each.
//!
//! Columns are named as in Spark. A partition is text, `day=2026-02-14/type=view`, since tables whose
//! partitioning was changed have partitions of several types. Rows are made when the table is scanned, from the state
//! of the table that the statement reads: `raw."events$files" VERSION AS OF 3` lists the files of that snapshot.

mod entries;
mod files;
mod history;
mod manifests;
mod partitions;
mod refs;
mod snapshots;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::TableType;
use iceberg::spec::{Datum, Transform};

use crate::deferred::Deferred;
use crate::error::{Error, ErrorKind, Result};
use crate::read::IcebergTable;
use crate::table::partition_value::{human, partition_text};
use crate::table::version::Version;

/// The metadata tables that every table has.
pub const METADATA_TABLES: [&str; 7] = ["snapshots", "history", "refs", "files", "manifests", "partitions", "entries"];

/// One of the metadata tables of a table.
#[derive(Debug)]
pub struct MetadataTable {
    table: Arc<IcebergTable>,
    kind: &'static str,
    schema: SchemaRef,
}

impl MetadataTable {
    /// The metadata table `kind` of `table`; `None` when there is no such kind.
    pub fn new(table: Arc<IcebergTable>, kind: &str) -> Result<Option<Self>> {
        let Some(kind) = METADATA_TABLES.into_iter().find(|known| *known == kind) else { return Ok(None) };
        let metadata = table.table().metadata();
        let nothing = match kind {
            "snapshots" => snapshots::rows(&[]),
            "history" => history::rows(&[]),
            "refs" => refs::rows(&[]),
            "files" => files::rows(metadata, &[]),
            "manifests" => manifests::rows(metadata, &[]),
            "partitions" => partitions::rows(&[]),
            _ => entries::rows(metadata, &[]),
        };
        Ok(Some(Self { table, kind, schema: nothing?.schema() }))
    }

    /// The same metadata table of another state of its table.
    ///
    /// # Errors
    /// `NotFound` if there is no such snapshot, branch or tag.
    pub fn at(&self, version: &Version) -> Result<Self> {
        let table = Arc::new(self.table.at(version)?);
        Ok(Self { table, kind: self.kind, schema: Arc::clone(&self.schema) })
    }

    async fn read(&self) -> Result<RecordBatch> {
        match self.kind {
            "snapshots" => snapshots::read(&self.table),
            "history" => history::read(&self.table),
            "refs" => refs::read(&self.table),
            "files" => files::read(&self.table).await,
            "manifests" => manifests::read(&self.table).await,
            "partitions" => partitions::read(&self.table).await,
            _ => entries::read(&self.table).await,
        }
    }
}

#[async_trait]
impl Deferred for MetadataTable {
    const TYPE: TableType = TableType::View;

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn resolve(&self) -> Result<Arc<dyn TableProvider>> {
        let rows = MemTable::try_new(self.schema(), vec![vec![self.read().await?]]);
        Ok(Arc::new(rows.map_err(internal)?))
    }
}

/// A column of a metadata table.
struct Column {
    field: Field,
    values: ArrayRef,
}

/// A column that always has a value.
fn required(name: &str, values: impl Array + 'static) -> Column {
    Column { field: Field::new(name, values.data_type().clone(), false), values: Arc::new(values) }
}

/// A column whose value is not always known.
fn optional(name: &str, values: impl Array + 'static) -> Column {
    Column { field: Field::new(name, values.data_type().clone(), true), values: Arc::new(values) }
}

fn batch(columns: Vec<Column>) -> Result<RecordBatch> {
    let (fields, values): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().map(|c| (c.field, c.values)).unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values).map_err(internal)
}

fn internal(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "building a metadata table").with_source(e)
}

/// Counts and sizes, which are unsigned in Iceberg and have no such type in SQL.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A bound as readable text: a date as a date.
fn bound_text(bound: &Datum) -> String {
    human(&Transform::Identity, bound.data_type(), Some(bound.literal()))
}
