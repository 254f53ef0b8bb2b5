//! Commits: written data files become part of a table atomically.
//!
//! A commit consists of a plan made from the table's metadata and manifests (`plan`, without I/O), the files that the
//! plan requires (`snapshot`), and one conditional write: the catalog moves the table's pointer from the metadata that
//! the plan is based on to the new metadata. If another commit won, the commit retries with a new plan. Guarantees:
//!
//! - Readers see the old snapshot or the new one. A writer that dies only leaves orphan files.
//! - A replacing commit fails with `Conflict` if another writer changed the replaced partitions since its base, and an
//!   overwriting commit if another writer changed what its statement read; an append never does, unless the table's
//!   schema or partitioning changed.
//! - The same [`CommitKey`] commits once, for as long as its snapshot is in the table's retained history.
//! - If the catalog does not report the outcome of a commit, the table's metadata is checked. If that fails too, the
//!   commit state is unknown: the error is of kind `Unknown`, and no file is removed.
//!
//! The iceberg crate's transactions are not used: they only append, and cannot be replanned for a retry.

mod alter;
mod cherry_pick;
mod counts;
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
pub(crate) use counts::Attempt;
pub use counts::CommitCounts;
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

/// Identifies a unit of work, such as a step of a pipeline for a date: work that has a snapshot is not committed again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitKey(String);

impl CommitKey {
    /// The key of work that is recognised when it is repeated.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// A key for work that is not repeated, such as an interactive `INSERT`.
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

/// The state that a writer relies on: take it from the table that the statement was planned with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Identity of the table, which distinguishes it from a later table of the same name.
    pub uuid: Uuid,
    /// The snapshot that the branch was at; `None` for an empty table.
    pub snapshot_id: Option<i64>,
    /// The schema that the added files were written with.
    pub schema_id: i32,
    /// The partition spec that the added files were written with.
    pub spec_id: i32,
}

impl Base {
    /// The current state of a branch of the table.
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

/// The effect of a commit on the existing rows.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Adds rows. Without files it does nothing and makes no snapshot.
    Append,
    /// Replaces partitions or the whole table by its files. Makes a snapshot even if it neither removes nor adds files,
    /// so that the table records that it has run.
    Replace(Replaced),
    /// Replaces the files with rows that a statement changes.
    Overwrite(Overwrite),
    /// Removes all rows at the time of the commit, including those of concurrent commits.
    Truncate,
    /// Repeats the changes of a snapshot that is not in the branch's history, with its files. Always makes a snapshot.
    CherryPick(CherryPick),
}

/// A change to a table.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The table to change.
    pub table: TableIdent,
    /// The existing branch that gets the new snapshot, such as [`MAIN_BRANCH`].
    pub branch: String,
    /// The state that the writer relied on.
    pub base: Base,
    /// The effect on the existing rows.
    pub operation: Operation,
    /// Added data files, of the base's schema and partition spec.
    pub added: Vec<DataFile>,
    /// Identifies the work; see [`CommitKey`].
    pub key: CommitKey,
    /// Additional entries of the snapshot's summary.
    pub summary: BTreeMap<String, String>,
}

