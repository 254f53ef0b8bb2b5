//! Changes to a table's metadata alone: columns, partitioning, properties, references to snapshots.

use iceberg::MetadataLocation;
use iceberg::TableIdent;
use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use iceberg::table::Table;
use tokio::time::Instant;

use super::Retry;
use super::snapshot::next_location;
use crate::error::{ErrorKind, Result};
use crate::table::{Warehouse, write_metadata};

/// What an alteration makes of the table as it finds it: the metadata's builder with the change, or `None` when there is
/// nothing to change.
type Changed = Result<Option<TableMetadataBuilder>>;

impl Warehouse {
    /// Changes the metadata of a table, or fails and changes nothing; gives the table as it is then.
    ///
    /// `change` is called with the present metadata and a builder over it, and again with newer metadata each time that another writer was quicker:
    /// what it relies on must be checked in it. It should return an error of kind `Conflict` when another writer has done
    /// what makes it meaningless.
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
            let new = next_location(current.metadata(), at, &built.metadata)?;
            self.write_new(&built.metadata, &new).await?;
            let new = new.to_string();
            // Each metadata file lists those before it.
            let has_landed = |m: &TableMetadata| m.metadata_log().iter().any(|log| log.metadata_file == new);
            match self.publish(&current, &new, has_landed).await.map_err(|doubt| doubt.told(|| unknown(&new))) {
                Ok(true) => return self.table(table, &new, built.metadata),
                Ok(false) => self.discard([new]).await,
                Err(e) => {
                    if e.kind() != ErrorKind::Unknown {
                        self.discard([new]).await;
                    }
                    return Err(e);
                }
            }
            retries += 1;
            Retry::of(current.metadata()).again(table, retries, began).await?;
        }
    }

    async fn write_new(&self, metadata: &TableMetadata, at: &MetadataLocation) -> Result<()> {
        let written = write_metadata(self.file_io(), metadata, at).await;
        if written.is_err() {
            self.discard([at.to_string()]).await;
        }
        written
    }
}

fn unknown(metadata_file: &str) -> String {
    format!("it is unknown whether the change happened; it did if the table's metadata is {metadata_file} or names it")
}
