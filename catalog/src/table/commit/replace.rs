//! Replaces the definition of a table, together with its first rows.

use iceberg::spec::TableMetadata;
use iceberg::table::Table;
use iceberg::{TableIdent, TableUpdate};
use tokio::time::Instant;

use super::snapshot::{self, Prepared, Staged};
use super::{Commit, Committed, Retry, find_commit};
use crate::error::{Error, ErrorKind, Result};
use crate::table::evolve::replacement;
use crate::table::{NewTable, Warehouse};

impl Warehouse {
    /// The table with the definition `new`, for writing rows for it; it is not visible to anyone else. `None` if there
    /// is no table.
    pub async fn replaced(&self, table: &TableIdent, new: &NewTable) -> Result<Option<Table>> {
        match self.find(table).await? {
            Some(current) => Ok(Some(self.replaced_now(&current, new)?.0)),
            None => Ok(None),
        }
    }

    /// The current table with the definition `new`, and the updates that lead to it.
    fn replaced_now(&self, current: &Table, new: &NewTable) -> Result<(Table, Vec<TableUpdate>)> {
        let metadata = current.metadata();
        let built = replacement(metadata, metadata.clone().into_builder(None), new)?.build()?;
        let table = self.table(current.identifier(), current.metadata_location_result()?, built.metadata)?;
        Ok((table, built.changes))
    }

    /// Gives the table a new definition, without rows. It keeps its identity and history.
    pub async fn replace(&self, table: &TableIdent, new: &NewTable) -> Result<Table> {
        self.alter(table, |metadata, builder| replacement(metadata, builder, new).map(Some)).await
    }

    /// Gives the table a new definition and the rows of `commit` atomically; the rows were written for `draft`.
    pub(super) async fn replace_filled(
        &self,
        draft: &TableMetadata,
        new: &NewTable,
        commit: &Commit,
        staged: &mut Staged,
    ) -> Result<Committed> {
        let began = Instant::now();
        let mut retries = 0;
        loop {
            let conflict = |what: &str| Err(Error::new(ErrorKind::Conflict, what));
            let Some(current) = self.find(&commit.table).await? else {
                return conflict("it was dropped since this write began");
            };
            if let Some(done) = find_commit(current.metadata(), &commit.branch, &commit.key) {
                let snapshot_id = Some(done.snapshot_id());
                return Ok(Committed { snapshot_id, already: true, retries, ..Committed::default() });
            }
            let (replaced, definition) = self.replaced_now(&current, new)?;
            let now = replaced.metadata();
            if now.uuid() != draft.uuid() {
                return conflict("it was dropped and created again since this write began");
            }
            let same_files = now.current_schema() == draft.current_schema()
                && now.default_partition_spec() == draft.default_partition_spec();
            if !same_files {
                return conflict("its columns or its partitioning were changed since this write began");
            }
            let mut ready = match snapshot::prepare(&replaced, commit, staged).await? {
                Prepared::Ready(ready) => ready,
                // Without rows there is no snapshot, but the table becomes empty.
                Prepared::Done(committed) => {
                    self.replace(&commit.table, new).await?;
                    return Ok(Committed { retries, ..committed });
                }
            };
            ready.updates.splice(0..0, definition);
            if let Some(committed) = self.write_and_swap(&current, commit, *ready, staged).await? {
                return Ok(Committed { retries, ..committed });
            }
            retries += 1;
            Retry::of(current.metadata()).back_off(&commit.table, retries, began).await?;
        }
    }
}
