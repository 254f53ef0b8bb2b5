//! Changes to a table's metadata alone: columns, partitioning, properties, references to snapshots.

use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use iceberg::table::Table;
use iceberg::{TableIdent, TableUpdate};
use tokio::time::Instant;

use super::Retry;
use crate::error::{ErrorKind, Result};
use crate::table::metadata_paths::{expired, next_location};
use crate::table::{Warehouse, discard};

/// Result of an alteration of the current metadata: the metadata's builder with the change, or `None` when there is
/// nothing to change.
type Changed = Result<Option<TableMetadataBuilder>>;

impl Warehouse {
    /// Changes the metadata of a table and returns the changed table, or fails and changes nothing.
    ///
    /// `change` is called with the current metadata and a builder over it, and again with newer metadata each time that
    /// a concurrent commit wins: it must check everything that it relies on. It should return an error of kind
    /// `Conflict` when a concurrent commit makes the change meaningless.
    pub async fn alter(
        &self,
        table: &TableIdent,
        change: impl Fn(&TableMetadata, TableMetadataBuilder) -> Changed + Send,
    ) -> Result<Table> {
        self.alter_here(table, change).await.map_err(|e| match e.kind() {
            ErrorKind::NotFound => e,
            _ => e.context(format_args!("table {table}")),
        })
    }

    async fn alter_here(
        &self,
        table: &TableIdent,
        change: impl Fn(&TableMetadata, TableMetadataBuilder) -> Changed + Send,
    ) -> Result<Table> {
        let began = Instant::now();
        let mut retries = 0;
        loop {
            let current = self.load(table).await?;
            let at = current.metadata_location_result()?;
            let builder = current.metadata().clone().into_builder(Some(at.to_string()));
            let Some(builder) = change(current.metadata(), builder)? else { return Ok(current) };
            let built = builder.build()?;
            let new = next_location(at, &built.metadata)?;
            self.write_metadata(&built.metadata, &new).await?;
            let catalog_writes = self.catalog().writes_metadata();
            let has_landed = |m: &TableMetadata| match catalog_writes {
                true => changes_nothing(m, &built.changes),
                // Each metadata file lists those before it.
                false => m.metadata_log().iter().any(|log| log.metadata_file == new),
            };
            let published = self.swap(&current, &new, &built.changes, has_landed).await;
            match published.map_err(|e| e.into_error(|| unknown(&new))) {
                Ok(true) if catalog_writes => return self.load(table).await,
                Ok(true) => {
                    let expired = expired(&built.metadata, built.expired_metadata_logs);
                    self.delete_expired(&current, expired).await;
                    return self.table(table, &new, built.metadata);
                }
                Ok(false) => discard(current.file_io(), [new]).await,
                Err(e) => {
                    if e.kind() != ErrorKind::Unknown {
                        discard(current.file_io(), [new]).await;
                    }
                    return Err(e);
                }
            }
            retries += 1;
            Retry::of(current.metadata()).back_off(table, retries, began).await?;
        }
    }
}

/// Whether the updates leave this metadata unchanged: then they have already been applied to it.
fn changes_nothing(metadata: &TableMetadata, updates: &[TableUpdate]) -> bool {
    let mut updates = updates.iter().cloned();
    let applied = updates.try_fold(metadata.clone().into_builder(None), |builder, update| update.apply(builder));
    let Ok(applied) = applied.and_then(TableMetadataBuilder::build) else { return false };
    let without_time = |metadata: &TableMetadata| {
        let mut json = serde_json::to_value(metadata).unwrap_or_default();
        json.as_object_mut().map(|fields| fields.remove("last-updated-ms"));
        json
    };
    without_time(&applied.metadata) == without_time(metadata)
}

fn unknown(metadata_file: &str) -> String {
    format!(
        "it is unknown whether the change happened; it did if the table's metadata file is {metadata_file} or lists it"
    )
}
