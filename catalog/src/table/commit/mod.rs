//! Commits: how data files that were written become part of a table, all at once or not at all.
//!
//! A commit is a plan made from the table's metadata and manifests (`plan`, without I/O), the files that the plan calls
//! for (`snapshot`), and one conditional write: the catalog moves the table's pointer from the metadata that the plan
//! was made from to the new one. Whoever loses that race plans again on what the winner left. What is promised:
//!
//! - Readers see the old snapshot or the new one. A writer that dies leaves files that nothing refers to.
//! - A replacing commit fails with `Conflict` if another writer changed the replaced partitions since its base, and one
//!   that overwrites files if another changed what its statement read; an append never does, unless the table's schema
//!   or partitioning changed.
//! - The same [`CommitKey`] commits once, for as long as its snapshot is in the table's retained history.
//! - An outcome that the catalog could not tell is looked up. If even that is not possible the error is of kind
//!   `Unknown`, and no file is removed.
//!
//! The iceberg crate's transactions are not used: they append only, and they cannot be retried with other decisions.

mod alter;
mod cherry_pick;
mod history;
mod land;
mod overwrite;
mod partitions;
mod plan;
mod replace;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use iceberg::spec::{DataFile, TableMetadata};
use iceberg::table::Table;
use iceberg::{TableIdent, TableUpdate};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub use cherry_pick::CherryPick;
pub(crate) use cherry_pick::Picked;
pub use history::{COMMIT_KEY, ancestors, ancestors_of, find_commit, head};
pub use iceberg::spec::MAIN_BRANCH;
pub use land::Destination;
pub use overwrite::{Isolation, Overwrite, ReadFilter};
pub use partitions::Replaced;
pub use plan::Tally;
use snapshot::{Prepared, Ready, Staged};

use crate::error::{Error, ErrorKind, Result};
use crate::pointers::store::{Change, TableEntry};
use crate::table::{Warehouse, discard};

/// Names a piece of work, such as a step of a pipeline for a date: work that has a snapshot is not committed again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitKey(String);

impl CommitKey {
    /// The key of work that can be recognised when it is done again.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// A key for work that is done once, such as an `INSERT` that a user types.
    pub fn unique() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a writer relied on when it began: take it from the table that the statement was planned with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The table, as opposed to a later one of the same name.
    pub uuid: Uuid,
    /// The snapshot that the branch was at; `None` for an empty table.
    pub snapshot_id: Option<i64>,
    /// The schema that the added files were written with.
    pub schema_id: i32,
    /// The partition spec that the added files were written with.
    pub spec_id: i32,
}

impl Base {
    /// The present state of a branch of the table.
    pub fn of(table: &Table, branch: &str) -> Self {
        let metadata = table.metadata();
        Self {
            uuid: metadata.uuid(),
            snapshot_id: head(metadata, branch).map(|s| s.snapshot_id()),
            schema_id: metadata.current_schema_id(),
            spec_id: metadata.default_partition_spec_id(),
        }
    }
}

/// What a commit does to the rows that are there.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Adds to them. Without files it does nothing and makes no snapshot.
    Append,
    /// Puts its files in the place of others. Makes a snapshot also when there is nothing to remove and nothing to add,
    /// so that the table tells that this has run.
    Replace(Replaced),
    /// Puts its files in the place of certain files, because of what their rows are.
    Overwrite(Overwrite),
    /// Takes out all that is there when the commit happens, whoever wrote it.
    Truncate,
    /// Does again what a snapshot did that is not in the branch's history, with its files. Makes a snapshot in any
    /// case.
    CherryPick(CherryPick),
}

/// A change to a table.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The table to change.
    pub table: TableIdent,
    /// The branch that the new snapshot goes to: [`MAIN_BRANCH`], or another that is there.
    pub branch: String,
    /// What the writer relied on.
    pub base: Base,
    /// What happens to the rows that are there.
    pub operation: Operation,
    /// Data files of the base's schema and partition spec.
    pub added: Vec<DataFile>,
    /// Names the work; see [`CommitKey`].
    pub key: CommitKey,
    /// Further entries of the snapshot's summary.
    pub summary: BTreeMap<String, String>,
}