impl Commit {
    /// A change of a branch of `table` based on its current state, without files and summary entries.
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

/// The result of a [`Commit`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The snapshot with the change; the branch's current snapshot, if any, when there was nothing to do.
    pub snapshot_id: Option<i64>,
    /// The same work was committed before, as `snapshot_id`. The files of this commit are not in the table: delete
    /// them.
    pub already: bool,
    /// Number of attempts that lost to a concurrent commit.
    pub retries: u32,
    /// Rows and files added.
    pub added: Tally,
    /// Rows and files removed.
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
            policy.back_off(&commit.table, retries, began).await?;
        }
    }

    /// The last step of an attempt: writes the metadata and makes it the table's. `None` if another commit won. Unused
    /// files are deleted, except for manifests, which the next attempt may reuse.
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

    /// Deletes the metadata files that expired with this commit, if the table's properties say so.
    async fn delete_expired(&self, table: &Table, expired: Vec<String>) {
        // A catalog that writes the files deletes them too.
        if !self.catalog().writes_metadata() {
            discard(table.file_io(), expired).await;
        }
    }

    /// Makes the metadata at `new`, which results from `updates`, the table's; `false` if another commit won.
    async fn swap(
        &self,
        table: &Table,
        new: &str,
        updates: &[TableUpdate],
        has_landed: impl Fn(&TableMetadata) -> bool,
    ) -> std::result::Result<bool, SwapError> {
        let swapped = self.try_swap(table, new, updates, has_landed).await;
        self.commit_counts().count(match &swapped {
            Ok(true) => Attempt::Committed,
            Ok(false) => Attempt::Lost,
            Err(SwapError::Failed(_)) => Attempt::Failed,
            Err(SwapError::CommitStateUnknown(_)) => Attempt::Unknown,
        });
        swapped
    }

    /// If the catalog does not report the outcome, the table shows it: it points to `new`, or to later metadata that
    /// contains the commit, which `has_landed` checks. While it still points to the old metadata, the request may still
    /// arrive, so the same request is repeated: whichever arrives first invalidates the other.
    async fn try_swap(
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
                // A missing table may have been renamed after our commit.
                Ok(_) | Err(_) => {}
            }
            if attempt < TRIES {
                sleep(Duration::from_millis(20 << attempt)).await;
            }
        }
        Err(SwapError::CommitStateUnknown(
            unknown_state.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "the table no longer exists")),
        ))
    }
}

/// Why a swap of the table's pointer was not confirmed.
enum SwapError {
    /// The pointer did not move, and will not.
    Failed(Error),
    /// The pointer may have moved: the catalog's response was lost, and its current state does not show the outcome.
    CommitStateUnknown(Error),
}

impl SwapError {
    /// The error to report; if the commit state is unknown, `how_to_find_out` returns its message.
    fn into_error(self, how_to_find_out: impl FnOnce() -> String) -> Error {
        match self {
            Self::Failed(e) => e,
            Self::CommitStateUnknown(cause) => Error::new(ErrorKind::Unknown, how_to_find_out()).with_source(cause),
        }
    }
}

/// The table of the table's snapshots, as SQL.
fn history(table: &TableIdent) -> String {
    format!("{}.\"{}$snapshots\"", table.namespace(), table.name().replace('"', "\"\""))
}

fn unknown(commit: &Commit, snapshot_id: i64) -> String {
    format!(
        "it is unknown whether the commit happened; it did if SELECT summary FROM {} WHERE snapshot_id = {snapshot_id} \
         returns a row, with {COMMIT_KEY}={}; a retry with this commit key is safe, any other retry may write the rows \
         twice",
        history(&commit.table),
        commit.key
    )
}

/// Retry policy of commits that lose to a concurrent commit. The table's `commit.retry.*` properties override the
/// defaults, which suit many writers on one machine: a commit takes milliseconds there, and whenever one loses another
/// one wins.
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

    /// Waits before the next attempt, or fails if the retries or the time are used up.
    async fn back_off(&self, table: &TableIdent, retries: u32, began: Instant) -> Result<()> {
        if retries > self.retries || began.elapsed() > self.total {
            let message = format!(
                "gave up after {retries} attempts, because other writers committed first; run the statement again"
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        tracing::debug!(%table, retries, "another commit won; retrying");
        sleep(self.wait(retries)).await;
        Ok(())
    }

    /// Grows with each retry, with jitter so that writers do not collide again.
    fn wait(&self, retry: u32) -> Duration {
        let longest = self.min_wait.saturating_mul(1 << retry.min(16)).min(self.max_wait).max(self.min_wait);
        let spread = (longest - self.min_wait).as_micros() as u64;
        let random = Uuid::new_v4().as_u64_pair().1;
        self.min_wait + Duration::from_micros(random % (spread + 1))
    }
}
