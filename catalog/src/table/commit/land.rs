//! Landing: a commit becomes part of an existing table, or creates or redefines a table together with its rows.

use iceberg::table::Table;

use super::snapshot::{self, Prepared, Staged};
use super::{Commit, Committed};
use crate::error::{Error, ErrorKind, Result};
use crate::table::{NewTable, Warehouse, discard};

/// The destination of the files of a [`Commit`].
#[derive(Debug, Clone)]
pub enum Destination {
    /// The branch that the commit names, of an existing table.
    Branch,
    /// A new table from [`Warehouse::draft`], which becomes visible together with its first rows: the commit appends to
    /// it.
    Draft(Table),
    /// A new definition of an existing table, which the table gets together with its first rows. The table keeps its
    /// identity and history.
    Replacement {
        /// The table with `definition`, from [`Warehouse::replaced`]: the commit appends to it.
        draft: Table,
        /// The definition.
        definition: Box<NewTable>,
    },
}

impl Warehouse {
    /// Commits a change of a branch: [`Warehouse::land`] for [`Destination::Branch`].
    pub async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.land(Destination::Branch, commit).await
    }

    /// Makes a commit part of its destination, or fails and changes nothing.
    ///
    /// A replacement also replaces the rows of concurrent commits, which stay in the table's history.
    ///
    /// After an error other than `Unknown`, and after [`Committed::already`], the added files are orphan files, which
    /// the caller deletes. If the future is dropped the commit continues: whether it succeeded is then recorded in the
    /// table's history, under its key.
    ///
    /// # Errors
    /// `Conflict` if a concurrent commit changed what this commit relies on, which for a replacement is the table's
    /// columns and partitioning; `AlreadyExists` if a table with the draft's name exists meanwhile; `Unknown` if the
    /// commit state is unknown.
    pub async fn land(&self, destination: Destination, commit: Commit) -> Result<Committed> {
        let warehouse = self.clone();
        let landing = async move {
            let mut staged = Staged::new();
            let in_table = |e: Error| e.context(format_args!("table {}", commit.table));
            let outcome = match destination {
                Destination::Branch => warehouse.commit_with_retries(&commit, &mut staged).await.map_err(in_table),
                Destination::Draft(draft) => warehouse.create_filled(&draft, &commit, &mut staged).await,
                Destination::Replacement { draft, definition } => {
                    let replaced = warehouse.replace_filled(draft.metadata(), &definition, &commit, &mut staged).await;
                    replaced.map_err(in_table)
                }
            };
            let may_be_in_use = matches!(&outcome, Err(e) if e.kind() == ErrorKind::Unknown);
            if !may_be_in_use {
                staged.discard_unused().await;
            }
            outcome
        };
        tokio::spawn(landing)
            .await
            .map_err(|e| Error::new(ErrorKind::Unknown, "a commit task failed").with_source(e))?
    }

    /// Makes a draft visible with the rows of `commit`.
    async fn create_filled(&self, draft: &Table, commit: &Commit, staged: &mut Staged) -> Result<Committed> {
        let first = draft.metadata_location_result()?;
        self.write_draft(draft).await?;
        match snapshot::prepare(draft, commit, staged).await {
            Ok(Prepared::Done(committed)) => self.publish_draft(draft, first, &[]).await.map(|()| committed),
            Ok(Prepared::Ready(ready)) => {
                let made = async {
                    self.write_metadata(&ready.metadata, &ready.location).await?;
                    self.publish_draft(draft, &ready.location, &ready.updates).await
                };
                match made.await {
                    Ok(()) => {
                        staged.in_use(ready.manifests);
                        Ok(ready.committed)
                    }
                    Err(e) => {
                        if e.kind() != ErrorKind::Unknown {
                            discard(draft.file_io(), [ready.manifest_list, first.to_string()]).await;
                        }
                        Err(e)
                    }
                }
            }
            Err(e) => {
                discard(draft.file_io(), [first.to_string()]).await;
                Err(e)
            }
        }
    }
}