impl Commit {
    /// A change of a branch of `table`, as the table is there, without files and without summary entries.
    pub fn new(table: &Table, branch: &str, operation: Operation, key: CommitKey) -> Self {
        Self {
            table: table.identifier().clone(),
            branch: branch.to_string(),
            base: Base::of(table, branch),
            operation,
            added: Vec::new(),
            key,
            summary: BTreeMap::new(),
        }
    }
}

/// What became of a [`Commit`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The snapshot with the change; the branch's present one, if any, when there was nothing to do.
    pub snapshot_id: Option<i64>,
    /// The same work was committed before, as `snapshot_id`. The files of this commit are not in the table: delete
    /// them.
    pub already: bool,
    /// How often another writer was quicker.
    pub retries: u32,
    /// What came.
    pub added: Tally,
    /// What went.
    pub removed: Tally,
}

impl Warehouse {
    async fn commit_with_retries(&self, commit: &Commit, staged: &mut Staged) -> Result<Committed> {
        let began = Instant::now();
        let mut retries = 0;
        loop {
            let Some(table) = self.find(&commit.table).await? else {
                return Err(Error::new(ErrorKind::Conflict, "it was dropped since this write began"));
            };
            let policy = Retry::of(table.metadata());
            let ready = match snapshot::prepare(&table, commit, staged).await? {
                Prepared::Done(mut committed) => {
                    committed.retries = retries;
                    return Ok(committed);
                }
                Prepared::Ready(ready) => ready,
            };
            if let Some(committed) = self.write_and_swap(&table, commit, *ready, staged).await? {
                return Ok(Committed { retries, ..committed });
            }
            retries += 1;
            policy.again(&commit.table, retries, began).await?;
        }
    }

    /// The last step of an attempt: the metadata is written and made the table's. `None` if another writer was quicker.
    /// What turns out to be of no use is deleted, but for manifests, which the next attempt may take over.
    async fn write_and_swap(
        &self,
        table: &Table,
        commit: &Commit,
        ready: Ready,
        staged: &mut Staged,
    ) -> Result<Option<Committed>> {
        let new = ready.location.clone();
        if let Err(e) = self.write_metadata(&ready.metadata, &ready.location).await {
            discard(table.file_io(), [ready.manifest_list]).await;
            return Err(e);
        }
        let has_landed = |m: &TableMetadata| m.snapshot_by_id(staged.snapshot_id).is_some();
        let published = self.swap(table, &new, &ready.updates, has_landed).await;
        match published.map_err(|e| e.into_error(|| unknown(commit, staged.snapshot_id))) {
            Ok(true) => {
                staged.in_use(ready.manifests);
                self.delete_expired(table, ready.expired).await;
                Ok(Some(ready.committed))
            }
            Ok(false) => {
                discard(table.file_io(), [new, ready.manifest_list]).await;
                Ok(None)
            }
            Err(e) => {
                if e.kind() != ErrorKind::Unknown {
                    discard(table.file_io(), [new, ready.manifest_list]).await;
                }
                Err(e)
            }
        }
    }

    /// Deletes metadata files that the table asked its writer to delete, after the commit that made them needless.
    async fn delete_expired(&self, table: &Table, expired: Vec<String>) {
        // A catalog that writes the files deletes them too.
        if !self.catalog().writes_metadata() {
            discard(table.file_io(), expired).await;
        }
    }

    /// Makes the metadata at `new`, to which `updates` lead, the table's; false if another writer was quicker.
    ///
    /// When the catalog cannot tell what happened, the table can: it points to `new`, or has come to hold what we did
    /// since, which `has_landed` tells. While it still points to the old metadata, our request may yet arrive, so the
    /// same request is repeated: whichever arrives first makes the other void.
    async fn swap(
        &self,
        table: &Table,
        new: &str,
        updates: &[TableUpdate],
        has_landed: impl Fn(&TableMetadata) -> bool,
    ) -> std::result::Result<bool, SwapError> {
        const TRIES: u32 = 5;
        let ident = table.identifier();
        let old = table.metadata_location_result().map_err(|e| SwapError::Failed(e.into()))?;
        let change = Change { table: ident, base: Some((old, table.metadata())), location: new, updates };
        let mut unknown_state = None;
        for attempt in 1..=TRIES {
            match self.catalog().commit(&change).await {
                Ok(true) => return Ok(true),
                Ok(false) if unknown_state.is_none() => return Ok(false),
                Err(e) if unknown_state.is_none() && e.kind() != ErrorKind::Unknown => {
                    return Err(SwapError::Failed(e));
                }
                Ok(false) => {}
                Err(e) => unknown_state = Some(e),
            }
            match self.catalog().find(ident).await {
                Ok(Some(found)) if found.location == new => return Ok(true),
                Ok(Some(TableEntry { metadata: Some(now), location, .. })) if location != old => {
                    return Ok(has_landed(&now));
                }
                Ok(Some(found)) if found.location != old => {
                    let now = self.load_at(ident, &found.location).await.map_err(SwapError::CommitStateUnknown)?;
                    return Ok(has_landed(now.metadata()));
                }
                // A table that is gone may have been renamed after our commit.
                Ok(_) | Err(_) => {}
            }
            if attempt < TRIES {
                sleep(Duration::from_millis(20 << attempt)).await;
            }
        }
        Err(SwapError::CommitStateUnknown(
            unknown_state.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "the table is gone")),
        ))
    }
}

/// Why a pointer was not seen to move.
enum SwapError {
    /// It did not move, and will not.
    Failed(Error),
    /// It may have moved: the catalog's answer was lost, and what it holds now does not show it.
    CommitStateUnknown(Error),
}

impl SwapError {
    /// The error to report; if the state is unknown, with what `how_to_find_out` returns as its message.
    fn into_error(self, how_to_find_out: impl FnOnce() -> String) -> Error {
        match self {
            Self::Failed(e) => e,
            Self::CommitStateUnknown(cause) => Error::new(ErrorKind::Unknown, how_to_find_out()).with_source(cause),
        }
    }
}

/// The table's history in the words of SQL.
fn history(table: &TableIdent) -> String {
    format!("{}.\"{}$snapshots\"", table.namespace(), table.name().replace('"', "\"\""))
}

fn unknown(commit: &Commit, snapshot_id: i64) -> String {
    format!(
        "it is unknown whether the commit happened; it did if SELECT summary FROM {} WHERE snapshot_id = {snapshot_id} \
         finds a row, which has {COMMIT_KEY}={}; committing again under this key is safe, any other way may write the \
         rows twice",
        history(&commit.table),
        commit.key
    )
}

/// How often and how patiently a lost race is run again. The table's `commit.retry.*` properties overrule the defaults,
/// which suit many writers on one machine: a commit takes milliseconds there, and each lost race is another's success.
#[derive(Debug)]
struct Retry {
    retries: u32,
    min_wait: Duration,
    max_wait: Duration,
    total: Duration,
}

impl Retry {
    fn of(metadata: &TableMetadata) -> Self {
        let number = |name: &str, default: u64| {
            metadata.properties().get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        let millis = |name: &str, default: u64| Duration::from_millis(number(name, default));
        Self {
            retries: u32::try_from(number("commit.retry.num-retries", 20)).unwrap_or(u32::MAX),
            min_wait: millis("commit.retry.min-wait-ms", 10),
            max_wait: millis("commit.retry.max-wait-ms", 2_000),
            total: millis("commit.retry.total-timeout-ms", 300_000),
        }
    }

    /// Waits before the next attempt, or says that there have been enough.
    async fn again(&self, table: &TableIdent, retries: u32, began: Instant) -> Result<()> {
        if retries > self.retries || began.elapsed() > self.total {
            let message = format!("other writers were quicker {retries} times; run the statement again");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        tracing::debug!(%table, retries, "another writer was quicker");
        sleep(self.wait(retries)).await;
        Ok(())
    }

    /// Grows with each retry and differs among writers, so that they do not meet again.
    fn wait(&self, retry: u32) -> Duration {
        let longest = self.min_wait.saturating_mul(1 << retry.min(16)).min(self.max_wait).max(self.min_wait);
        let spread = (longest - self.min_wait).as_micros() as u64;
        let random = Uuid::new_v4().as_u64_pair().1;
        self.min_wait + Duration::from_micros(random % (spread + 1))
    }
}
